// Package dedup decides whether a signal begins a new incident or repeats one
// that is being worked on.
//
// The phase of the incident's object decides, not the age of any record: as long
// as an object in progress stands for it, every further signal of a fingerprint is
// a duplicate. What a signal costs does not depend on how many objects exist,
// since Redis has an index of those in progress, by fingerprint. An incident that
// is not in it is reserved there for exactly one replica, which makes the object
// under a name that all who may ever try share, so that the API server refuses a
// second one even if the reservation was lost.
//
// The index can be lost, too. It says of itself that it is complete, in a way that
// no loss of data survives; until one of the replicas has rebuilt it, see
// [Deduplicator.Run], incidents that are not in it are looked up in the cluster.
package dedup

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/signal"
)

// Objects is what deduplication needs of the cluster.
type Objects interface {
	// Get returns an object, or an error that satisfies apierrors.IsNotFound.
	Get(ctx context.Context, name types.NamespacedName) (*v1alpha1.RemediationRequest, error)
	// Find returns the objects that stand for the signal's incident, those in
	// progress first.
	Find(ctx context.Context, sig *signal.Signal) ([]v1alpha1.RemediationRequest, error)
	// Page returns some of all objects that exist, and the token of the next page.
	// The empty token begins and ends. All pages show one moment.
	Page(ctx context.Context, token string) (objects []v1alpha1.RemediationRequest, next string, err error)
	// Place returns a short printable text that is the same for two namespaces of
	// signals if objects do not tell them apart.
	Place(namespace string) string
	// PlaceOf returns the place of the signals that the object stands for, or false
	// if it can stand for none.
	PlaceOf(object *v1alpha1.RemediationRequest) (place string, ok bool)
}

// Amender changes objects, see [amend.Amender].
type Amender interface {
	Amend(ctx context.Context, ref types.NamespacedName, change amend.Change) (*v1alpha1.RemediationRequest, error)
}

// Retrier repeats what failed for reasons that pass.
type Retrier interface {
	Do(ctx context.Context, attempt func(context.Context) error) error
}

// Observer is told of operations on Redis, for metrics. The operations are
// deduplication_check and deduplication_store.
type Observer interface {
	RedisOperation(operation string, duration time.Duration)
	RedisOperationFailed(operation string)
}

// Options are the parts of a Deduplicator. All are required but the last two.
type Options struct {
	Redis   redis.UniversalClient
	Objects Objects
	Amender Amender
	// Retry is for looking up objects on the way to creating one.
	Retry    Retrier
	Observer Observer
	Logger   *slog.Logger
	// TTL is how long a record outlives the latest signal.
	TTL time.Duration
	// Name returns the name of an object of the incident. It must end in a dash and
	// the time in seconds since 1970; the time is not exactly that of the creation.
	Name func(fingerprint string, at time.Time) string
	// Wait is how long a signal waits for another that holds the lock. Default 15 s.
	Wait time.Duration
	// ClearInterval is how often finished objects are cleared from the index.
	// Default 10 min.
	ClearInterval time.Duration
}

// Deduplicator decides. Run it, so that decisions are cheap.
type Deduplicator struct {
	Options
	index   index
	flights flights
	wake    chan struct{} // tells Run that the index is incomplete
	now     func() time.Time
}

// New returns a deduplicator.
func New(o Options) *Deduplicator {
	if o.Wait == 0 {
		o.Wait = 15 * time.Second
	}
	if o.ClearInterval == 0 {
		o.ClearInterval = 10 * time.Minute
	}
	return &Deduplicator{
		Options: o,
		index:   index{client: o.Redis, ttl: o.TTL, observer: o.Observer},
		wake:    make(chan struct{}, 1),
		now:     time.Now,
	}
}

// Verdict is the answer of Check: exactly one of its fields is set.
type Verdict struct {
	// Duplicate is set when the signal repeats an incident; it has been counted.
	Duplicate *Occurrence
	// Claim is set when the signal begins an incident. The caller must end it.
	Claim *Claim
}

// Occurrence is a signal counted on an incident's object.
type Occurrence struct {
	// Object is the incident's.
	Object types.NamespacedName
	// Environment is the object's; empty if the object could not be read.
	Environment string
	// Count is the number of this occurrence, 2 for the first repeat. A storm counts
	// the occurrences of all its members together.
	Count int
	// FirstSeen and LastSeen are those of the object.
	FirstSeen, LastSeen time.Time
}

// Check decides about a signal and counts it if it is a duplicate: the count is
// stored when Check returns. While the Kubernetes API fails, the record alone
// answers, and counts, for incidents that have one.
//
// Errors of Redis, and a wait that was too long, are *redisclient.UnavailableError; those of
// the Kubernetes API are as Objects returned them.
func (d *Deduplicator) Check(ctx context.Context, sig *signal.Signal) (Verdict, error) {
	i := d.incidentOf(sig)
	token := rand.Text()
	deadline := time.Now().Add(d.Wait)
	var finished []string // objects that are known not to stand for it any more
	for poll := 0; ; poll++ {
		if poll > 0 && time.Now().After(deadline) {
			return Verdict{}, &redisclient.UnavailableError{Op: opCheck, Err: errors.New("others have been busy with the same incident for too long")}
		}
		name := d.Name(sig.Fingerprint, after(proposal(sig.Fingerprint, d.now()), finished...))
		start, err := d.index.begin(ctx, i, token, name)
		switch {
		case err != nil:
			return Verdict{}, err
		case start.object.Name != "":
			occurrence, err := d.join(ctx, i, sig, start.object)
			if !errors.Is(err, errNotInProgress) {
				return Verdict{Duplicate: occurrence}, err
			}
			if err := d.index.forget(ctx, i, start.object, types.NamespacedName{}); err != nil {
				return Verdict{}, err
			}
			finished = append(finished, start.object.Name)
		case start.name != "":
			claim := d.claim(i, sig, token, start)
			if start.certainty == certain {
				return Verdict{Claim: claim}, nil
			}
			verdict, err := d.search(ctx, i, sig, claim)
			if !errors.Is(err, errNotInProgress) {
				return verdict, err
			}
		default:
			if err := d.flights.wait(ctx, i.lock(), poll); err != nil {
				return Verdict{}, err
			}
		}
	}
}

// search looks in the cluster for the object of an incident, which the claim keeps
// others from doing meanwhile.
func (d *Deduplicator) search(ctx context.Context, i incident, sig *signal.Signal, claim *Claim) (Verdict, error) {
	if claim.certainty == unsure {
		d.wakeUp()
	}
	var found []v1alpha1.RemediationRequest
	err := d.Retry.Do(ctx, func(ctx context.Context) (err error) {
		found, err = d.Objects.Find(ctx, sig)
		return err
	})
	if err != nil {
		claim.Release(ctx)
		occurrence, err := d.countOffline(ctx, i, sig, types.NamespacedName{}, err)
		return Verdict{Duplicate: occurrence}, err
	}
	if len(found) == 0 || !found[0].InProgress() {
		claim.avoid(found)
		return Verdict{Claim: claim}, nil
	}
	claim.Created(ctx, &found[0])
	occurrence, err := d.join(ctx, i, sig, refOf(&found[0]))
	return Verdict{Duplicate: occurrence}, err
}

// join counts the signal on an object. The error is errNotInProgress if the
// object is finished, gone or does not stand for the incident.
func (d *Deduplicator) join(ctx context.Context, i incident, sig *signal.Signal, ref types.NamespacedName) (*Occurrence, error) {
	var count int
	object, err := d.Amender.Amend(ctx, ref, func(object *v1alpha1.RemediationRequest) error {
		if !object.InProgress() || !object.StandsFor(sig.Fingerprint) {
			return errNotInProgress
		}
		info := &object.Spec.Deduplication
		info.OccurrenceCount++
		count = info.OccurrenceCount
		if sig.ReceivedTime.After(info.LastSeen.Time) {
			info.LastSeen = metav1.NewTime(sig.ReceivedTime).Rfc3339Copy()
		}
		return nil
	})
	switch {
	case err == nil:
		// The object holds the count, so a record that can't be written is no
		// reason to have the sender repeat, and be counted twice.
		if err := d.index.count(detach(ctx), i, recordOf(sig, object, count)); err != nil {
			d.Logger.Warn("duplicate is stored, its record is not", "object", ref.String(), "error", err)
		}
		return &Occurrence{
			Object: ref, Environment: object.Spec.Environment, Count: count,
			FirstSeen: object.Spec.Deduplication.FirstSeen.Time, LastSeen: object.Spec.Deduplication.LastSeen.Time,
		}, nil
	case errors.Is(err, errNotInProgress), apierrors.IsNotFound(err):
		return nil, errNotInProgress
	}
	return d.countOffline(ctx, i, sig, ref, err)
}

// countOffline counts the signal in the incident's record since the Kubernetes API
// failed, and returns that failure if there is no record of the object, or of any
// object if ref is zero.
func (d *Deduplicator) countOffline(ctx context.Context, i incident, sig *signal.Signal, ref types.NamespacedName, failure error) (*Occurrence, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	record, err := d.index.touch(ctx, i, sig, ref)
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, failure
	}
	d.Logger.Error("duplicate is counted in its record only", "object", record.ref.String(), "count", record.count, "error", failure)
	return &Occurrence{Object: record.ref, Count: record.count, FirstSeen: record.firstSeen, LastSeen: record.lastSeen}, nil
}

func (d *Deduplicator) incidentOf(sig *signal.Signal) incident {
	return incident{fingerprint: sig.Fingerprint, place: d.Objects.Place(sig.Namespace)}
}

// wakeUp has Run look at the index now.
func (d *Deduplicator) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// detach returns a context for what must be done even if the sender has gone.
// The Redis client's own timeouts limit it.
func detach(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// errNotInProgress says that an object does not stand for the incident any more.
var errNotInProgress = errors.New("object is not in progress")
