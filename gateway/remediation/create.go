package remediation

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/metrics"
)

// maxNameAdvance bounds the search for a free name. Each step passes one earlier
// object of the same incident. It was made in this very second, or in the future if a
// clock has been set back.
const maxNameAdvance = 300

// maxCreating is how many objects are created at once. A request of thousands of alerts
// would else use up what the API server has for all of its clients: by default it works
// on 200 changes at once.
const maxCreating = 128

// Creator creates objects.
type Creator struct {
	client    client.Client
	placement Placement
	retry     Retry
	metrics   *metrics.Metrics
	now       func() time.Time
	room      *semaphore.Weighted
}

// NewCreator returns a creator that uses the client.
func NewCreator(c client.Client, p Placement, r Retry, m *metrics.Metrics) *Creator {
	return &Creator{client: c, placement: p, retry: r, metrics: m, now: time.Now, room: semaphore.NewWeighted(maxCreating)}
}

// Created is the outcome of Create.
type Created struct {
	// Object is the incident's object.
	Object *v1alpha1.RemediationRequest
	// Existing is true when somebody else had created it. The signal is then a
	// duplicate, unless the object is of the same batch.
	Existing bool
}

// Create makes an object from the draft. It does so in the signal's namespace, or in
// the fallback namespace if that one is not fit or does not exist.
//
// The draft's name may be taken. If it is by an object of the same incident that is
// in progress, Create returns that object. Otherwise it advances the name's timestamp
// until the name is free. For a draft of a batch it returns an object of the same
// batch in any phase. For a draft of a storm it returns no object of another batch.
// Errors are *APIError.
func (c *Creator) Create(ctx context.Context, draft Draft) (Created, error) {
	object, err := build(draft, c.now())
	if err != nil {
		return Created{}, err
	}
	if object.Annotations[AnnotationCut] != "" {
		c.metrics.ObjectCut()
	}
	target, fallback := c.placement.Namespace(draft.Signal.Namespace)
	object.Namespace = target
	if fallback {
		c.placement.moveToFallback(object, draft.Signal.Namespace)
	}
	ambiguous := false
	for range maxNameAdvance {
		created, err := c.tryCreate(ctx, object, &ambiguous)
		switch {
		case err == nil:
			return Created{Object: created}, nil
		case isNamespaceMissing(err) && !fallback:
			fallback = true
			c.placement.moveToFallback(object, draft.Signal.Namespace)
		case apierrors.IsAlreadyExists(err):
			existing, err := c.existing(ctx, object)
			if err != nil {
				return Created{}, err
			}
			switch {
			case existing == nil:
				// Deleted in between: the name is free again.
			case ambiguous && isSame(existing, object):
				return Created{Object: existing}, nil
			case isOfBatch(existing, object):
				return Created{Object: existing, Existing: true}, nil
			case draft.Storm == nil && existing.Spec.SignalFingerprint == object.Spec.SignalFingerprint &&
				c.placement.belongs(existing, draft.Signal.Namespace) && existing.InProgress():
				return Created{Object: existing, Existing: true}, nil
			default:
				object.Name = advance(object.Name)
				ambiguous = false
			}
		default:
			class := "k8s_api_error"
			if fallback {
				class = "fallback_failed"
			}
			return Created{}, c.fail(class, "create", object, err)
		}
	}
	return Created{}, c.fail("k8s_api_error", "create", object, fmt.Errorf("no free name after %d attempts", maxNameAdvance))
}

// tryCreate creates the object, with retries. It sets ambiguous when one of the
// failed attempts may have created the object all the same.
func (c *Creator) tryCreate(ctx context.Context, object *v1alpha1.RemediationRequest, ambiguous *bool) (*v1alpha1.RemediationRequest, error) {
	var created *v1alpha1.RemediationRequest
	err := c.retry.Do(ctx, func(ctx context.Context) error {
		if err := c.room.Acquire(ctx, 1); err != nil {
			return err
		}
		defer c.room.Release(1)
		created = object.DeepCopy()
		err := c.client.Create(ctx, created)
		if err != nil && isAmbiguous(err) {
			*ambiguous = true
		}
		return err
	})
	return created, err
}

// existing returns the object that has the name, or nil if it is gone by now.
func (c *Creator) existing(ctx context.Context, object *v1alpha1.RemediationRequest) (*v1alpha1.RemediationRequest, error) {
	var existing v1alpha1.RemediationRequest
	err := c.client.Get(ctx, client.ObjectKeyFromObject(object), &existing)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, c.fail("fetch_existing_failed", "get", object, err)
	}
	return &existing, nil
}

func (c *Creator) fail(class, verb string, object *v1alpha1.RemediationRequest, err error) error {
	c.metrics.CreateFailed(class)
	return &APIError{fmt.Sprintf("%s RemediationRequest %s", verb, client.ObjectKeyFromObject(object)), err}
}

// isSame reports whether the existing object is what an earlier attempt, whose
// outcome was not known, made of ours.
func isSame(existing, ours *v1alpha1.RemediationRequest) bool {
	return existing.Spec.SignalFingerprint == ours.Spec.SignalFingerprint &&
		existing.Spec.ReceivedTime.Unix() == ours.Spec.ReceivedTime.Unix() &&
		existing.Spec.Deduplication.OccurrenceCount == 1 &&
		existing.Annotations[AnnotationCreatedAt] == ours.Annotations[AnnotationCreatedAt] &&
		existing.Status.OverallPhase == ""
}

// isOfBatch reports whether the existing object is what ours would be: made from
// the same batch of alerts, for the same incident.
func isOfBatch(existing, ours *v1alpha1.RemediationRequest) bool {
	batch := ours.Annotations[AnnotationBatch]
	return batch != "" && existing.Annotations[AnnotationBatch] == batch && existing.Spec.SignalFingerprint == ours.Spec.SignalFingerprint
}

// advance returns the name with its timestamp one second later.
func advance(name string) string {
	i := strings.LastIndexByte(name, '-')
	seconds, err := strconv.ParseInt(name[i+1:], 10, 64)
	if err != nil {
		return name + "-1"
	}
	return name[:i+1] + strconv.FormatInt(seconds+1, 10)
}
