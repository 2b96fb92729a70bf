package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
)

// memory is an API that answers at once and costs nearly nothing, so that what is
// measured is the gateway and not a fake of the API server. It has one namespace.
type memory struct {
	client.Client // nil: whatever else is called has no place in a benchmark

	mu      sync.Mutex
	objects map[client.ObjectKey]*v1alpha1.RemediationRequest
	// creating is how many creations have begun. If proceed is not nil, they wait for it.
	creating atomic.Int32
	proceed  chan struct{}
}

func newMemory() *memory {
	return &memory{objects: make(map[client.ObjectKey]*v1alpha1.RemediationRequest)}
}

func (m *memory) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	switch into := into.(type) {
	case *corev1.Namespace:
		into.Name = key.Name
		into.Labels = map[string]string{"environment": "production"}
		return nil
	case *v1alpha1.RemediationRequest:
		m.mu.Lock()
		defer m.mu.Unlock()
		if object := m.objects[key]; object != nil {
			object.DeepCopyInto(into)
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func (m *memory) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

func (m *memory) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	m.creating.Add(1)
	if m.proceed != nil {
		<-m.proceed
	}
	return m.put(object)
}

func (m *memory) Update(_ context.Context, object client.Object, _ ...client.UpdateOption) error {
	return m.put(object)
}

func (m *memory) put(object client.Object) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[client.ObjectKeyFromObject(object)] = object.(*v1alpha1.RemediationRequest).DeepCopy()
	return nil
}

// BenchmarkSignal is the gateway's own cost of an alert, from the handler on, with
// a real Redis. Allocations are those of the gateway and its Redis client.
func BenchmarkSignal(b *testing.B) {
	for _, c := range []struct {
		name  string
		body  func(i int) string
		storm func(*config.Storm)
	}{
		{
			"new",
			func(i int) string {
				return alert(fmt.Sprint("New", i), "shop", "pod")
			},
			func(*config.Storm) {},
		},
		{
			"duplicate",
			func(int) string { return alert("Repeated", "shop", "pod") },
			func(*config.Storm) {},
		},
		{
			"storm",
			func(i int) string {
				return alert(fmt.Sprint("Storm", i/900), "shop", fmt.Sprint("pod-", i))
			},
			func(s *config.Storm) { s.RateThreshold, s.PatternThreshold = 0, 0 },
		},
	} {
		b.Run(c.name, func(b *testing.B) {
			handler := benchmarked(b, newMemory(), c.storm)
			bodies := make([]string, b.N)
			for i := range bodies {
				bodies[i] = c.body(i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i, body := range bodies {
				request := httptest.NewRequest(http.MethodPost, prometheusRoute, strings.NewReader(body))
				recorder := httptest.NewRecorder()
				handler.ServeHTTP(recorder, request)
				if recorder.Code >= 300 {
					b.Fatalf("alert %d is answered %d: %s", i, recorder.Code, recorder.Body)
				}
			}
		})
	}
}

// BenchmarkWaitingSignal is the memory that each signal of a large group takes while it waits
// for the Kubernetes API, with all that waits with it but the connection. The constant
// signalBytes of package server is an estimate of that.
func BenchmarkWaitingSignal(b *testing.B) {
	const signals = 2000
	alerts := make([]string, signals)
	for i := range alerts {
		alerts[i] = fmt.Sprintf(`{"labels":{"alertname":"Waiting","namespace":"shop","pod":"pod-%d"}}`, i)
	}
	body := `{"alerts":[` + strings.Join(alerts, ",") + `]}`
	inUse := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc + m.StackInuse)
	}
	for range b.N {
		api := newMemory()
		api.proceed = make(chan struct{})
		handler := benchmarked(b, api, func(s *config.Storm) { s.RateThreshold, s.PatternThreshold = signals, signals })
		before := inUse()
		recorder := httptest.NewRecorder()
		var answered sync.WaitGroup
		answered.Go(func() {
			handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, prometheusRoute, strings.NewReader(body)))
		})
		for i := 0; api.creating.Load() < 128 && i < 20_000; i++ { // as many as there are at once
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second) // for the others to come to that
		b.ReportMetric(float64(inUse()-before)/signals, "B/signal")
		close(api.proceed)
		if answered.Wait(); recorder.Code != http.StatusCreated {
			b.Fatalf("answer %d", recorder.Code)
		}
	}
}

// benchmarked is the handler of a gateway that runs.
func benchmarked(b *testing.B, api *memory, storm func(*config.Storm)) http.Handler {
	b.Helper()
	policyPath := filepath.Join(b.TempDir(), "priority.rego")
	if err := os.WriteFile(policyPath, []byte(policySource), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg := config.Default()
	cfg.Server.ListenAddr = "127.0.0.1:0"
	cfg.Middleware.RateLimit.RequestsPerMinute = 0
	cfg.Infrastructure.Redis.Addr = redistest.Start(b).Addr
	cfg.Processing.Priority.PolicyPath = policyPath
	storm(&cfg.Processing.Storm)
	a, err := app.New(b.Context(), cfg, app.Options{
		Kubernetes:      api,
		CheckKubernetes: func(context.Context) error { return nil },
		Logger:          slog.New(slog.DiscardHandler),
		ShutdownPause:   -1,
	})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- a.Serve(ctx, listener) }()
	b.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	// Until Redis is known to be there.
	for {
		recorder := httptest.NewRecorder()
		a.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/ready", nil))
		if recorder.Code == http.StatusOK {
			return a.Handler()
		}
		time.Sleep(time.Millisecond)
	}
}
