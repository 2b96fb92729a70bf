package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/kubernetes"
)

const policySource = `package kubernaut.gateway.priority
default priority := "P2"
priority := "P0" if { input.severity == "critical"; input.environment == "production" }
priority := "P1" if input.labels.team == "vip"
`

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a Kubernetes API with the given namespaces, which can be made to fail.
type cluster struct {
	client.Client
	// fault is asked before each request; verb is get, list, create or update.
	fault atomic.Pointer[func(verb string, object any) error]
}

// holdCreate makes the one create that follows wait: entered is closed when it
// arrives, and it goes on when proceed is closed.
func (c *cluster) holdCreate() (entered <-chan struct{}, proceed chan<- struct{}) {
	arrived, goOn := make(chan struct{}), make(chan struct{})
	c.failWith(func(verb string, _ any) error {
		if verb == "create" {
			close(arrived)
			<-goOn
		}
		return nil
	})
	return arrived, goOn
}

func newCluster(t *testing.T, namespaces ...string) *cluster {
	t.Helper()
	scheme, err := kubernetes.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{}
	fail := func(verb string, object any) error {
		if fault := c.fault.Load(); fault != nil {
			return (*fault)(verb, object)
		}
		return nil
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.RemediationRequest{})
	for _, name := range namespaces {
		builder.WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"environment": strings.SplitN(name, "-", 2)[0]}}})
	}
	c.Client = builder.WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
			if err := fail("get", object); err != nil {
				return err
			}
			return w.Get(ctx, key, object, o...)
		},
		List: func(ctx context.Context, w client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			if err := fail("list", list); err != nil {
				return err
			}
			return w.List(ctx, list, o...)
		},
		Create: func(ctx context.Context, w client.WithWatch, object client.Object, o ...client.CreateOption) error {
			if err := fail("create", object); err != nil {
				return err
			}
			var namespace corev1.Namespace
			if err := w.Get(ctx, client.ObjectKey{Name: object.GetNamespace()}, &namespace); object.GetNamespace() != "" && err != nil {
				return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, object.GetNamespace())
			}
			return w.Create(ctx, object, o...)
		},
		Update: func(ctx context.Context, w client.WithWatch, object client.Object, o ...client.UpdateOption) error {
			if err := fail("update", object); err != nil {
				return err
			}
			return w.Update(ctx, object, o...)
		},
	}).Build()
	return c
}

func (c *cluster) failWith(fault func(verb string, object any) error) { c.fault.Store(&fault) }
func (c *cluster) heal()                                              { c.fault.Store(nil) }

func (c *cluster) objects(t *testing.T) []v1alpha1.RemediationRequest {
	t.Helper()
	var list v1alpha1.RemediationRequestList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func (c *cluster) setPhase(t *testing.T, object *v1alpha1.RemediationRequest, phase string) {
	t.Helper()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	object.Status.OverallPhase = phase
	if err := c.Status().Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// gateway is a running gateway.
type gateway struct {
	url  string
	stop func() error
}

func policyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "priority.rego")
	if err := os.WriteFile(path, []byte(policySource), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t *testing.T, redisAddr string, c *cluster, adjust func(*config.Config, *app.Options)) *gateway {
	t.Helper()
	cfg := config.Default()
	cfg.Server.ListenAddr = "127.0.0.1:0"
	cfg.Middleware.RateLimit.RequestsPerMinute = 0
	cfg.Infrastructure.Redis.Addr = redisAddr
	cfg.Processing.Priority.PolicyPath = policyFile(t)
	cfg.Processing.Retry.InitialBackoff = config.Duration(time.Millisecond)
	options := app.Options{
		Kubernetes:      c,
		CheckKubernetes: func(ctx context.Context) error { return c.List(ctx, &corev1.NamespaceList{}) },
		PodNamespace:    "fallback",
		Logger:          slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		ShutdownPause:   -1,
	}
	if adjust != nil {
		adjust(&cfg, &options)
	}
	a, err := app.New(t.Context(), cfg, options)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Serve(ctx, listener) }()
	g := &gateway{url: "http://" + listener.Addr().String()}
	g.stop = sync.OnceValue(func() error {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		return <-done
	})
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("gateway ended with %v", err)
		}
	})
	return g
}

// answer is the reply to a webhook.
type answer struct {
	code   int
	header http.Header
	body   struct {
		Status                                 any
		Message, Fingerprint, Detail, Type     string
		Duplicate                              bool
		RemediationRequestName                 string
		RemediationRequestNamespace            string
		Environment, Priority, RemediationPath string
		IsStorm                                bool
		StormType, WindowID                    string
		Metadata                               *struct {
			Fingerprint, RemediationRequestRef string
			Count                              int
			FirstSeen, LastSeen                time.Time
		}
		Results []struct{ Status, Fingerprint, RemediationRequestName string }
	}
}

const prometheusRoute = "/api/v1/signals/prometheus"

// send sends a webhook of AlertManager's.
func (g *gateway) send(t *testing.T, body string) answer {
	t.Helper()
	return g.sendTo(t, prometheusRoute, body)
}

func (g *gateway) sendTo(t *testing.T, route, body string) answer {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, g.url+route, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	return answerTo(t, request)
}

func answerTo(t *testing.T, request *http.Request) answer {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{code: response.StatusCode, header: response.Header}
	if err := json.Unmarshal(content, &a.body); err != nil {
		t.Fatalf("reply %s: %v", content, err)
	}
	return a
}

// resourceOf returns what providerData says an object is about.
func resourceOf(t *testing.T, providerData []byte) (kind, name string) {
	t.Helper()
	var data struct{ Resource struct{ Kind, Name string } }
	if err := json.Unmarshal(providerData, &data); err != nil {
		t.Fatal(err)
	}
	return data.Resource.Kind, data.Resource.Name
}

func (g *gateway) get(t *testing.T, path string) (int, string) {
	t.Helper()
	response, err := http.Get(g.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(content)
}

// webhook is a request with one alert.
func webhook(labels map[string]string) string {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(map[string]any{
		"version": "4", "status": "firing", "commonLabels": labels,
		"alerts": []any{map[string]any{"status": "firing", "labels": labels, "startsAt": "2025-11-24T09:59:00Z"}},
	})
	return b.String()
}

func alert(name, namespace, pod string) string {
	return webhook(map[string]string{"alertname": name, "namespace": namespace, "pod": pod, "severity": "critical"})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in 20 s: not %s", what)
		}
	}
}

func wantCreated(t *testing.T, a answer) {
	t.Helper()
	if a.code != http.StatusCreated || a.body.Status != "created" || a.body.Duplicate || a.body.RemediationRequestName == "" {
		t.Fatalf("want created, got %d %+v", a.code, a.body)
	}
}

func wantDuplicate(t *testing.T, a answer, of string, count int) {
	t.Helper()
	if a.code != http.StatusAccepted || a.body.Status != "duplicate" || !a.body.Duplicate || a.body.Metadata == nil {
		t.Fatalf("want duplicate, got %d %+v", a.code, a.body)
	}
	if m := a.body.Metadata; m.Count != count || m.RemediationRequestRef != of || m.Fingerprint != a.body.Fingerprint || m.FirstSeen.IsZero() || m.LastSeen.Before(m.FirstSeen) {
		t.Fatalf("want number %d of %s, got %+v", count, of, *m)
	}
	if got := a.body.RemediationRequestNamespace + "/" + a.body.RemediationRequestName; got != of {
		t.Fatalf("reply names %s, want %s", got, of)
	}
}

func ref(a answer) string {
	return a.body.RemediationRequestNamespace + "/" + a.body.RemediationRequestName
}
