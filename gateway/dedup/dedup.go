// Package dedup decides whether a signal begins a new incident or repeats one
// that is being worked on.
//
// The phase of the incident's object decides, not the age of any record: as long
// as an object in progress stands for it, every further signal of a fingerprint is
// a duplicate. What a signal costs does not depend on how many objects exist,
// since Redis has an index of those in progress, by fingerprint. An incident that
// is not in it is reserved there for exactly one replica. That one makes the object.
// All that may ever try use the same name for it, so that the API server refuses a
// second one even if the reservation was lost.
//
// The index can be lost, too. A marker in it says that it is complete, and no loss
// of data leaves a valid one. Until one of the replicas has rebuilt the index, see
// [Deduplicator.Run], incidents that are not in it are looked up in the cluster.
//
// A signal goes from Check (check.go) to the end of its Claim (claim.go). The index
// is kept by keeper.go. Both decide; what Redis holds is in layout.go, and how it is
// read and written in index.go.
package dedup

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
)

// Objects is what deduplication needs of the cluster. It is an interface, since tests
// need a cluster that fails, or changes, between two given requests.
// remediation.Store implements it.
type Objects interface {
	// Get returns an object, or an error that satisfies apierrors.IsNotFound.
	Get(ctx context.Context, name types.NamespacedName) (*v1alpha1.RemediationRequest, error)
	// Find returns the objects that stand for the signal's incident, those in
	// progress first. They are shared with other callers: they must not be modified.
	Find(ctx context.Context, sig *signal.Signal) ([]v1alpha1.RemediationRequest, error)
	// Page returns some of all objects that exist, and the token of the next page.
	// The empty token begins and ends. All pages show one moment.
	Page(ctx context.Context, token string) (objects []v1alpha1.RemediationRequest, next string, err error)
	// Place returns a short printable text for a namespace of signals. Two namespaces
	// have the same text if their objects can't be told apart.
	Place(namespace string) string
	// PlaceOf returns the place of the signals that the object stands for, or false
	// if it can stand for none.
	PlaceOf(object *v1alpha1.RemediationRequest) (place string, ok bool)
}

// Priorities ranks signals. It is an interface since tests need no policy.
// policy.Priorities implements it.
type Priorities interface {
	Priority(ctx context.Context, severity, environment string, labels map[string]string) string
}

// Options are the parts of a Deduplicator. All are required but the last four.
type Options struct {
	Redis   redis.UniversalClient
	Objects Objects
	Amender *amend.Amender
	// Retry is for looking up objects on the way to creating one.
	Retry remediation.Retry
	// Metrics get the operations deduplication_check and deduplication_store.
	Metrics *metrics.Metrics
	Logger  *slog.Logger
	// TTL is how long a record outlives the latest signal.
	TTL time.Duration
	// Name returns the name of an object of the incident. It must end in a dash and
	// the time in seconds since 1970. The time is not exactly that of the creation.
	Name func(fingerprint string, at time.Time) string
	// Priorities rank repeats that are more severe than the object of their incident.
	// Without them such a repeat changes the severity only.
	Priorities Priorities
	// CoolDown is how long after the end of an object in a phase it still stands for its
	// incident. Phases that are not in it: not at all.
	CoolDown map[string]time.Duration
	// Wait is how long a signal waits for another that holds the lock. Default 15 s.
	Wait time.Duration
	// ClearInterval is how often finished objects are cleared from the index.
	// Default 10 min.
	ClearInterval time.Duration
}

// Deduplicator decides. The caller runs Run, so that decisions are cheap.
type Deduplicator struct {
	index         index
	objects       Objects
	amender       *amend.Amender
	retry         remediation.Retry
	logger        *slog.Logger
	metrics       *metrics.Metrics
	priorities    Priorities
	coolDown      map[string]time.Duration
	name          func(fingerprint string, at time.Time) string
	wait          time.Duration
	clearInterval time.Duration

	flights flights
	wake    chan struct{} // has Run look at the index now
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
		index:   index{client: o.Redis, partitions: redisclient.PartitionsOf(o.Redis), ttl: o.TTL, metrics: o.Metrics},
		objects: o.Objects, amender: o.Amender, retry: o.Retry, logger: o.Logger,
		metrics: o.Metrics, priorities: o.Priorities, coolDown: o.CoolDown,
		name: o.Name, wait: o.Wait, clearInterval: o.ClearInterval,
		wake: make(chan struct{}, 1), now: time.Now,
	}
}

// Verdict is the answer of Check: exactly one of its fields is set.
type Verdict struct {
	// Duplicate is set when the signal repeats an incident. It has been counted.
	Duplicate *Occurrence
	// Claim is set when the signal begins an incident. The caller must end it.
	Claim *Claim
}

// Occurrence is a signal counted on an incident's object.
type Occurrence struct {
	// Object is the incident's.
	Object types.NamespacedName
	// CoolingDown is the phase of an object that is finished, and still stands for the
	// incident. It is empty for one in progress.
	CoolingDown string
	// Environment is the object's. It is empty if the object could not be read.
	Environment string
	// Count is the number of this occurrence, 2 for the first repeat. A storm counts
	// the occurrences of all its members together.
	Count int
	// FirstSeen and LastSeen are those of the object.
	FirstSeen, LastSeen time.Time
}

// BusyError says that a signal could not be handled in time, since other signals of
// its incident were being handled. The sender should try again.
type BusyError struct {
	// Err is what was in the way. Required.
	Err error
}

var _ error = (*BusyError)(nil)

// Error says what was in the way.
func (e *BusyError) Error() string { return fmt.Sprintf("incident is busy: %v", e.Err) }

// Unwrap returns what was in the way.
func (e *BusyError) Unwrap() error { return e.Err }
