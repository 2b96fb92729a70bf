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
	"strings"
	"sync"
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
			handler := benchmarked(b, c.storm)
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

// benchmarked is the handler of a gateway that runs.
func benchmarked(b *testing.B, storm func(*config.Storm)) http.Handler {
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
		Kubernetes:      &memory{objects: make(map[client.ObjectKey]*v1alpha1.RemediationRequest)},
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
