package storm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
)

// createTimeout bounds the creation of a window's object, which does not end with
// the request that began it: others wait for it, too.
const createTimeout = 20 * time.Second

// errFinished says that a window's object is finished, gone or not the window's, so
// that it takes no members.
var errFinished = errors.New("the window's object is finished")

// flight is the creation of a window's object in this process.
type flight struct {
	done   chan struct{}
	object *v1alpha1.RemediationRequest
	err    error
}

// hold returns when the window's object holds the member. The error is errFinished
// if it never will.
func (s *Storms) hold(ctx context.Context, d batch, m member) (*v1alpha1.RemediationRequest, error) {
	own := pendingMember{fingerprint: m.sig.Fingerprint, resource: m.resource}
	// If it was a member before, an object which is finished held that alert, not this.
	fresh := d.word != "again"
	ref := parseName(d.object)
	if d.object == "" {
		object, err := s.ensure(ctx, d)
		if err != nil {
			return nil, err
		}
		// Whoever created it began with the members of that moment.
		if holds(object, m.resource) && (fresh || object.InProgress()) {
			return object, nil
		}
		ref = types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	}
	object, err := s.add(ctx, ref, d.ref, own, m.sig.ReceivedTime, fresh)
	if err != nil {
		return nil, err
	}
	s.settler.add(d.ref, own.fingerprint, object)
	return object, nil
}

// errHeld says that an object needs no change to hold a member.
var errHeld = errors.New("the object holds the member already")

// add makes a window's object hold a member. The error is errFinished if the object
// takes none. A finished object may hold a member already; that is good enough for
// a fresh one.
func (s *Storms) add(ctx context.Context, ref types.NamespacedName, window batchRef, m pendingMember, received time.Time, fresh bool) (*v1alpha1.RemediationRequest, error) {
	var seen *v1alpha1.RemediationRequest
	object, err := s.amender.Amend(ctx, ref, func(o *v1alpha1.RemediationRequest) error {
		switch {
		case o.Annotations[remediation.AnnotationBatch] != window.id:
			return errFinished
		case holds(o, m.resource) && (fresh || o.InProgress()):
			seen = o
			return errHeld
		case !o.InProgress():
			return errFinished
		}
		o.Spec.AffectedResources = append(o.Spec.AffectedResources, m.resource)
		o.Spec.StormAlertCount = len(o.Spec.AffectedResources)
		if last := &o.Spec.Deduplication.LastSeen; received.After(last.Time) {
			*last = metav1.NewTime(received).Rfc3339Copy()
		}
		return nil
	})
	switch {
	case err == nil:
		s.metrics.StormObject(object.Spec.Environment, "", object.Spec.StormAlertCount)
		return object, nil
	case errors.Is(err, errHeld):
		return seen, nil
	case apierrors.IsNotFound(err):
		return nil, errFinished
	}
	return nil, err
}

func holds(object *v1alpha1.RemediationRequest, resource string) bool {
	return slices.Contains(object.Spec.AffectedResources, resource)
}

// ensure returns the window's object, which it creates if need be.
func (s *Storms) ensure(ctx context.Context, d batch) (*v1alpha1.RemediationRequest, error) {
	key := d.ref.String()
	s.mu.Lock()
	f := s.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		s.flights[key] = f
		s.settler.running.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
			defer cancel()
			f.object, f.err = s.create(ctx, d)
			s.mu.Lock()
			delete(s.flights, key)
			s.mu.Unlock()
			close(f.done)
		})
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.object, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// create creates the window's object from all members there are, unless somebody
// else has, and notes in Redis that it holds them. It returns the object that the
// window has now.
func (s *Storms) create(ctx context.Context, d batch) (*v1alpha1.RemediationRequest, error) {
	if d.word == "added" || d.word == "again" {
		window, err := s.batches.look(ctx, d.ref)
		if err != nil {
			return nil, err
		}
		if d = window; d.word == "" {
			return nil, &redisclient.UnavailableError{Op: opAggregate, Err: fmt.Errorf("storm window %s is gone", d.ref)}
		}
		if d.object != "" {
			// Somebody else has created it by now. Its name is all that is known.
			name := parseName(d.object)
			return &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}, nil
		}
	}
	first, filler, err := d.signals()
	if err != nil {
		return nil, &redisclient.UnavailableError{Op: opAggregate, Err: err}
	}
	created, err := s.creator.Create(ctx, s.draft(ctx, d, first, filler))
	if err != nil {
		return nil, err
	}
	object := created.Object
	if !created.Existing {
		s.metrics.StormObject(object.Spec.Environment, object.Spec.Priority, object.Spec.StormAlertCount)
	}
	var held []string
	for _, m := range d.pending {
		if holds(object, m.resource) {
			held = append(held, m.fingerprint)
		}
	}
	s.settle(ctx, d.ref, object, held)
	return object, nil
}

// settle registers an object and removes the members that it holds from Redis. A
// failure is only logged: the object holds them, and the flusher settles what is
// left.
func (s *Storms) settle(ctx context.Context, ref batchRef, object *v1alpha1.RemediationRequest, fingerprints []string) {
	err := s.deduplicator.Register(ctx, object)
	if err == nil {
		err = s.batches.settle(ctx, ref, nameOf(object), fingerprints...)
	}
	if err != nil {
		s.logger.Warn("object holds alerts of a storm, that is not noted yet", "object", nameOf(object), "batch", ref.String(),
			"alerts", len(fingerprints), "error", err)
	}
}

// signals returns the signal of the first member and the one that filled the buffer.
func (b batch) signals() (first, filler *signal.Signal, err error) {
	if first, err = decode(b.first); err != nil {
		return nil, nil, fmt.Errorf("first member of %s: %w", b.ref, err)
	}
	if b.filler == "" {
		return nil, nil, fmt.Errorf("%s has lost the member that filled it", b.ref)
	}
	if filler, err = decode(b.filler); err != nil {
		return nil, nil, fmt.Errorf("member that filled %s: %w", b.ref, err)
	}
	return first, filler, nil
}

// draft describes the window's object: the incident and resource are those of the
// alert that filled the buffer, the rest is the first member's.
func (s *Storms) draft(ctx context.Context, d batch, first, filler *signal.Signal) remediation.Draft {
	sig := *first
	sig.Fingerprint, sig.Severity, sig.Resource = filler.Fingerprint, filler.Severity, filler.Resource
	resources := make([]string, len(d.pending))
	for i, m := range d.pending {
		resources[i] = m.resource
	}
	environment := s.environments.Environment(ctx, sig.Namespace)
	return remediation.Draft{
		Signal: &sig, Environment: environment, Priority: s.priorities.Priority(ctx, sig.Severity, environment, sig.Labels),
		Name: d.name, Batch: d.ref.id,
		Storm: &remediation.Storm{Type: d.kind, Resources: resources, LastSeen: filler.ReceivedTime},
	}
}

// flushMember makes the object of a buffered alert whose storm is over. The fence is
// the flusher's, or empty if the caller holds the claim on the incident. It returns
// nil if the member was flushed by somebody else.
func (s *Storms) flushMember(ctx context.Context, ref batchRef, fence string, sig *signal.Signal, name string) (*v1alpha1.RemediationRequest, error) {
	name, err := s.batches.reserve(ctx, ref, sig.Fingerprint, name, fence)
	if err != nil || name == "" {
		return nil, err
	}
	environment := s.environments.Environment(ctx, sig.Namespace)
	created, err := s.creator.Create(ctx, remediation.Draft{
		Signal: sig, Environment: environment, Priority: s.priorities.Priority(ctx, sig.Severity, environment, sig.Labels),
		Name: name, Batch: ref.id,
	})
	if err != nil {
		return nil, err
	}
	object := created.Object
	switch {
	case !created.Existing:
		s.metrics.FlushedObject(object.Spec.Environment, object.Spec.Priority)
	case object.Annotations[remediation.AnnotationBatch] != ref.id:
		// It is the incident's, but was made without this alert.
		if object, err = s.amender.Amend(ctx, types.NamespacedName{Namespace: object.Namespace, Name: object.Name}, repeated(sig)); err != nil {
			return nil, err
		}
	}
	s.settle(ctx, ref, object, []string{sig.Fingerprint})
	return object, nil
}

// repeated counts a signal on the object of its incident.
func repeated(sig *signal.Signal) amend.Change {
	return func(o *v1alpha1.RemediationRequest) error {
		if !o.InProgress() {
			return errFinished
		}
		d := &o.Spec.Deduplication
		d.OccurrenceCount++
		if sig.ReceivedTime.After(d.LastSeen.Time) {
			d.LastSeen = metav1.NewTime(sig.ReceivedTime).Rfc3339Copy()
		}
		return nil
	}
}

func nameOf(object *v1alpha1.RemediationRequest) string { return object.Namespace + "/" + object.Name }
