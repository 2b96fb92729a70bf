package storm

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/policy"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/remediation"
)

// memory is a cluster that answers at once, so that a benchmark shows what storms
// cost by themselves.
type memory struct {
	client.Client
	mu      sync.Mutex
	objects map[types.NamespacedName]*v1alpha1.RemediationRequest
	updates atomic.Int64
}

func (m *memory) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	return m.keep(object)
}

func (m *memory) Update(_ context.Context, object client.Object, _ ...client.UpdateOption) error {
	m.updates.Add(1)
	return m.keep(object)
}

func (m *memory) keep(object client.Object) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[client.ObjectKeyFromObject(object)] = object.(*v1alpha1.RemediationRequest).DeepCopy()
	return nil
}

func (m *memory) Get(_ context.Context, name types.NamespacedName, into client.Object, _ ...client.GetOption) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	object := m.objects[name]
	request, ok := into.(*v1alpha1.RemediationRequest)
	if object == nil || !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "objects"}, name.Name)
	}
	object.DeepCopyInto(request)
	return nil
}

// BenchmarkStorm is the cost of an alert that is added to one of a few storms, by 64
// senders, with real Redis and a cluster that costs nothing.
func BenchmarkStorm(b *testing.B) {
	redis := redistest.Start(b).Client()
	defer redis.Close()
	m := &memory{objects: make(map[types.NamespacedName]*v1alpha1.RemediationRequest)}
	logger, observed := slog.New(slog.DiscardHandler), metrics.New()
	store := remediation.NewStore(m, remediation.Placement{})
	retry := remediation.Retry{MaxAttempts: 1, Metrics: observed}
	amender := amend.New(store)
	defer amender.Close()
	settings := config.Default().Processing.Storm
	settings.RateThreshold, settings.PatternThreshold = 0, 0
	s := New(Options{
		Redis: redis, Settings: settings, Amender: amender,
		Deduplicator: dedup.New(dedup.Options{
			Redis: redis, Objects: store, Amender: amender, Retry: retry, Metrics: observed, Logger: logger, TTL: time.Minute, Name: remediation.Name,
		}),
		Creator:      remediation.NewCreator(m, remediation.Placement{}, retry, observed),
		Environments: policy.NewEnvironments(m, types.NamespacedName{}, time.Minute, logger),
		Priorities:   testPriorities(), Metrics: observed, Logger: logger,
	})
	defer s.Close()
	var serial, gathered atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := serial.Add(1)
			sig := testSignal(fmt.Sprintf("Storm%d", n%8), "shop", fmt.Sprintf("pod-%d", n))
			verdict, err := s.Handle(context.Background(), sig, fmt.Sprintf("rr-%d", n), dedup.Guard{})
			if err != nil {
				b.Error(err)
				return
			}
			if verdict.Object != nil {
				gathered.Add(1)
			}
		}
	})
	b.StopTimer()
	s.settler.running.Wait()
	held := 0
	for _, o := range m.objects {
		held += len(o.Spec.AffectedResources)
	}
	if held < int(gathered.Load()) || held > int(serial.Load()) {
		b.Errorf("objects hold %d alerts of %d, of which %d are said to be held", held, serial.Load(), gathered.Load())
	}
	b.ReportMetric(float64(m.updates.Load())/float64(b.N), "updates/op")
}

// BenchmarkNoStorm is the cost that detection adds to an alert which is part of no
// storm.
func BenchmarkNoStorm(b *testing.B) {
	redis := redistest.Start(b).Client()
	defer redis.Close()
	s := New(Options{Redis: redis, Settings: config.Default().Processing.Storm, Metrics: metrics.New()})
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if v, err := s.Handle(b.Context(), testSignal(fmt.Sprintf("Alert%d", n), "shop", "pod"), "rr", dedup.Guard{}); err != nil || v.Kind != None {
			b.Fatal(v, err)
		}
	}
}
