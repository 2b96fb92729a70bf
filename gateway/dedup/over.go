package dedup

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
)

// stands reports whether an object still stands for its incidents.
func (d *Deduplicator) stands(object *v1alpha1.RemediationRequest) bool {
	return object.InProgress() || d.coolsDown(object)
}

// coolsDown reports whether an object is finished and its incident's cool-down goes on.
func (d *Deduplicator) coolsDown(object *v1alpha1.RemediationRequest) bool {
	last := d.coolDown[object.Status.OverallPhase]
	if last <= 0 || object.InProgress() || object.Status.CompletedAt == nil {
		return false
	}
	return d.now().Before(object.Status.CompletedAt.Add(last))
}

// Resolve notes on the object in progress of the signal's incident when its condition
// ended, and returns the object. It returns nil if there is none, or if the object is a
// storm's: others of its alerts may go on. Errors are as those of Check.
func (d *Deduplicator) Resolve(ctx context.Context, sig *signal.Signal) (*types.NamespacedName, error) {
	ref, err := d.index.peek(ctx, d.incidentOf(sig))
	if err != nil {
		return nil, err
	}
	if ref.Name == "" {
		// The index may be incomplete.
		err := d.retry.Do(ctx, func(ctx context.Context) error {
			found, err := d.objects.Find(ctx, sig)
			if err == nil && len(found) > 0 && found[0].InProgress() {
				ref = refOf(&found[0])
			}
			return err
		})
		if ref.Name == "" || err != nil {
			return nil, err
		}
	}
	_, err = d.amender.Amend(ctx, ref, func(object *v1alpha1.RemediationRequest) error {
		if !object.InProgress() || object.Spec.IsStorm || !object.StandsFor(sig.Fingerprint) {
			return errNotInProgress
		}
		if object.Annotations == nil {
			object.Annotations = make(map[string]string)
		}
		object.Annotations[remediation.AnnotationResolved] = sig.EndTime.UTC().Format(time.RFC3339)
		return nil
	})
	switch {
	case err == nil:
		return &ref, nil
	case errors.Is(err, errNotInProgress), apierrors.IsNotFound(err):
		return nil, nil
	}
	return nil, err
}

// peek returns the object that an incident is known to have, or a zero reference.
func (x *index) peek(ctx context.Context, i incident) (types.NamespacedName, error) {
	start := time.Now()
	value, err := x.client.Get(ctx, i.key()).Result()
	x.metrics.RedisOperation(opCheck, time.Since(start))
	if errors.Is(err, redis.Nil) {
		return types.NamespacedName{}, nil
	}
	if err != nil {
		x.metrics.RedisOperationFailed(opCheck)
		return types.NamespacedName{}, &redisclient.UnavailableError{Op: opCheck, Err: err}
	}
	ref, ok := pointee(value)
	if !ok {
		return types.NamespacedName{}, nil
	}
	return ref, nil
}
