// Package storm gathers the alerts of a storm into one object.
//
// When too many alerts of one name arrive from one namespace, they are not made
// into objects one by one, but buffered. A buffer that fills becomes a window:
// one object is made of its members, and alerts that follow are added to it until
// the window ends. A buffer that does not fill in time is flushed: each member gets
// an object of its own.
//
// # Nothing is lost
//
// The invariant, in three sentences. An alert that was answered with success is
// held by an object, or is a member of a batch in Redis. A member leaves Redis only
// when an object that holds it is stored and registered as its fingerprint's, so
// that repeats find it. An alert is a member of at most one batch, and the name of a
// batch's object, or a flushed member's, is fixed in Redis before the object is made, so
// that the API server refuses a second one.
//
// So whatever a replica does can be cut off at any point. Any other replica can finish
// or repeat it: by the request of a repeated alert, or by the flusher,
// which every replica runs. The flusher takes batches that are due, one at a time, for
// a turn with a fencing token. All decisions
// about one alert are taken by one script, atomically, and by Redis' clock alone.
//
// It follows that a request whose script may or may not have run is answered with
// an error and not with an individual object: the alert may be a member by now. Its
// repeat finds it to be one, or begins anew.
package storm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/policy"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
)

// Operations on Redis, as metrics name them.
const (
	opDetect    = "storm_detection"
	opAggregate = "storm_aggregation"
)

// Options are the parts of Storms. All are required but those with a default.
type Options struct {
	Redis    redis.UniversalClient
	Settings config.Storm
	// Deduplicator knows which objects stand for which fingerprints.
	Deduplicator *dedup.Deduplicator
	Amender      *amend.Amender
	Creator      *remediation.Creator
	Environments *policy.Environments
	Priorities   *policy.Priorities
	// Metrics count each event once. Operations on Redis are storm_detection, the
	// script that every alert goes through, and storm_aggregation, all others.
	Metrics *metrics.Metrics
	Logger  *slog.Logger
	// Grace is how long the flusher leaves a window's new members to the requests
	// that brought them. Default 2 s.
	Grace time.Duration
	// Turn is how long one replica's flusher has a batch to itself: another replica's
	// flusher may take the batch once the turn is over. Default 5 s.
	Turn time.Duration

	now func() int64 // time in ms since 1970; 0 means Redis'
}

// Storms gathers alerts. Run its flusher, and Close it at the end.
type Storms struct {
	batches      batches
	settler      *settler
	deduplicator *dedup.Deduplicator
	amender      *amend.Amender
	creator      *remediation.Creator
	environments *policy.Environments
	priorities   *policy.Priorities
	metrics      *metrics.Metrics
	logger       *slog.Logger
	turn         time.Duration

	mu      sync.Mutex
	flights map[string]*flight
}

// New returns a Storms.
func New(o Options) *Storms {
	if o.Grace == 0 {
		o.Grace = 2 * time.Second
	}
	if o.Turn == 0 {
		o.Turn = 5 * time.Second
	}
	if o.now == nil {
		o.now = func() int64 { return 0 }
	}
	s := &Storms{
		batches: newBatches(o), deduplicator: o.Deduplicator, amender: o.Amender, creator: o.Creator,
		environments: o.Environments, priorities: o.Priorities, metrics: o.Metrics, logger: o.Logger,
		turn: o.Turn, flights: make(map[string]*flight),
	}
	s.settler = newSettler(s)
	return s
}

// Close waits until what is stored is noted in Redis. What can't be noted is found
// and noted by the flusher of any replica.
func (s *Storms) Close() { s.settler.close() }

// Kind says what became of an alert.
type Kind int

const (
	// None means that there is no storm: the alert is to get an object of its own.
	None Kind = iota
	// Buffered means that the alert is kept, and will be in an object later.
	Buffered
	// Opened means that the alert filled a buffer, and the storm's object was created.
	Opened
	// Added means that a storm's object now holds the alert, too.
	Added
	// Flushed means that the alert was buffered, its storm is over, and it has an
	// object of its own now.
	Flushed
	// Overtaken means that the alert was buffered, and that a flusher or another request
	// has made its object by now, or that the claim on its incident was lost. The caller is
	// to check for a duplicate again.
	Overtaken
)

// Verdict is what became of an alert.
type Verdict struct {
	Kind Kind
	// Type is rate or pattern for Buffered, Opened and Added.
	Type string
	// WindowID names the window, for Opened and Added.
	WindowID string
	// Members is the number of alerts in the buffer or window.
	Members int
	// Object holds the alert, for Opened, Added and Flushed. It must not be modified.
	Object *v1alpha1.RemediationRequest
}

// maxRounds bounds how often a window may end while an alert is added to it.
const maxRounds = 5

// Handle takes an alert that has no object in progress through detection and
// aggregation. The caller holds the claim on its incident, for which name is
// reserved; if the verdict has an object, that is to end the claim. With the guard, an alert
// of which the claim was lost is not taken in: whoever has it, or had, may have stored the
// alert already.
//
// When Handle returns without an error, what the verdict says is stored. Errors are
// *redisclient.UnavailableError, *dedup.BusyError, *remediation.APIError or the
// context's; the alert may be kept all the same, but an individual object must not be made of it.
func (s *Storms) Handle(ctx context.Context, sig *signal.Signal, name string, guard dedup.Guard) (Verdict, error) {
	return s.handle(ctx, sig, name, guard, "", "")
}

// handle is Handle for an alert that may be a member of a window whose object is
// finished, of a kind of storm. It then starts afresh.
func (s *Storms) handle(ctx context.Context, sig *signal.Signal, name string, guard dedup.Guard, finished, kind string) (Verdict, error) {
	m := newMember(sig)
	for range maxRounds {
		a, err := s.batches.admit(ctx, m, name, guard, finished, kind)
		if err != nil {
			return Verdict{}, err
		}
		switch a.decision {
		case admitNone:
			return Verdict{}, nil
		case admitOvertaken:
			return Verdict{Kind: Overtaken}, nil
		}
		if kind == "" {
			s.observe(sig, a)
		}
		verdict := Verdict{Type: a.kind, Members: a.members}
		var known *contents
		switch a.decision {
		case admitBuffered:
			verdict.Kind = Buffered
			return verdict, nil
		case admitFlush:
			// An earlier alert of it may have been more severe.
			worst, err := s.worstOf(ctx, a.ref, sig.Fingerprint)
			if err != nil {
				return Verdict{}, err
			}
			object, err := s.flushMember(ctx, a.ref, nil, sig, worst, name)
			if object == nil {
				return Verdict{Kind: Overtaken}, err
			}
			return Verdict{Kind: Flushed, Object: object}, nil
		case admitOpened:
			verdict.Kind = Opened
			known = &contents{pending: a.contents.pending, first: a.contents.first, filler: string(m.data), severest: a.contents.severest}
		case admitAdded, admitAgain:
			verdict.Kind = Added
		}
		verdict.WindowID = sig.Name + "-" + strconv.FormatInt(a.opened/1000, 10)
		verdict.Object, err = s.hold(ctx, a.batch, known, m, a.decision != admitAgain)
		if !errors.Is(err, errFinished) {
			return verdict, err
		}
		finished, kind = a.ref.id, a.kind
	}
	return Verdict{}, &dedup.BusyError{Err: fmt.Errorf("%d storm windows have ended meanwhile", maxRounds)}
}

func (s *Storms) observe(sig *signal.Signal, a admission) {
	s.metrics.StormAlert(a.kind, sig.Name)
	s.metrics.BufferUtilization(sig.Namespace, float64(a.buffered)/float64(limit(s.batches.settings, sig.Namespace)))
	if a.overflow != overflowNone {
		s.metrics.BufferOverflowed(sig.Namespace)
		s.logger.Warn("storm window is opened early, there is no room to buffer", "signal", sig.Name, "namespace", sig.Namespace,
			"limit", string(a.overflow), "members", a.members)
	}
}

// limit is how many alerts a namespace may have buffered, and a window may hold.
func limit(settings config.Storm, namespace string) int {
	if own, ok := settings.PerNamespaceLimits[namespace]; ok {
		return own
	}
	return settings.DefaultMaxSize
}
