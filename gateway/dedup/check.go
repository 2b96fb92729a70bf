package dedup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
)

// Check decides about a signal and counts it if it is a duplicate: the count is
// stored when Check returns. While the Kubernetes API fails, incidents that have a
// record are answered from that alone, and counted there.
//
// Errors of Redis are *redisclient.UnavailableError. A wait that was too long is a
// *BusyError. Errors of the Kubernetes API are as Objects returned them.
func (d *Deduplicator) Check(ctx context.Context, sig *signal.Signal) (Verdict, error) {
	i, token := d.incidentOf(sig), rand.Text()
	deadline := time.Now().Add(d.wait)
	var finished []string // objects that are known not to stand for it any more
	locked := false       // the lock is the token's, without a claim
	defer func() {
		if locked {
			d.unlock(ctx, i, token)
		}
	}()
	for poll := 0; ; poll++ {
		if poll > 0 && time.Now().After(deadline) {
			return Verdict{}, &BusyError{fmt.Errorf("others have been handling it for more than %s", d.wait)}
		}
		name := d.name(sig.Fingerprint, after(proposal(sig.Fingerprint, d.now()), finished...))
		asked := time.Now()
		start, err := d.index.begin(ctx, i, token, name)
		if err != nil {
			return Verdict{}, err
		}
		var own *flight
		switch start.standing {
		case held:
			locked = false
		case known: // which says nothing of the lock
		default:
			var other *flight
			own, other = d.flights.start(i, token, asked)
			locked = other != nil && !d.handOver(ctx, other, token)
		}
		if start.standing != known && own == nil {
			if err := d.flights.wait(ctx, i.lock(), poll); err != nil {
				return Verdict{}, err
			}
			continue
		}
		ref := start.object
		if start.standing != known {
			claim := d.claim(sig, start, own)
			if start.standing != certain {
				ref, err = d.search(ctx, claim, start.standing)
				if errors.Is(err, errOvertaken) {
					if err := d.flights.wait(ctx, i.lock(), poll); err != nil {
						return Verdict{}, err
					}
					continue
				}
				if err != nil {
					occurrence, err := d.countInRecord(ctx, i, sig, types.NamespacedName{}, err)
					return Verdict{Duplicate: occurrence}, err
				}
			}
			if ref.Name == "" {
				return Verdict{Claim: claim}, nil
			}
		}
		occurrence, err := d.count(ctx, i, sig, ref)
		if !errors.Is(err, errNotInProgress) {
			return Verdict{Duplicate: occurrence}, err
		}
		if err := d.index.forget(ctx, i, ref, types.NamespacedName{}); err != nil {
			return Verdict{}, err
		}
		finished = append(finished, ref.Name)
	}
}

// errOvertaken says that a claim was lost while the cluster was searched, or that an object
// was registered meanwhile.
var errOvertaken = errors.New("incident is being handled by somebody else")

// search looks in the cluster for the object of an incident. The claim keeps others
// from doing so meanwhile. It goes on if there is no object in progress: the result
// is then zero. Otherwise search ends it, also by a panic: nobody else would, and its lock
// would be prolonged for ever.
//
// A search of a slow cluster may take longer than the lock holds. What it has found is then
// no answer: another replica may have stored the object since. The error is errOvertaken.
func (d *Deduplicator) search(ctx context.Context, claim *Claim, why standing) (types.NamespacedName, error) {
	goesOn := false
	defer func() {
		if !goesOn {
			claim.Close(ctx)
		}
	}()
	if why == unsure {
		d.wakeUp()
	}
	var found []v1alpha1.RemediationRequest
	err := d.retry.Do(ctx, func(ctx context.Context) (err error) {
		found, err = d.objects.Find(ctx, claim.sig)
		return err
	})
	if err != nil {
		return types.NamespacedName{}, err
	}
	if len(found) == 0 || !d.stands(&found[0]) {
		registered, err := d.index.renew(ctx, claim.flight, "")
		switch {
		case err != nil:
			return types.NamespacedName{}, err
		case !claim.unbroken(), registered:
			return types.NamespacedName{}, errOvertaken
		}
		goesOn = true
		claim.avoid(found)
		return types.NamespacedName{}, nil
	}
	claim.Created(ctx, &found[0])
	return refOf(&found[0]), nil
}

// errNotInProgress says that an object does not stand for the incident any more.
var errNotInProgress = errors.New("object is not in progress")

// count counts the signal on an object. The error is errNotInProgress if the
// object is finished, gone or does not stand for the incident.
func (d *Deduplicator) count(ctx context.Context, i incident, sig *signal.Signal, ref types.NamespacedName) (*Occurrence, error) {
	var count int
	var raisedFrom string
	cooling := false
	object, err := d.amender.Amend(ctx, ref, func(object *v1alpha1.RemediationRequest) error {
		cooling = d.coolsDown(object)
		if !object.InProgress() || !object.StandsFor(sig.Fingerprint) {
			if !cooling || !object.StandsFor(sig.Fingerprint) {
				return errNotInProgress
			}
		}
		// Whatever was over is not, or not any more.
		delete(object.Annotations, remediation.AnnotationResolved)
		info := &object.Spec.Deduplication
		info.OccurrenceCount++
		count = info.OccurrenceCount
		if sig.ReceivedTime.After(info.LastSeen.Time) {
			info.LastSeen = metav1.NewTime(sig.ReceivedTime).Rfc3339Copy()
		}
		raisedFrom = d.Raise(ctx, object, sig)
		return nil
	})
	switch {
	case err == nil:
		d.NoteRaised(ctx, object, sig, raisedFrom)
		// The object holds the count. If the record can't be written, the signal is a
		// success all the same: its sender would repeat it, and it would count twice.
		if err := d.index.count(detach(ctx), i, recordOf(sig, object, count)); err != nil {
			d.logger.Warn("duplicate is counted on its object, its record in Redis is not written", "object", ref.String(), "error", err)
		}
		occurrence := &Occurrence{
			Object: ref, Environment: object.Spec.Environment, Count: count,
			FirstSeen: object.Spec.Deduplication.FirstSeen.Time, LastSeen: object.Spec.Deduplication.LastSeen.Time,
		}
		if cooling {
			occurrence.CoolingDown = object.Status.OverallPhase
		}
		return occurrence, nil
	case errors.Is(err, errNotInProgress), apierrors.IsNotFound(err):
		return nil, errNotInProgress
	}
	return d.countInRecord(ctx, i, sig, ref, err)
}

// Raise makes an object as severe and urgent as a repeat of its incident is. It returns
// the former severity for NoteRaised, or "" if it was that already.
func (d *Deduplicator) Raise(ctx context.Context, object *v1alpha1.RemediationRequest, sig *signal.Signal) (from string) {
	return remediation.Raise(object, sig.Severity, func(environment string) string {
		if d.priorities == nil {
			return object.Spec.Priority
		}
		// The change is for all who wait for it, so it must not depend on whether this
		// signal's sender has gone.
		return d.priorities.Priority(context.WithoutCancel(ctx), sig.Severity, environment, sig.Labels)
	}, sig.ReceivedTime)
}

// NoteRaised counts and logs that an object was raised, once that is stored.
func (d *Deduplicator) NoteRaised(ctx context.Context, object *v1alpha1.RemediationRequest, sig *signal.Signal, from string) {
	if from == "" {
		return
	}
	d.metrics.SeverityRaised(from, sig.Severity)
	d.logger.InfoContext(ctx, "incident has become more severe", "object", refOf(object).String(), "from", from, "to", object.Spec.Severity,
		"priority", object.Spec.Priority)
}

// countInRecord counts the signal in the incident's record, since the Kubernetes API
// failed. It returns that failure if there is no record of the object, or if it was Redis
// that failed: the cluster then did not say that it has an object, and the record may be of
// one that is finished. If ref is zero the record may be of any object.
func (d *Deduplicator) countInRecord(ctx context.Context, i incident, sig *signal.Signal, ref types.NamespacedName, failure error) (*Occurrence, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var redis *redisclient.UnavailableError
	if errors.As(failure, &redis) {
		return nil, failure
	}
	record, err := d.index.touch(ctx, i, sig, ref)
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, failure
	}
	d.logger.Error("duplicate is counted in its record only", "object", record.ref.String(), "count", record.count, "error", failure)
	return &Occurrence{Object: record.ref, Count: record.count, FirstSeen: record.firstSeen, LastSeen: record.lastSeen}, nil
}

// handOver gives a lock that had expired, and that the token has got, to the claim of this
// process that it was of, so that no other replica gets it. It returns false if the claim is
// about to end, and the token keeps the lock.
func (d *Deduplicator) handOver(ctx context.Context, to *flight, token string) bool {
	if to.ending.Load() {
		return false
	}
	if _, err := d.index.renew(ctx, to, token); err != nil {
		return false
	}
	if to.ending.Load() {
		d.unlock(ctx, to.incident, to.token) // it may have done so before
	}
	return true
}

// unlock gives back a lock for which there is no claim.
func (d *Deduplicator) unlock(ctx context.Context, i incident, token string) {
	if err := d.index.release(detach(ctx), i, token, false); err != nil {
		d.logger.Warn("lock of an incident is not given back, it expires by itself", "fingerprint", i.fingerprint, "error", err)
	}
}

func (d *Deduplicator) incidentOf(sig *signal.Signal) incident {
	return d.index.incident(sig.Fingerprint, d.objects.Place(sig.Namespace))
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
