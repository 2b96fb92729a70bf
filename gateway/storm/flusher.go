package storm

import (
	"context"
	"errors"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/signal"
)

const (
	firstPostponement = time.Second
	// longestPostponement is after how long what failed often is tried again.
	longestPostponement = 30 * time.Second
	// redisPause is the wait before Redis is asked again after it failed.
	redisPause = time.Second
)

// Run finishes what is due until the context ends: it flushes buffers that were not
// filled, sees to members that their window's object does not hold, and removes
// windows that have ended. It is to run in every replica.
//
// It sleeps until something is due, or could be by the time at which others may have
// brought something that is due sooner; it looks at no batch before.
func (s *Storms) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait, err := s.step(ctx)
		if err != nil && ctx.Err() == nil {
			wait = redisPause
			s.logger.Warn("storms can't be flushed now", "error", err)
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

// step sees to one batch if one is due, and returns how long there is nothing to do.
// The error is that of taking a batch; a batch that can't be finished is postponed.
func (s *Storms) step(ctx context.Context) (time.Duration, error) {
	b, err := s.batches.take(ctx)
	switch {
	case err != nil:
		return 0, err
	case b.word == "idle" && b.waits < 0:
		return s.batches.soonest(), nil
	case b.word == "idle":
		return min(b.waits, s.batches.soonest()), nil
	}
	switch b.word {
	case "closed":
		s.closed(b)
		return 0, nil
	case "flush":
		err = s.flush(ctx, b)
	default:
		err = s.catchUp(ctx, b)
	}
	if err != nil {
		s.logger.Warn("storm batch is not finished, it is taken up again later", "batch", b.ref.String(), "task", b.word, "members", len(b.pending), "error", err)
		if err := s.batches.postpone(context.WithoutCancel(ctx), b.ref, b.fence, firstPostponement, longestPostponement); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// flush gives each member of a buffer that was not filled an object of its own.
func (s *Storms) flush(ctx context.Context, b batch) error {
	return b.each(func(m pendingMember) error { return s.flushOne(ctx, b, m) })
}

// each calls do for each pending member, also after an error.
func (b batch) each(do func(pendingMember) error) error {
	var failures []error
	for _, m := range b.pending {
		failures = append(failures, do(m))
	}
	return errors.Join(failures...)
}

// flushOne may use up the whole turn. The member's name can be fixed only during the
// turn, and fixing it begins the turn anew.
func (s *Storms) flushOne(ctx context.Context, b batch, m pendingMember) error {
	ctx, cancel := context.WithTimeout(ctx, s.turn)
	defer cancel()
	sig, err := s.signalOf(ctx, b.ref, m.fingerprint)
	if sig == nil || err != nil {
		return err
	}
	// A name that is fixed already is that of an object which may exist. Nobody could
	// use another since.
	if m.name != "" {
		_, err := s.flushMember(ctx, b.ref, b.fence, sig, m.name)
		return err
	}
	return s.takeAfresh(ctx, b.ref, sig, func(name string) (*v1alpha1.RemediationRequest, error) {
		return s.flushMember(ctx, b.ref, b.fence, sig, name)
	})
}

// takeAfresh takes a member's signal as one that has just come: create gives it an
// object of the name, unless its incident has one.
func (s *Storms) takeAfresh(ctx context.Context, ref batchRef, sig *signal.Signal, create func(name string) (*v1alpha1.RemediationRequest, error)) error {
	verdict, err := s.deduplicator.Check(ctx, sig)
	if err != nil {
		return err
	}
	if verdict.Duplicate != nil {
		// The incident has got an object, which has counted the alert.
		return s.batches.settle(ctx, ref, "", sig.Fingerprint)
	}
	object, err := create(verdict.Claim.Name)
	end(ctx, verdict.Claim, object, err)
	return err
}

// end ends the claim on the incident of a member that was taken care of.
func end(ctx context.Context, claim *dedup.Claim, object *v1alpha1.RemediationRequest, err error) {
	switch {
	case err != nil:
		claim.Release(ctx)
	case object == nil:
		claim.Discard(ctx)
	default:
		claim.Created(ctx, object)
	}
}

// catchUp brings members into their window's object that the requests with them did
// not: because the replica that had them ended, or the API failed.
func (s *Storms) catchUp(ctx context.Context, b batch) error {
	ctx, cancel := context.WithTimeout(ctx, s.turn)
	defer cancel()
	if b.object == "" {
		_, err := s.ensure(ctx, b)
		return err
	}
	return b.each(func(m pendingMember) error { return s.catchUpOne(ctx, b, m) })
}

func (s *Storms) catchUpOne(ctx context.Context, b batch, m pendingMember) error {
	object, err := s.add(ctx, parseName(b.object), b.ref, m, time.UnixMilli(m.arrived), true)
	if err == nil {
		s.settleSome(ctx, b.ref, object, m)
		return nil
	}
	if !errors.Is(err, errFinished) {
		return err
	}
	// The object is finished, or gone, without this member, which starts afresh.
	sig, err := s.signalOf(ctx, b.ref, m.fingerprint)
	if sig == nil || err != nil {
		return err
	}
	return s.takeAfresh(ctx, b.ref, sig, func(name string) (*v1alpha1.RemediationRequest, error) {
		handled, err := s.handle(ctx, sig, name, b.ref.id, b.kind)
		return handled.Object, err
	})
}

// settleSome is settle for members that were added to an object: the others are
// registered, and to do that again for each that is added would cost more with
// every one.
func (s *Storms) settleSome(ctx context.Context, ref batchRef, object *v1alpha1.RemediationRequest, m pendingMember) {
	part := *object
	part.Spec.AffectedResources = []string{m.resource}
	if !part.StandsFor(m.fingerprint) {
		// That of a cluster-scoped resource shows only beside the object's own.
		part.Spec.AffectedResources = object.Spec.AffectedResources
	}
	s.settle(ctx, ref, &part, []string{m.fingerprint})
}

func (s *Storms) signalOf(ctx context.Context, ref batchRef, fingerprint string) (*signal.Signal, error) {
	data, err := s.batches.payload(ctx, ref, fingerprint)
	if err != nil || data == "" {
		return nil, err
	}
	sig, err := decode(data)
	if err != nil {
		return nil, &redisclient.UnavailableError{Op: opAggregate, Err: err}
	}
	return sig, nil
}

func (s *Storms) closed(b batch) {
	scope := strings.SplitN(b.ref.scope, ":", 2)
	s.metrics.WindowClosed(scope[0], scope[1], b.lasted)
}

func parseName(text string) types.NamespacedName {
	namespace, name, _ := strings.Cut(text, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}
