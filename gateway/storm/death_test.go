package storm_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/signal"
	"stormgate.internal/gateway/storm"
)

func seconds(n int) config.Duration { return config.Duration(time.Duration(n) * time.Second) }

// story is what a replica lives through until it dies.
type story struct {
	t       *testing.T
	cluster client.WithWatch
	clock   *atomic.Int64
	replica *replica
	// answered are the alerts that were answered with success, and refused those that
	// were not.
	answered, refused []*signal.Signal
	err               error // of the latest refusal
}

func (s *story) send(name, namespace string, pods ...string) {
	for _, pod := range pods {
		sig := storm.TestSignal(name, namespace, pod)
		if _, err := s.replica.Process(s.t.Context(), sig); err == nil {
			s.answered = append(s.answered, sig)
		} else {
			s.refused = append(s.refused, sig)
			s.err = err
		}
		s.replica.storms.Wait()
	}
}

// flush lets time pass and the flusher see to all that is due then.
func (s *story) flush(d time.Duration) {
	s.clock.Add(d.Milliseconds())
	for range 100 {
		wait, err := s.replica.storms.Step(s.t.Context())
		if err != nil || wait > 0 {
			return
		}
	}
	s.t.Fatal("the flusher does not come to an end")
}

func newClock() *atomic.Int64 {
	clock := &atomic.Int64{}
	clock.Store(1_700_000_000_000)
	return clock
}

func (s *story) complete() {
	for _, object := range objectsOf(s.t, s.cluster) {
		if object.InProgress() {
			setPhase(s.t, s.cluster, &object, v1alpha1.PhaseCompleted)
		}
	}
}

// The stories begin with thresholds 0 and 0, a buffer of 3, 1 s and 5 s.
var stories = map[string]func(*story){
	"a window is opened, grows and ends": func(s *story) {
		s.send("A", "shop", "1", "2", "3", "4", "5")
		s.flush(time.Second)
		s.send("A", "shop", "6")
		s.flush(0)
	},
	"a buffer is flushed": func(s *story) {
		s.send("A", "shop", "1", "2")
		s.send("A", "", "1")
		s.flush(time.Second)
	},
	"a flushed alert repeats itself": func(s *story) {
		s.send("A", "shop", "1", "2")
		s.clock.Add(1000)
		s.send("A", "shop", "1")
		s.flush(0)
	},
	"a window's object is completed": func(s *story) {
		s.send("A", "shop", "1", "2", "3", "4")
		s.complete()
		s.answered = nil
		s.send("A", "shop", "5", "1", "6", "7")
		s.flush(time.Second)
	},
	"a member fires again when its object is completed": func(s *story) {
		s.send("A", "shop", "1", "2", "3", "4")
		s.complete()
		s.answered = nil
		s.send("A", "shop", "1", "5", "3", "6")
		s.flush(time.Second)
	},
	"a window is full": func(s *story) {
		s.send("A", "small", "1", "2", "3", "4", "5", "6", "7", "8", "9")
		s.flush(time.Second)
	},
	"there is no room": func(s *story) {
		s.send("A", "small", "1", "2")
		s.send("B", "small", "1", "2")
		s.send("C", "small", "1", "2")
		s.flush(time.Second)
	},
}

// A replica is killed at every single call to Redis and to Kubernetes, before the
// call has its effect and after; another finishes what was begun. Then every alert
// that was answered with success is held by exactly one object, no alert by two,
// none counts twice, and Redis keeps nothing.
func TestNothingIsLostWhereverAReplicaDies(t *testing.T) {
	server := redistest.Start(t)
	indexed(t, server, newCluster())
	raw := server.Client()
	defer raw.Close()
	for title, tell := range stories {
		t.Run(title, func(t *testing.T) {
			died := true
			n := int64(0)
			for n = 1; died; n++ {
				for _, done := range []bool{false, true} {
					// Half of the cases with each, so that the test does not take twice as long.
					repeats := done == (n%2 == 0)
					died = dieAndRecover(t, server, raw, tell, &death{at: n, done: done}, repeats)
					if t.Failed() {
						t.Fatalf("death at call %d (done %t), senders repeat %t", n, done, repeats)
					}
				}
			}
			if n < 20 {
				t.Errorf("the story has only %d calls", n)
			}
			t.Logf("died at each of %d calls", n-2)
		})
	}
}

// dieAndRecover reports whether the replica died in the story.
func dieAndRecover(t *testing.T, server *redistest.Server, raw *redis.Client, tell func(*story), d *death, repeats bool) bool {
	t.Helper()
	ctx := t.Context()
	for _, key := range raw.Keys(ctx, "*").Val() {
		if key != "gateway:dedup:complete" && key != "gateway:dedup:rest" {
			raw.Del(ctx, key)
		}
	}
	cluster := newCluster("shop", "small", "fallback")
	clock := newClock()
	settings := config.Storm{
		BufferThreshold: 3, InactivityTimeout: seconds(1), MaxWindowDuration: seconds(5), DefaultMaxSize: 100, GlobalMaxSize: 200,
		PerNamespaceLimits: map[string]int{"small": 4}, SamplingThreshold: 1, SamplingRate: 1,
	}
	first := newReplica(t, server, cluster, replicaOptions{settings: settings, clock: clock, death: d})
	s := &story{t: t, cluster: cluster, clock: clock, replica: first}
	tell(s)
	first.close()

	// The locks of the dead expire.
	for _, key := range raw.Keys(ctx, "gateway:dedup:lock:*").Val() {
		raw.Del(ctx, key)
	}
	second := newReplica(t, server, cluster, replicaOptions{settings: settings, clock: clock})
	defer second.close()
	s.replica = second
	if repeats {
		refused := s.refused
		s.refused = nil
		for _, sig := range refused {
			s.send(sig.Name, sig.Namespace, sig.Resource.Name)
		}
		if len(s.refused) > 0 {
			t.Errorf("%d repeats are refused: %v", len(s.refused), s.err)
		}
	}
	for range 12 {
		s.flush(time.Second)
	}
	wantAllHeld(t, s, raw, repeats)
	return d.dead()
}

func wantAllHeld(t *testing.T, s *story, raw *redis.Client, repeats bool) {
	t.Helper()
	objects := objectsOf(t, s.cluster)
	holders := func(sig *signal.Signal) (names []string) {
		for i := range objects {
			if o := &objects[i]; o.InProgress() && o.StandsFor(sig.Fingerprint) && (o.Namespace == sig.Namespace || sig.Namespace == "") {
				names = append(names, o.Name)
			}
		}
		return names
	}
	for _, sig := range s.answered {
		if got := holders(sig); len(got) != 1 {
			t.Errorf("%s in %s about %s was answered with success, %d objects hold it: %v", sig.Name, sig.Namespace, sig.Resource.Name, len(got), got)
		}
	}
	for _, sig := range s.refused {
		if got := holders(sig); len(got) > 1 {
			t.Errorf("%s in %s about %s is held by %v", sig.Name, sig.Namespace, sig.Resource.Name, got)
		}
	}
	for _, o := range objects {
		resources := slices.Clone(o.Spec.AffectedResources)
		slices.Sort(resources)
		if len(slices.Compact(resources)) != o.Spec.StormAlertCount || o.Spec.IsStorm != (o.Spec.StormAlertCount > 0) {
			t.Errorf("%s has %d resources %v", o.Name, o.Spec.StormAlertCount, o.Spec.AffectedResources)
		}
		// A repeat of an alert that was stored, though it was not answered, is one.
		if o.Spec.Deduplication.OccurrenceCount != 1 && !repeats {
			t.Errorf("%s counts %d", o.Name, o.Spec.Deduplication.OccurrenceCount)
		}
	}
	for _, key := range raw.Keys(context.Background(), "alert:*").Val() {
		if !strings.HasPrefix(key, "alert:storm:rate:") {
			t.Errorf("Redis keeps %s", key)
		}
	}
	// Each is known to be held.
	for _, sig := range s.answered {
		outcome, err := s.replica.Process(t.Context(), sig)
		if err != nil || outcome.Duplicate == nil {
			t.Errorf("repeat of %s about %s: %+v, %v", sig.Name, sig.Resource.Name, outcome, err)
		}
	}
}
