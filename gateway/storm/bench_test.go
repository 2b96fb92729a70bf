package storm

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/remediation"
)

// memory is a cluster that answers at once, so that a benchmark shows what storms
// cost by themselves.
type memory struct {
	nothing
	Incidents
	mu      sync.Mutex
	objects map[types.NamespacedName]*v1alpha1.RemediationRequest
	updates atomic.Int64
}

func (m *memory) Environment(context.Context, string) string { return "production" }
func (m *memory) Priority(context.Context, string, string, map[string]string) string {
	return "P0"
}
func (m *memory) Register(context.Context, *v1alpha1.RemediationRequest) error { return nil }

func (m *memory) Create(_ context.Context, d remediation.Draft) (remediation.Created, error) {
	o := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: d.Signal.Namespace, Name: d.Name, Annotations: map[string]string{remediation.AnnotationBatch: d.Batch}}}
	o.Spec.SignalName, o.Spec.SignalFingerprint = d.Signal.Name, d.Signal.Fingerprint
	o.Spec.AffectedResources = d.Storm.Resources
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = o
	return remediation.Created{Object: o}, nil
}

func (m *memory) Get(_ context.Context, name types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.objects[name]; o != nil {
		return o.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "remediationrequests"}, name.Name)
}

func (m *memory) Update(_ context.Context, o *v1alpha1.RemediationRequest) error {
	m.updates.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = o.DeepCopy()
	return nil
}

// BenchmarkStorm is the cost of an alert that is added to one of a few storms, by 64
// senders, with real Redis and a cluster that costs nothing.
func BenchmarkStorm(b *testing.B) {
	client := redistest.Start(b).Client()
	defer client.Close()
	m := &memory{objects: make(map[types.NamespacedName]*v1alpha1.RemediationRequest)}
	amender := amend.New(m)
	defer amender.Close()
	settings := config.Default().Processing.Storm
	settings.RateThreshold, settings.PatternThreshold = 0, 0
	s := New(Options{
		Redis: client, Settings: settings, Incidents: m, Amender: amender, Creator: m,
		Environments: m, Priorities: m, Observer: m, Logger: slog.New(slog.DiscardHandler),
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
			verdict, err := s.Handle(context.Background(), sig, fmt.Sprintf("rr-%d", n))
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
	client := redistest.Start(b).Client()
	defer client.Close()
	s := New(Options{Redis: client, Settings: config.Default().Processing.Storm, Observer: nothing{}})
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if v, err := s.Handle(b.Context(), testSignal(fmt.Sprintf("Alert%d", n), "shop", "pod"), "rr"); err != nil || v.Kind != None {
			b.Fatal(v, err)
		}
	}
}
