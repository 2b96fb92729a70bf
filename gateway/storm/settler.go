package storm

import (
	"context"
	"sync"

	"stormgate.internal/gateway/api/v1alpha1"
)

// settler notes in Redis, beside the requests, which members their window's object
// holds. Members that come while it is at work are noted together.
type settler struct {
	storms  *Storms
	running sync.WaitGroup

	mu      sync.Mutex
	waiting map[batchRef]*held
	active  bool
}

// held are members that an object holds.
type held struct {
	object  *v1alpha1.RemediationRequest
	members []pendingMember
}

func newSettler(s *Storms) *settler { return &settler{storms: s, waiting: make(map[batchRef]*held)} }

func (s *settler) add(ref batchRef, m pendingMember, object *v1alpha1.RemediationRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.waiting[ref]
	if h == nil {
		h = &held{}
		s.waiting[ref] = h
	}
	h.object = object
	h.members = append(h.members, m)
	if !s.active {
		s.active = true
		s.running.Go(s.run)
	}
}

// run works until nothing is waiting.
func (s *settler) run() {
	for {
		s.mu.Lock()
		work := s.waiting
		s.active = len(work) > 0
		s.waiting = make(map[batchRef]*held)
		s.mu.Unlock()
		if len(work) == 0 {
			return
		}
		for ref, h := range work {
			s.storms.settleSome(context.Background(), ref, h.object, h.members)
		}
	}
}

// settleSome is settle for members that were added to an object: the others are
// registered, and to do that again for each that is added would cost more with
// every one.
func (s *Storms) settleSome(ctx context.Context, ref batchRef, object *v1alpha1.RemediationRequest, members []pendingMember) {
	part := *object
	part.Spec.AffectedResources = nil
	fingerprints := make([]string, len(members))
	for i, m := range members {
		fingerprints[i] = m.fingerprint
		part.Spec.AffectedResources = append(part.Spec.AffectedResources, m.resource)
	}
	if !part.StandsFor(fingerprints[0]) {
		// That of a cluster-scoped resource shows only beside the object's own.
		part.Spec.AffectedResources = object.Spec.AffectedResources
	}
	s.settle(ctx, ref, &part, fingerprints)
}

// close waits until all is noted.
func (s *settler) close() { s.running.Wait() }
