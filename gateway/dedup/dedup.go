// Package dedup decides whether a signal begins a new incident or repeats one
// that is being worked on.
//
// The phase of the incident's object decides, not the age of any record: as long
// as the object is in progress, every further signal of its fingerprint is a
// duplicate. Redis holds two things. A record of each recent incident points to
// its object, so that a repeat costs one read and one update however many objects
// exist. And for a signal without a record, a reservation lets exactly one
// replica look for the object and make it, under a name which all that may ever
// try share, so that the API server refuses a second one even if a reservation
// was lost.
package dedup

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

// Objects is what deduplication needs of the cluster.
type Objects interface {
	// Get returns an object, or an error that satisfies apierrors.IsNotFound.
	Get(ctx context.Context, name types.NamespacedName) (*v1alpha1.RemediationRequest, error)
	// Find returns the objects of the signal's incident, those in progress first.
	Find(ctx context.Context, sig *signal.Signal) ([]v1alpha1.RemediationRequest, error)
	// Update replaces an object, or returns an error that satisfies
	// apierrors.IsConflict if it has changed since it was read.
	Update(ctx context.Context, object *v1alpha1.RemediationRequest) error
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

// Options are the parts of a Deduplicator. All are required but Wait.
type Options struct {
	Redis   redis.UniversalClient
	Objects Objects
	// Retry is for looking up objects on the way to creating one.
	Retry    Retrier
	Observer Observer
	Logger   *slog.Logger
	// TTL is how long a record outlives the latest signal.
	TTL time.Duration
	// Name proposes the name of a new object.
	Name func(fingerprint string, at time.Time) string
	// Wait is how long a signal waits for another that holds the reservation.
	// Default 15 s.
	Wait time.Duration
}

// Deduplicator decides. Close it at the end.
type Deduplicator struct {
	Options
	records     records
	occurrences *occurrences
	flights     flights
}

// New returns a deduplicator.
func New(o Options) *Deduplicator {
	if o.Wait == 0 {
		o.Wait = 15 * time.Second
	}
	return &Deduplicator{
		Options:     o,
		records:     records{client: o.Redis, ttl: o.TTL, observer: o.Observer},
		occurrences: newOccurrences(o.Objects),
	}
}

// Close waits for updates whose senders have gone.
func (d *Deduplicator) Close() { d.occurrences.wait() }

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
	// Count is the number of this occurrence, 2 for the first repeat.
	Count int
	// FirstSeen and LastSeen are those of the incident.
	FirstSeen, LastSeen time.Time
}

// Check decides about a signal and counts it if it is a duplicate: the count is
// stored when Check returns. While the Kubernetes API fails, the record alone
// answers, and counts, for incidents that have one.
//
// Errors of Redis, and a wait that was too long, are *UnavailableError; those of
// the Kubernetes API are as Objects returned them.
func (d *Deduplicator) Check(ctx context.Context, sig *signal.Signal) (Verdict, error) {
	token := rand.Text()
	deadline := time.Now().Add(d.Wait)
	for poll := 0; ; poll++ {
		if poll > 0 && time.Now().After(deadline) {
			return Verdict{}, &UnavailableError{"deduplication_check", errors.New("others have been busy with the same incident for too long")}
		}
		start, err := d.records.begin(ctx, sig, token, d.Name(sig.Fingerprint, time.Now()))
		switch {
		case err != nil:
			return Verdict{}, err
		case start.record != nil:
			occurrence, err := d.join(ctx, sig, start.record.ref)
			if !errors.Is(err, errNotInProgress) {
				return Verdict{Duplicate: occurrence}, err
			}
			if err := d.records.forget(ctx, sig, start.record.ref); err != nil {
				return Verdict{}, err
			}
		case start.name != "":
			claim := &Claim{Name: start.name, d: d, sig: sig, token: token, flight: d.flights.start(incidentKey(sig))}
			verdict, err := d.search(ctx, sig, claim)
			if !errors.Is(err, errNotInProgress) {
				return verdict, err
			}
		default:
			if err := d.flights.wait(ctx, incidentKey(sig), poll); err != nil {
				return Verdict{}, err
			}
		}
	}
}

// search looks for the object of an incident that has no record, which the claim
// keeps others from doing meanwhile.
func (d *Deduplicator) search(ctx context.Context, sig *signal.Signal, claim *Claim) (Verdict, error) {
	var found []v1alpha1.RemediationRequest
	err := d.Retry.Do(ctx, func(ctx context.Context) (err error) {
		found, err = d.Objects.Find(ctx, sig)
		return err
	})
	if err != nil {
		claim.Release(ctx)
		return Verdict{}, err
	}
	if len(found) == 0 || !found[0].InProgress() {
		return Verdict{Claim: claim}, nil
	}
	claim.Created(ctx, &found[0])
	occurrence, err := d.join(ctx, sig, types.NamespacedName{Namespace: found[0].Namespace, Name: found[0].Name})
	return Verdict{Duplicate: occurrence}, err
}

// join counts the signal on an object. The error is errNotInProgress if the
// object is finished, gone or another incident's.
func (d *Deduplicator) join(ctx context.Context, sig *signal.Signal, ref types.NamespacedName) (*Occurrence, error) {
	object, count, err := d.occurrences.add(ctx, ref, sig)
	switch {
	case err == nil:
		occurrence := &Occurrence{
			Object: ref, Environment: object.Spec.Environment, Count: count,
			FirstSeen: object.Spec.Deduplication.FirstSeen.Time, LastSeen: object.Spec.Deduplication.LastSeen.Time,
		}
		// The object holds the count, so a record that can't be written is no
		// reason to have the sender repeat, and be counted twice.
		if err := d.records.store(detach(ctx), sig, "", recordOf(sig, object, count)); err != nil {
			d.Logger.Warn("duplicate is stored, its record is not", "object", ref.String(), "error", err)
		}
		return occurrence, nil
	case errors.Is(err, errNotInProgress):
		return nil, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	record, touchErr := d.records.touch(ctx, sig)
	if touchErr != nil {
		return nil, touchErr
	}
	if record == nil {
		return nil, err
	}
	d.Logger.Error("duplicate is counted in its record only", "object", ref.String(), "count", record.count, "error", err)
	return &Occurrence{Object: ref, Count: record.count, FirstSeen: record.firstSeen, LastSeen: record.lastSeen}, nil
}

// Claim is the right to create the object of an incident. It must be ended by
// Created or Release.
type Claim struct {
	// Name is reserved for the object.
	Name string

	d      *Deduplicator
	sig    *signal.Signal
	token  string
	flight *flight
}

// Created ends the claim: the object now stands for the incident. That Redis does
// not take the record is only logged, since the object exists, and repeats find
// it.
func (c *Claim) Created(ctx context.Context, object *v1alpha1.RemediationRequest) {
	defer c.d.flights.end(c.flight)
	rec := recordOf(c.sig, object, object.Spec.Deduplication.OccurrenceCount)
	if err := c.d.records.store(detach(ctx), c.sig, c.token, rec); err != nil {
		c.d.Logger.Warn("object exists, its record is not stored", "object", object.Namespace+"/"+object.Name, "error", err)
	}
}

// Release ends the claim without an object. Whoever claims the incident within
// the next minute gets the same name, as the object may yet appear.
func (c *Claim) Release(ctx context.Context) {
	defer c.d.flights.end(c.flight)
	if err := c.d.records.release(detach(ctx), c.sig, c.token); err != nil {
		c.d.Logger.Warn("reservation is not given back, it expires by itself", "name", c.Name, "error", err)
	}
}

// detach returns a context for what must be done even if the sender has gone.
// The Redis client's own timeouts limit it.
func detach(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

func recordOf(sig *signal.Signal, object *v1alpha1.RemediationRequest, count int) record {
	return record{
		fingerprint: sig.Fingerprint, alertName: sig.Name, namespace: sig.Namespace, resource: sig.Resource.Name,
		firstSeen: object.Spec.Deduplication.FirstSeen.Time,
		lastSeen:  object.Spec.Deduplication.LastSeen.Time,
		count:     count,
		ref:       types.NamespacedName{Namespace: object.Namespace, Name: object.Name},
	}
}

func incidentKey(sig *signal.Signal) string { return keys(sig)[1] }

// errNotInProgress says that an object does not stand for the incident any more.
var errNotInProgress = errors.New("object is not in progress")

func notInProgress(err error) bool {
	return errors.Is(err, errNotInProgress) || apierrors.IsNotFound(err)
}
