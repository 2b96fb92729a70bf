package storm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
)

const (
	firstPostponement = time.Second
	// longestPostponement is the longest wait after a batch failed, however often.
	longestPostponement = 30 * time.Second
	// redisPause is the wait before the next call after Redis failed.
	redisPause = time.Second
)

// Run works until the context ends. It flushes buffers that have ended, brings members
// into their window's object that it does not hold, and removes windows that have
// ended. Every replica is to run it.
//
// It sleeps until a batch is due. It wakes up earlier if a batch that another replica
// begins meanwhile could be due earlier.
func (s *Storms) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait, err := s.step(ctx)
		if err != nil && ctx.Err() == nil {
			wait = redisPause
			s.logger.Warn("take storm batch failed, it is tried again", "error", err)
		}
		if wait <= 0 {
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// step takes care of one batch if one is due. It returns the time for which there is
// nothing to do. The error is that of taking a batch. A batch that can't be finished is
// postponed.
func (s *Storms) step(ctx context.Context) (time.Duration, error) {
	t, err := s.batches.take(ctx)
	if err != nil {
		return 0, err
	}
	switch t.decision {
	case takeNone:
		return s.batches.soonest(), nil
	case takeIdle:
		return min(t.wait, s.batches.soonest()), nil
	case takeClosed:
		namespace, name, _ := strings.Cut(t.ref.scope, ":")
		s.metrics.WindowClosed(namespace, name, t.lasted)
		return 0, nil
	case takeFlush:
		err = s.flush(ctx, t)
	case takeWindow:
		err = s.catchUp(ctx, t)
	}
	if err != nil {
		s.logger.Warn("storm batch is not finished, it is taken up again later", "batch", t.ref.String(), "task", string(t.decision),
			"members", len(t.contents.pending), "error", err)
		if err := s.batches.postpone(context.WithoutCancel(ctx), t.ref, t.fence, firstPostponement, longestPostponement); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// each does something for every member, and returns all errors.
func each(members []pendingMember, do func(pendingMember) error) error {
	var failures []error
	for _, m := range members {
		if err := do(m); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// flush gives each member of a buffer that has ended an object of its own.
func (s *Storms) flush(ctx context.Context, t task) error {
	return each(t.contents.pending, func(m pendingMember) error { return s.flushOne(ctx, t, m) })
}

// flushOne may use up the whole turn. The member's name can be fixed only during the
// turn, and fixing it begins the turn anew.
func (s *Storms) flushOne(ctx context.Context, t task, m pendingMember) error {
	ctx, cancel := context.WithTimeout(ctx, s.turn)
	defer cancel()
	sig, worst, err := s.signalsOf(ctx, t.ref, m.fingerprint)
	if sig == nil || err != nil {
		return err
	}
	// An object with the name may exist if the name is fixed. No replica has been able to
	// use another name since.
	if m.name != "" {
		_, err := s.flushMember(ctx, t.ref, &t.fence, sig, worst, m.name)
		return err
	}
	return s.claim(ctx, t.ref, worst, func(name string) (*v1alpha1.RemediationRequest, error) {
		return s.flushMember(ctx, t.ref, &t.fence, sig, worst, name)
	})
}

// claim claims the incident of a member, whose object gets the name that is reserved
// for it, and ends the claim. If the incident has an object, that has counted the alert
// and the member is removed. The signal is the member's most severe one, as which it is
// counted.
func (s *Storms) claim(ctx context.Context, ref batchRef, sig *signal.Signal, handle func(name string) (*v1alpha1.RemediationRequest, error)) error {
	verdict, err := s.deduplicator.Check(ctx, sig)
	if err != nil {
		return err
	}
	if verdict.Duplicate != nil {
		return s.batches.settle(ctx, ref, "", sig.Fingerprint)
	}
	claim := verdict.Claim
	defer claim.Close(ctx)
	object, err := handle(claim.Name)
	switch {
	case err != nil:
		claim.Release(ctx)
	case object == nil:
		claim.Discard(ctx)
	default:
		claim.Created(ctx, object)
	}
	return err
}

// catchUp brings members into their window's object that their requests did not bring
// there, because the replica ended or the API failed.
func (s *Storms) catchUp(ctx context.Context, t task) error {
	ctx, cancel := context.WithTimeout(ctx, s.turn)
	defer cancel()
	if t.object == "" {
		_, err := s.ensure(ctx, t.batch, &t.contents)
		return err
	}
	return each(t.contents.pending, func(m pendingMember) error { return s.catchUpOne(ctx, t, m) })
}

func (s *Storms) catchUpOne(ctx context.Context, t task, m pendingMember) error {
	worst, err := s.worstOf(ctx, t.ref, m.fingerprint)
	if err != nil {
		return err
	}
	object, err := s.add(ctx, parseName(t.object), t.ref, m, worst, time.UnixMilli(m.arrived), true)
	if err == nil {
		s.settleSome(ctx, t.ref, object, m)
		return nil
	}
	if !errors.Is(err, errFinished) {
		return err
	}
	// The object is finished, or gone, without this member, which starts afresh. Nothing
	// else is kept of it then, so it does as its most severe signal.
	if worst == nil {
		return nil
	}
	return s.claim(ctx, t.ref, worst, func(name string) (*v1alpha1.RemediationRequest, error) {
		handled, err := s.handle(ctx, worst, name, dedup.Guard{}, t.ref.id, t.kind)
		return handled.Object, err
	})
}

// settleSome is settle for a member that was added to an object. It registers only that
// member. To register all members each time would cost more with every one.
func (s *Storms) settleSome(ctx context.Context, ref batchRef, object *v1alpha1.RemediationRequest, m pendingMember) {
	part := *object
	part.Spec.AffectedResources = []string{m.resource}
	part.Spec.AffectedFingerprints = nil
	if slices.Contains(object.Spec.AffectedFingerprints, m.fingerprint) {
		part.Spec.AffectedFingerprints = []string{m.fingerprint}
	}
	if !part.StandsFor(m.fingerprint) {
		// That of a cluster-scoped resource shows only beside the object's own.
		part.Spec.AffectedResources = object.Spec.AffectedResources
	}
	s.settle(ctx, ref, &part, []string{m.fingerprint})
}

// signalsOf returns the signal of a member, and the most severe of all its signals. Both
// are nil if the member is not pending any more.
func (s *Storms) signalsOf(ctx context.Context, ref batchRef, fingerprint string) (first, worst *signal.Signal, err error) {
	kept, raised, err := s.batches.payload(ctx, ref, fingerprint)
	if err != nil || kept == "" {
		return nil, nil, err
	}
	if first, err = decode(kept); err != nil {
		return nil, nil, &redisclient.UnavailableError{Op: opAggregate, Err: err}
	}
	worst = first
	if raised != "" {
		repeat, err := decode(raised)
		if err != nil {
			return nil, nil, &redisclient.UnavailableError{Op: opAggregate, Err: err}
		}
		if remediation.IsMoreSevere(repeat.Severity, first.Severity) {
			worst = repeat
		}
	}
	return first, worst, nil
}

// worstOf returns the most severe signal of a member, or nil if it is not pending.
func (s *Storms) worstOf(ctx context.Context, ref batchRef, fingerprint string) (*signal.Signal, error) {
	_, worst, err := s.signalsOf(ctx, ref, fingerprint)
	return worst, err
}
