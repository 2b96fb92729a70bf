package storm

import (
	"context"
	"sync"

	"stormgate.internal/gateway/api/v1alpha1"
)

// settler removes members from Redis that were added to their window's object. It does
// so in the background, for all members together that were added since it did so last.
//
// It does not register the members as their incidents' objects. A member's own request
// does, and holds the claim on the incident until then. If that request ends early, the
// claim stays in Redis. The next request that finds the claim looks for the object in
// the cluster.
type settler struct {
	storms  *Storms
	running sync.WaitGroup

	mu      sync.Mutex
	waiting map[batchRef]*held
	active  bool
}

// held are members that an object holds.
type held struct {
	object       string // namespace/name
	fingerprints []string
}

func newSettler(s *Storms) *settler { return &settler{storms: s, waiting: make(map[batchRef]*held)} }

func (s *settler) add(ref batchRef, fingerprint string, object *v1alpha1.RemediationRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.waiting[ref]
	if h == nil {
		h = &held{object: nameOf(object)}
		s.waiting[ref] = h
	}
	h.fingerprints = append(h.fingerprints, fingerprint)
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
			if err := s.storms.batches.settle(context.Background(), ref, h.object, h.fingerprints...); err != nil {
				s.storms.logger.Warn("alerts in a storm's object are still in Redis, the flusher will remove them", "object", h.object,
					"batch", ref.String(), "alerts", len(h.fingerprints), "error", err)
			}
		}
	}
}

// close waits until all members are removed.
func (s *settler) close() { s.running.Wait() }
