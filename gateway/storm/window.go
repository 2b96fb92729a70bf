package storm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
)

// createTimeout bounds the creation of a window's object. The creation does not end
// with the request that began it, since other requests wait for it, too.
const createTimeout = 20 * time.Second

// errFinished means that a window's object takes no members: it is finished, gone or
// not the window's.
var errFinished = errors.New("the window's object is finished")

// flight is the creation of a window's object in this process.
type flight struct {
	done   chan struct{}
	object *v1alpha1.RemediationRequest
	err    error
}

// hold returns once the window's object holds the member. The contents are those of
// the window, or nil if they are to be read. A member that is not fresh was one before:
// an object that is finished by now held that earlier alert, not this one. The error is
// errFinished if the object never will hold it.
func (s *Storms) hold(ctx context.Context, window batch, known *contents, m member, fresh bool) (*v1alpha1.RemediationRequest, error) {
	own := pendingMember{fingerprint: m.sig.Fingerprint, resource: m.resource}
	ref := parseName(window.object)
	if window.object == "" {
		object, err := s.ensure(ctx, window, known)
		if err != nil {
			return nil, err
		}
		// The object was created with the members of that moment.
		if holds(object, own) && (fresh || object.InProgress()) && !remediation.IsMoreSevere(m.sig.Severity, object.Spec.Severity) {
			return object, nil
		}
		ref = keyOf(object)
	}
	object, err := s.add(ctx, ref, window.ref, own, m.sig, m.sig.ReceivedTime, fresh)
	if err != nil {
		return nil, err
	}
	s.settler.add(window.ref, own.fingerprint, object)
	return object, nil
}

// errHeld means that an object holds a member already.
var errHeld = errors.New("the object holds the member already")

// add makes a window's object hold a member. The error is errFinished if the object
// takes none. If the member is fresh, a finished object that holds it will do. The signal
// is the member's, or nil if it is not kept any more.
func (s *Storms) add(ctx context.Context, ref types.NamespacedName, window batchRef, m pendingMember, sig *signal.Signal, received time.Time, fresh bool) (*v1alpha1.RemediationRequest, error) {
	var seen *v1alpha1.RemediationRequest
	var raisedFrom string
	worse := func(o *v1alpha1.RemediationRequest) bool {
		return sig != nil && o.InProgress() && remediation.IsMoreSevere(sig.Severity, o.Spec.Severity)
	}
	object, err := s.amender.Amend(ctx, ref, func(o *v1alpha1.RemediationRequest) error {
		switch {
		case o.Annotations[remediation.AnnotationBatch] != window.id:
			return errFinished
		case holds(o, m) && (fresh || o.InProgress()):
			if !worse(o) {
				seen = o
				return errHeld
			}
		case !o.InProgress():
			return errFinished
		}
		o.Spec.AddMember(m.fingerprint, m.resource)
		o.Spec.StormAlertCount = len(o.Spec.AffectedResources)
		if last := &o.Spec.Deduplication.LastSeen; received.After(last.Time) {
			*last = metav1.NewTime(received).Rfc3339Copy()
		}
		if sig != nil {
			raisedFrom = s.deduplicator.Raise(ctx, o, sig)
		}
		return nil
	})
	switch {
	case err == nil:
		if sig != nil {
			s.deduplicator.NoteRaised(ctx, object, sig, raisedFrom)
		}
		s.metrics.StormObject(object.Spec.Environment, "", object.Spec.StormAlertCount)
		return object, nil
	case errors.Is(err, errHeld):
		return seen, nil
	case apierrors.IsNotFound(err):
		return nil, errFinished
	}
	return nil, err
}

func holds(object *v1alpha1.RemediationRequest, m pendingMember) bool {
	return object.Spec.HasMember(m.fingerprint, m.resource)
}

// ensure returns the window's object, and creates it if there is none. The contents are
// as in hold.
func (s *Storms) ensure(ctx context.Context, window batch, known *contents) (*v1alpha1.RemediationRequest, error) {
	key := window.ref.String()
	s.mu.Lock()
	f := s.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		s.flights[key] = f
		s.settler.running.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
			defer cancel()
			f.object, f.err = s.create(ctx, window, known)
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

// create creates the window's object from all its members, unless another replica has
// created it. It notes in Redis which members the object holds. It returns the object
// that the window has now.
func (s *Storms) create(ctx context.Context, window batch, known *contents) (*v1alpha1.RemediationRequest, error) {
	if known == nil {
		found, err := s.batches.look(ctx, window.ref)
		switch {
		case err != nil:
			return nil, err
		case found.decision == lookGone:
			return nil, &redisclient.UnavailableError{Op: opAggregate, Err: fmt.Errorf("storm window %s is gone", window.ref)}
		case found.object != "":
			// Another replica has created it by now. Its name is all that is known.
			name := parseName(found.object)
			return &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}, nil
		}
		window, known = found.batch, &found.contents
	}
	first, filler, severest, err := known.signals()
	if err != nil {
		return nil, &redisclient.UnavailableError{Op: opAggregate, Err: fmt.Errorf("read signals of storm window %s: %w", window.ref, err)}
	}
	created, err := s.creator.Create(ctx, s.windowDraft(ctx, window, known.pending, first, filler, severest))
	if err != nil {
		return nil, err
	}
	object := created.Object
	if !created.Existing {
		s.metrics.StormObject(object.Spec.Environment, object.Spec.Priority, object.Spec.StormAlertCount)
	}
	var held []string
	for _, m := range known.pending {
		if holds(object, m) {
			held = append(held, m.fingerprint)
		}
	}
	s.settle(ctx, window.ref, object, held)
	return object, nil
}

// settle registers an object and removes the members that it holds from Redis. A
// failure is only logged. The object holds the members, and a flusher settles those that
// are left.
func (s *Storms) settle(ctx context.Context, ref batchRef, object *v1alpha1.RemediationRequest, fingerprints []string) {
	err := s.deduplicator.Register(ctx, object)
	if err == nil {
		err = s.batches.settle(ctx, ref, nameOf(object), fingerprints...)
	}
	if err != nil {
		s.logger.Warn("alerts in a storm's object are still in Redis, the flusher will remove them", "object", nameOf(object), "batch", ref.String(),
			"alerts", len(fingerprints), "error", err)
	}
}

// signals returns the signal of the first member and that of the one that filled the
// buffer, and the most severe one, or nil if that is not kept any more.
func (c *contents) signals() (first, filler, severest *signal.Signal, err error) {
	if first, err = decode(c.first); err != nil {
		return nil, nil, nil, fmt.Errorf("first member: %w", err)
	}
	if filler, err = decode(c.filler); err != nil {
		return nil, nil, nil, fmt.Errorf("member that filled the buffer: %w", err)
	}
	if c.severest != "" {
		if severest, err = decode(c.severest); err != nil {
			return nil, nil, nil, fmt.Errorf("most severe member: %w", err)
		}
	}
	return first, filler, severest, nil
}

// windowDraft describes the window's object. The fingerprint and resource are those of
// the alert that filled the buffer, and the rest is the first member's. It is as severe
// as the most severe of its members, and as urgent as that makes it.
func (s *Storms) windowDraft(ctx context.Context, window batch, pending []pendingMember, first, filler, severest *signal.Signal) remediation.Draft {
	sig := *first
	sig.Fingerprint, sig.Resource = filler.Fingerprint, filler.Resource
	if sig.Severity = filler.Severity; remediation.IsMoreSevere(first.Severity, filler.Severity) {
		sig.Severity = first.Severity
	}
	resources, fingerprints := make([]string, len(pending)), make([]string, len(pending))
	for i, m := range pending {
		resources[i], fingerprints[i] = m.resource, m.fingerprint
	}
	draft := s.draft(ctx, &sig, window.name, window.ref, severest)
	draft.Storm = &remediation.Storm{Type: window.kind, Resources: resources, Fingerprints: fingerprints, LastSeen: filler.ReceivedTime}
	return draft
}

// draft describes an object that is made from a batch. Worst is another signal of it, or
// nil: the object is to be as severe as that, if it is the more severe one.
func (s *Storms) draft(ctx context.Context, sig *signal.Signal, name string, ref batchRef, worst *signal.Signal) remediation.Draft {
	environment := s.environments.Environment(ctx, sig.Namespace)
	priority := s.priorities.Priority(ctx, sig.Severity, environment, sig.Labels)
	if worst != nil && remediation.IsMoreSevere(worst.Severity, sig.Severity) {
		raised := *sig
		raised.Severity, sig = worst.Severity, &raised
		// P0 is the most urgent.
		priority = min(priority, s.priorities.Priority(ctx, worst.Severity, environment, worst.Labels))
	}
	return remediation.Draft{
		Signal: sig, Environment: environment, Priority: priority, Name: name, Batch: ref.id,
	}
}

// flushMember makes the object of a buffered alert whose storm is over. The fence is
// that of the flusher's turn, or nil if the caller holds the claim on the incident. Worst
// is as in draft. It returns nil if another flusher or request has taken care of the
// member.
func (s *Storms) flushMember(ctx context.Context, ref batchRef, fence *int64, sig, worst *signal.Signal, name string) (*v1alpha1.RemediationRequest, error) {
	name, err := s.batches.reserve(ctx, ref, sig.Fingerprint, name, fence)
	if err != nil || name == "" {
		return nil, err
	}
	created, err := s.creator.Create(ctx, s.draft(ctx, sig, name, ref, worst))
	if err != nil {
		return nil, err
	}
	object := created.Object
	switch {
	case !created.Existing:
		s.metrics.FlushedObject(object.Spec.Environment, object.Spec.Priority)
	case object.Annotations[remediation.AnnotationBatch] != ref.id:
		// It is the incident's, but was made without this alert.
		if worst == nil || !remediation.IsMoreSevere(worst.Severity, sig.Severity) {
			worst = sig
		}
		var raisedFrom string
		object, err = s.amender.Amend(ctx, keyOf(object), func(o *v1alpha1.RemediationRequest) error {
			if err := repeated(o, sig); err != nil {
				return err
			}
			raisedFrom = s.deduplicator.Raise(ctx, o, worst)
			return nil
		})
		if err != nil {
			return nil, err
		}
		s.deduplicator.NoteRaised(ctx, object, worst, raisedFrom)
	}
	s.settle(ctx, ref, object, []string{sig.Fingerprint})
	return object, nil
}

// repeated counts a signal on the object of its incident.
func repeated(o *v1alpha1.RemediationRequest, sig *signal.Signal) error {
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

// keyOf returns the name by which the cluster knows an object.
func keyOf(object *v1alpha1.RemediationRequest) types.NamespacedName {
	return types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
}

// nameOf returns an object's namespace/name, as Redis keeps it.
func nameOf(object *v1alpha1.RemediationRequest) string { return keyOf(object).String() }

// parseName is the reverse of nameOf.
func parseName(text string) types.NamespacedName {
	namespace, name, _ := strings.Cut(text, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}
