package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
	"stormgate.internal/gateway/redistest"
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
			if err := w.Get(ctx, client.ObjectKey{Name: object.GetNamespace()}, &namespace); err != nil {
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

func start(t *testing.T, redisAddr string, c *cluster, adjust func(*config.Config, *app.Options)) *gateway {
	t.Helper()
	policyPath := filepath.Join(t.TempDir(), "priority.rego")
	if err := os.WriteFile(policyPath, []byte(policySource), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Server.ListenAddr = "127.0.0.1:0"
	cfg.Middleware.RateLimit.RequestsPerMinute = 0
	cfg.Infrastructure.Redis.Addr = redisAddr
	cfg.Processing.Priority.PolicyPath = policyPath
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
		Metadata                               *struct {
			Fingerprint, RemediationRequestRef string
			Count                              int
			FirstSeen, LastSeen                time.Time
		}
		Results []struct{ Status, Fingerprint, RemediationRequestName string }
	}
}

func (g *gateway) send(t *testing.T, body string) answer {
	t.Helper()
	response, err := http.Post(g.url+"/api/v1/signals/prometheus", "application/json", strings.NewReader(body))
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

func TestCreatedReplyAndObject(t *testing.T) {
	c := newCluster(t, "production-shop")
	g := start(t, redistest.Start(t).Addr, c, nil)
	a := g.send(t, alert("HighMemoryUsage", "production-shop", "web-1"))
	wantCreated(t, a)
	if a.body.RemediationRequestNamespace != "production-shop" || a.body.Environment != "production" || a.body.Priority != "P0" || a.body.RemediationPath != "aggressive" {
		// The namespace is labelled with what comes before its dash.
		t.Errorf("reply %+v", a.body)
	}
	objects := c.objects(t)
	if len(objects) != 1 || objects[0].Name != a.body.RemediationRequestName || objects[0].Spec.SignalFingerprint != a.body.Fingerprint || objects[0].Spec.Deduplication.OccurrenceCount != 1 {
		t.Errorf("objects %+v", objects)
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Request-ID") == "" {
		t.Errorf("header %v", a.header)
	}
}

// The phase of the object decides, and each incident gets a name of its own, even
// within one second.
func TestLifecycle(t *testing.T) {
	for _, terminal := range []string{"Completed", "Failed", "Cancelled"} {
		t.Run(terminal, func(t *testing.T) {
			c := newCluster(t, "shop")
			g := start(t, redistest.Start(t).Addr, c, nil)
			body := alert("A", "shop", "web")
			first := g.send(t, body)
			wantCreated(t, first)
			object := &c.objects(t)[0]
			count := 1
			for _, phase := range []string{"Pending", "Processing", "Paused", strings.ToLower(terminal)} {
				c.setPhase(t, object, phase)
				count++
				wantDuplicate(t, g.send(t, body), ref(first), count)
			}
			c.setPhase(t, object, terminal)
			second := g.send(t, body)
			wantCreated(t, second)
			if ref(second) == ref(first) {
				t.Fatal("the new incident has the old object's name")
			}
			wantDuplicate(t, g.send(t, body), ref(second), 2)
			for _, o := range c.objects(t) {
				want := map[string]int{first.body.RemediationRequestName: count, second.body.RemediationRequestName: 2}[o.Name]
				if o.Spec.Deduplication.OccurrenceCount != want {
					t.Errorf("%s counts %d, want %d", o.Name, o.Spec.Deduplication.OccurrenceCount, want)
				}
			}
		})
	}
}

// The end of the record in Redis is not the end of the incident.
func TestDuplicateAfterRecordExpired(t *testing.T) {
	c := newCluster(t, "shop")
	server := redistest.Start(t)
	g := start(t, server.Addr, c, func(cfg *config.Config, _ *app.Options) {
		cfg.Processing.Deduplication.TTL = config.Duration(50 * time.Millisecond)
	})
	r := server.Client()
	defer r.Close()
	first := g.send(t, alert("A", "shop", "web"))
	wantCreated(t, first)
	key := "gateway:dedup:fingerprint:" + first.body.Fingerprint
	eventually(t, "expired", func() bool { return r.Exists(t.Context(), key).Val() == 0 })
	wantDuplicate(t, g.send(t, alert("A", "shop", "web")), ref(first), 2)
	if n := len(c.objects(t)); n != 1 {
		t.Errorf("%d objects", n)
	}
}

func TestRecordIsWrittenInFull(t *testing.T) {
	c := newCluster(t, "shop")
	server := redistest.Start(t)
	g := start(t, server.Addr, c, nil)
	r := server.Client()
	defer r.Close()
	first := g.send(t, alert("A", "shop", "web"))
	key := "gateway:dedup:fingerprint:" + first.body.Fingerprint
	for round, prepare := range []func(){func() {}, func() {}, func() { r.FlushAll(t.Context()) }} {
		prepare()
		if round > 0 {
			wantDuplicate(t, g.send(t, alert("A", "shop", "web")), ref(first), round+1)
		}
		got := r.HGetAll(t.Context(), key).Val()
		for field, want := range map[string]string{
			"fingerprint": first.body.Fingerprint, "alertName": "A", "namespace": "shop", "resource": "web",
			"count": fmt.Sprint(round + 1), "remediationRequestRef": ref(first),
		} {
			if got[field] != want {
				t.Errorf("round %d: %s = %q, want %q", round, field, got[field], want)
			}
		}
		if got["firstSeen"] == "" || got["lastSeen"] == "" || len(got) != 8 {
			t.Errorf("round %d: record %v", round, got)
		}
		if ttl := r.PTTL(t.Context(), key).Val(); ttl <= 4*time.Minute || ttl > 5*time.Minute {
			t.Errorf("round %d: record lives for %s", round, ttl)
		}
		if keys := r.Keys(t.Context(), "*").Val(); len(keys) != 1 {
			t.Errorf("round %d: keys left: %v", round, keys)
		}
	}
}

// Ten at once over two replicas: one object, which has counted all ten.
func TestExactlyOnceUnderConcurrency(t *testing.T) {
	const rounds, senders = 25, 10
	c := newCluster(t, "shop")
	server := redistest.Start(t)
	replicas := []*gateway{start(t, server.Addr, c, nil), start(t, server.Addr, c, nil)}
	for round := range rounds {
		body := alert(fmt.Sprintf("Alert%d", round), "shop", "web")
		codes := make(chan int, senders)
		var counts sync.Map
		for sender := range senders {
			go func() {
				a := replicas[sender%len(replicas)].send(t, body)
				if a.body.Metadata != nil {
					counts.Store(a.body.Metadata.Count, true)
				}
				codes <- a.code
			}()
		}
		got := map[int]int{}
		for range senders {
			got[<-codes]++
		}
		if got[http.StatusCreated] != 1 || got[http.StatusAccepted] != senders-1 {
			t.Fatalf("round %d: codes %v", round, got)
		}
		for n := 2; n <= senders; n++ {
			if _, ok := counts.Load(n); !ok {
				t.Errorf("round %d: nobody was told of occurrence %d", round, n)
			}
		}
	}
	objects := c.objects(t)
	if len(objects) != rounds {
		t.Errorf("%d objects, want %d", len(objects), rounds)
	}
	for _, o := range objects {
		if o.Spec.Deduplication.OccurrenceCount != senders {
			t.Errorf("%s counts %d", o.Name, o.Spec.Deduplication.OccurrenceCount)
		}
	}
}

// Signals whose namespace can't hold an object share the fallback namespace, and
// are found there again.
func TestFallbackNamespace(t *testing.T) {
	for _, c := range []struct{ name, namespace, origin string }{
		{"empty", "", ""},
		{"missing", "gone", "gone"},
		{"invalid", "No/Such_Name", "No-Such_Name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newCluster(t, "fallback")
			server := redistest.Start(t)
			g := start(t, server.Addr, k, nil)
			first := g.send(t, alert("A", c.namespace, "web"))
			wantCreated(t, first)
			if first.body.RemediationRequestNamespace != "fallback" || first.body.Environment != "unknown" {
				t.Errorf("reply %+v", first.body)
			}
			labels := k.objects(t)[0].Labels
			if origin, ok := labels["kubernaut.io/origin-namespace"]; !ok || origin != c.origin || labels["kubernaut.io/cluster-scoped"] != "true" {
				t.Errorf("labels %v", labels)
			}
			wantDuplicate(t, g.send(t, alert("A", c.namespace, "web")), ref(first), 2)
			r := server.Client()
			defer r.Close()
			r.FlushAll(t.Context())
			wantDuplicate(t, g.send(t, alert("A", c.namespace, "web")), ref(first), 3)
		})
	}
}

func TestSeveralAlerts(t *testing.T) {
	c := newCluster(t, "default")
	g := start(t, redistest.Start(t).Addr, c, nil)
	firing := func(name string) string { return `{"status":"firing","labels":{"alertname":"` + name + `"}}` }
	a := g.send(t, `{"alerts":[`+firing("A")+`,`+firing("B")+`,`+firing("A")+`,{"status":"resolved","labels":{"alertname":"C"}}]}`)
	wantCreated(t, a)
	var statuses []string
	for _, r := range a.body.Results {
		statuses = append(statuses, r.Status)
	}
	if got := strings.Join(statuses, " "); got != "created created duplicate ignored" {
		t.Errorf("results %s", got)
	}
	if a.body.Results[0].RemediationRequestName != a.body.RemediationRequestName {
		t.Error("top level does not describe the first alert")
	}
	if a := g.send(t, `{"alerts":[{"status":"resolved","labels":{"alertname":"C"}},`+firing("A")+`]}`); a.code != http.StatusAccepted || a.body.Status != "ignored" {
		t.Errorf("resolved and duplicate: %d %+v", a.code, a.body)
	}
	a = g.send(t, `{"alerts":[`+firing("D")+`,{"status":"firing","labels":{}}]}`)
	if a.code != http.StatusBadRequest || len(a.body.Results) != 2 || a.body.Results[0].Status != "created" || a.body.Results[1].Status != "error" {
		t.Errorf("one invalid: %d %+v", a.code, a.body)
	}
	if n := len(c.objects(t)); n != 3 {
		t.Errorf("%d objects, want A, B and D", n)
	}
}

func TestResolvedAlertIsIgnored(t *testing.T) {
	c := newCluster(t, "default")
	g := start(t, redistest.Start(t).Addr, c, nil)
	a := g.send(t, `{"status":"resolved","alerts":[{"labels":{"alertname":"A"}}]}`)
	if a.code != http.StatusOK || a.body.Status != "ignored" || a.body.Duplicate || len(a.body.Fingerprint) != 64 {
		t.Errorf("reply %d %+v", a.code, a.body)
	}
	if n := len(c.objects(t)); n != 0 {
		t.Errorf("%d objects", n)
	}
}

func TestRedisComesLater(t *testing.T) {
	c := newCluster(t, "default")
	server := redistest.New(t)
	g := start(t, server.Addr, c, nil)
	a := g.send(t, alert("A", "default", "web"))
	if a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "30" || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("without Redis: %d %v %+v", a.code, a.header, a.body)
	}
	if code, body := g.get(t, "/ready"); code != http.StatusServiceUnavailable || !strings.Contains(body, "Redis") {
		t.Errorf("readiness without Redis: %d %s", code, body)
	}
	server.Start()
	if code, body := g.get(t, "/ready"); code != http.StatusOK || strings.TrimSpace(body) != `{"status":"ready"}` {
		t.Errorf("readiness with Redis: %d %s", code, body)
	}
	wantCreated(t, g.send(t, alert("A", "default", "web")))
}

func TestRedisLostAndFound(t *testing.T) {
	c := newCluster(t, "default")
	server := redistest.Start(t)
	g := start(t, server.Addr, c, nil)
	first := g.send(t, alert("A", "default", "web"))
	server.Stop()
	for range 3 {
		if a := g.send(t, alert("B", "default", "web")); a.code != http.StatusServiceUnavailable {
			t.Fatalf("without Redis: %d %+v", a.code, a.body)
		}
	}
	if n := len(c.objects(t)); n != 1 {
		t.Fatalf("%d objects after requests answered 503", n)
	}
	server.Start()
	eventually(t, "ready again", func() bool { code, _ := g.get(t, "/ready"); return code == http.StatusOK })
	wantDuplicate(t, g.send(t, alert("A", "default", "web")), ref(first), 2)
	wantCreated(t, g.send(t, alert("B", "default", "web")))
	_, text := g.get(t, "/metrics")
	for _, sample := range []string{"gateway_redis_available 1", "gateway_redis_outage_count_total 1", `gateway_http_responses_total{method="POST",path="/api/v1/signals/prometheus",status_code="503"} 3`} {
		if !strings.Contains(text, sample+"\n") {
			t.Errorf("metrics lack %s", sample)
		}
	}
}

func TestKubernetesDown(t *testing.T) {
	c := newCluster(t, "default")
	g := start(t, redistest.Start(t).Addr, c, nil)
	first := g.send(t, alert("A", "default", "web"))
	wantCreated(t, first)
	c.failWith(func(string, any) error { return apierrors.NewServiceUnavailable("down") })
	wantDuplicate(t, g.send(t, alert("A", "default", "web")), ref(first), 2)
	wantDuplicate(t, g.send(t, alert("A", "default", "web")), ref(first), 3)
	a := g.send(t, alert("B", "default", "web"))
	if a.code != http.StatusInternalServerError || !strings.HasPrefix(a.body.Detail, "Kubernetes API error") || !strings.HasSuffix(a.body.Type, "/internal-error") {
		t.Errorf("unknown incident: %d %+v", a.code, a.body)
	}
	if code, body := g.get(t, "/ready"); code != http.StatusServiceUnavailable || !strings.Contains(body, "Kubernetes API") {
		t.Errorf("readiness: %d %s", code, body)
	}
	c.heal()
	wantCreated(t, g.send(t, alert("B", "default", "web")))
}

func TestCreateIsRetried(t *testing.T) {
	c := newCluster(t, "default")
	g := start(t, redistest.Start(t).Addr, c, nil)
	var creates atomic.Int32
	tooMany := apierrors.NewTooManyRequestsError("later")
	c.failWith(func(verb string, _ any) error {
		if verb == "create" && creates.Add(1) <= 2 {
			return tooMany
		}
		return nil
	})
	wantCreated(t, g.send(t, alert("A", "default", "web")))
	c.failWith(func(verb string, _ any) error {
		if verb == "create" {
			creates.Add(1)
			return tooMany
		}
		return nil
	})
	creates.Store(0)
	if a := g.send(t, alert("B", "default", "web")); a.code != http.StatusInternalServerError || creates.Load() != 3 {
		t.Errorf("permanent 429: %d after %d tries", a.code, creates.Load())
	}
	c.failWith(func(verb string, _ any) error {
		if verb == "create" {
			creates.Add(1)
			return apierrors.NewForbidden(schema.GroupResource{Resource: "remediationrequests"}, "", nil)
		}
		return nil
	})
	creates.Store(0)
	if a := g.send(t, alert("C", "default", "web")); a.code != http.StatusInternalServerError || creates.Load() != 1 {
		t.Errorf("403: %d after %d tries", a.code, creates.Load())
	}
	_, text := g.get(t, "/metrics")
	for _, sample := range []string{
		`gateway_retry_attempts_total{error_type="rate_limited",status_code="429"} 5`,
		`gateway_retry_success_total{attempt="3",error_type="success"} 1`,
		`gateway_retry_exhausted_total{error_type="rate_limited",status_code="429"} 1`,
		`gateway_crd_creation_errors_total{error_type="k8s_api_error"} 2`,
		`gateway_retry_duration_seconds_count{error_type="rate_limited"} 2`,
		`gateway_crds_created_total{environment="default",priority="P2"} 1`,
	} {
		if !strings.Contains(text, sample+"\n") {
			t.Errorf("metrics lack %s", sample)
		}
	}
}

// What is being handled is finished, and readiness says no while requests are
// still taken.
func TestShutdown(t *testing.T) {
	c := newCluster(t, "default")
	entered, proceed := make(chan struct{}), make(chan struct{})
	c.failWith(func(verb string, _ any) error {
		if verb == "create" {
			close(entered)
			<-proceed
		}
		return nil
	})
	g := start(t, redistest.Start(t).Addr, c, func(_ *config.Config, o *app.Options) { o.ShutdownPause = 300 * time.Millisecond })
	eventually(t, "ready", func() bool { code, _ := g.get(t, "/ready"); return code == http.StatusOK })
	reply := make(chan answer, 1)
	go func() { reply <- g.send(t, alert("A", "default", "web")) }()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- g.stop() }()
	eventually(t, "not ready", func() bool {
		response, err := http.Get(g.url + "/ready")
		if err != nil {
			t.Fatalf("requests are refused before readiness said no: %v", err)
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusServiceUnavailable
	})
	eventually(t, "closed", func() bool {
		response, err := http.Get(g.url + "/health")
		if err == nil {
			response.Body.Close()
		}
		return err != nil
	})
	close(proceed)
	wantCreated(t, <-reply)
	if err := <-stopped; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestShutdownThatCannotFinishSaysSo(t *testing.T) {
	c := newCluster(t, "default")
	entered, proceed := make(chan struct{}), make(chan struct{})
	c.failWith(func(verb string, _ any) error {
		if verb == "create" {
			close(entered)
			<-proceed
		}
		return nil
	})
	var budget atomic.Bool
	g := start(t, redistest.Start(t).Addr, c, func(_ *config.Config, o *app.Options) { o.ShutdownBudget = 50 * time.Millisecond })
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		response, err := http.Post(g.url+"/api/v1/signals/prometheus", "application/json", strings.NewReader(alert("A", "default", "web")))
		if err == nil {
			response.Body.Close()
			budget.Store(true)
		}
	}()
	<-entered
	stop := g.stop
	err := stop()
	g.stop = func() error { return nil }
	close(proceed)
	<-sent
	if err == nil || budget.Load() {
		t.Errorf("a request was cut off, yet the error is %v", err)
	}
}
