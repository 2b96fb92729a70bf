package dedup

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/signal"
)

// tryCreate makes an object unless the name is taken, and returns what has it.
func (s *store) tryCreate(sig *signal.Signal, name string) (object *v1alpha1.RemediationRequest, made bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if existing := s.objects[parseRef(sig.Namespace+"/"+name)]; existing != nil {
		return existing.DeepCopy(), false
	}
	object = newObject(sig, name)
	s.put(object)
	return object, true
}

// sender takes signals through deduplication and creation, as the gateway does.
type sender struct {
	*Deduplicator
	cluster   *store
	confirmed *atomic.Int64 // duplicates
}

func (s sender) send(ctx context.Context, sig *signal.Signal) {
	for ctx.Err() == nil {
		verdict, err := s.Check(ctx, sig)
		if err != nil {
			return
		}
		if verdict.Duplicate != nil {
			s.confirmed.Add(1)
			return
		}
		if s.create(ctx, sig, verdict.Claim) {
			return
		}
	}
}

// create reports whether the signal is dealt with, which it is not if somebody
// else's object had the name.
func (s sender) create(ctx context.Context, sig *signal.Signal, claim *Claim) bool {
	switch rand.N(10) {
	case 0:
		claim.Discard(ctx)
		return true
	case 1:
		claim.Release(ctx)
		return true
	case 2: // killed before the create
		s.flights.end(claim.flight)
		return true
	case 3: // killed after it
		s.cluster.tryCreate(sig, claim.Name)
		s.flights.end(claim.flight)
		return true
	case 4: // slow
		time.Sleep(time.Duration(rand.N(5)) * time.Millisecond)
	}
	for name := claim.Name; ; name = s.name(sig.Fingerprint, timeOf(name).Add(time.Second)) {
		object, made := s.cluster.tryCreate(sig, name)
		if made || object.InProgress() {
			claim.Created(ctx, object)
			return made
		}
	}
}

// disturb does to Redis what should not matter, until the context ends.
func disturb(ctx context.Context, replicas []*Deduplicator, sigs []*signal.Signal) {
	client := replicas[0].index.client
	for ctx.Err() == nil {
		switch rand.N(6) {
		case 0:
			client.FlushAll(ctx)
		case 1, 2: // may lose its turn
			client.Del(ctx, restKey)
			_, _ = replicas[rand.N(len(replicas))].care(ctx)
		default: // locks of the dead expire, as do those of the slow
			for _, sig := range sigs {
				client.Del(ctx, replicas[0].incidentOf(sig).lock())
			}
		}
		time.Sleep(time.Duration(rand.N(4)) * time.Millisecond)
	}
}

// Whatever happens to Redis, to replicas and to senders, no incident ever has two
// objects in progress, and every occurrence that was confirmed is counted.
func TestExactlyOnceWhateverHappens(t *testing.T) {
	t.Run("one server", func(t *testing.T) { exactlyOnce(t, connect(t, redistest.Start(t))) })
	t.Run("Redis Cluster", func(t *testing.T) {
		client := redistest.StartCluster(t, 3, false).Client()
		defer client.Close()
		exactlyOnce(t, client)
	})
}

func exactlyOnce(t *testing.T, client redis.UniversalClient) {
	const replicas, senders, incidents, rounds = 3, 12, 3, 40
	s := newStore()
	start := time.Unix(1_763_978_400, 0)
	var ds []*Deduplicator
	for n := range replicas {
		d := newDeduplicator(t, s, client)
		d.now = func() time.Time { return start.Add(time.Duration(n) * time.Second) }
		ds = append(ds, d)
	}
	var sigs []*signal.Signal
	for n := 0; len(sigs) < incidents; n++ {
		sig := testSignal(fmt.Sprint("A", n))
		// The promise is for replicas whose clocks are in one grain.
		if proposal(sig.Fingerprint, start) == proposal(sig.Fingerprint, start.Add(replicas*time.Second)) {
			sigs = append(sigs, sig)
		}
	}
	var confirmed atomic.Int64
	for round := range rounds {
		disturbed, calm := context.WithCancel(t.Context())
		var disturber, senderGroup sync.WaitGroup
		disturber.Go(func() { disturb(disturbed, ds, sigs) })
		for n := range senders {
			senderGroup.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if rand.N(10) == 0 {
					go cancel()
				}
				sender{ds[n%replicas], s, &confirmed}.send(ctx, sigs[rand.N(incidents)])
			})
		}
		senderGroup.Wait()
		calm()
		disturber.Wait()
		for _, sig := range sigs {
			client.Del(t.Context(), ds[0].incidentOf(sig).lock())
			if live := s.live(sig); len(live) > 1 {
				t.Fatalf("round %d: %s has %v", round, sig.Name, live)
			}
		}
		if rand.N(3) == 0 {
			s.setPhase(v1alpha1.PhaseCompleted)
		}
	}
	counted := int64(0)
	for _, object := range s.objects {
		counted += int64(object.Spec.Deduplication.OccurrenceCount - 1)
	}
	if counted < confirmed.Load() || confirmed.Load() == 0 {
		t.Errorf("%d occurrences counted, %d confirmed", counted, confirmed.Load())
	}
}

// live returns the names of the incident's objects in progress.
func (s *store) live(sig *signal.Signal) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, object := range s.objects {
		if object.Spec.SignalFingerprint == sig.Fingerprint && object.InProgress() {
			names = append(names, name.Name)
		}
	}
	return names
}
