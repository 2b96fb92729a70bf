package storm

import (
	"context"
	"sync"

	"stormgate.internal/gateway/api/v1alpha1"
)

// settler notes in Redis, beside the requests, that windows' objects hold members
// which were added. Members that come while it is at work are noted together.
//
// It does not register them: each is registered by its own request, which until
// then holds the claim on its incident. Should that request end before, the claim
// remains in Redis, and whoever meets it looks for the object in the cluster.
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
				s.storms.logger.Warn("alerts were added to a storm's object, that is not noted yet", "object", h.object,
					"batch", ref.String(), "alerts", len(h.fingerprints), "error", err)
			}
		}
	}
}

// close waits until all is noted.
func (s *settler) close() { s.running.Wait() }
