package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
)

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

// What is being handled is finished, readiness says no while requests are still
// taken, and neither connections nor (as TestMain checks) goroutines are left.
func TestShutdown(t *testing.T) {
	c := newCluster(t, "default")
	entered, proceed := c.holdCreate()
	server := redistest.Start(t)
	g := start(t, server.Addr, c, func(_ *config.Config, o *app.Options) { o.ShutdownPause = 300 * time.Millisecond })
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
	r := server.Client()
	defer r.Close()
	eventually(t, "without connections to Redis but this one", func() bool {
		clients, err := r.ClientList(t.Context()).Result()
		return err == nil && strings.Count(clients, "id=") == 1
	})
}

func TestShutdownThatCannotFinishSaysSo(t *testing.T) {
	c := newCluster(t, "default")
	entered, proceed := c.holdCreate()
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

// A Redis that answers and takes no writes is no Redis: readiness says so, and signals are
// refused until it does again. Then all goes on.
func TestRedisThatTakesNoWrites(t *testing.T) {
	c := newCluster(t, "shop")
	server := redistest.Start(t)
	g := start(t, server.Addr, c, nil)
	wantCreated(t, g.send(t, alert("A", "shop", "web")))
	admin := server.Client()
	defer admin.Close()
	for name, commands := range map[string][2][]any{
		"replica":       {{"REPLICAOF", "127.0.0.1", "1"}, {"REPLICAOF", "NO", "ONE"}},
		"out of memory": {{"CONFIG", "SET", "maxmemory", "1"}, {"CONFIG", "SET", "maxmemory", "0"}},
	} {
		if err := admin.Do(t.Context(), commands[0]...).Err(); err != nil {
			t.Fatal(err)
		}
		if code, text := g.get(t, "/ready"); code != http.StatusServiceUnavailable || !strings.Contains(text, "Redis") {
			t.Errorf("%s: /ready is %d %s", name, code, text)
		}
		if a := g.send(t, alert("B", "shop", "web")); a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %+v", name, a.code, a.body)
		}
		if _, text := g.get(t, "/metrics"); !strings.Contains(text, "\ngateway_redis_available 0\n") {
			t.Errorf("%s: the gauge says that Redis is available", name)
		}
		if err := admin.Do(t.Context(), commands[1]...).Err(); err != nil {
			t.Fatal(err)
		}
		if code, text := g.get(t, "/ready"); code != http.StatusOK {
			t.Errorf("after %s: /ready is %d %s", name, code, text)
		}
	}
	wantCreated(t, g.send(t, alert("B", "shop", "web")))
}

// A user of Redis that may not ask for INFO is enough.
func TestRedisUserWithoutInfo(t *testing.T) {
	c := newCluster(t, "shop")
	server := redistest.Start(t)
	admin := server.Client()
	defer admin.Close()
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "gateway", "on", ">secret", "~gateway:*", "~alert:*", "+@all", "-@admin", "-@dangerous").Err(); err != nil {
		t.Fatal(err)
	}
	g := start(t, server.Addr, c, func(cfg *config.Config, _ *app.Options) {
		cfg.Infrastructure.Redis.Username, cfg.Infrastructure.Redis.Password = "gateway", "secret"
	})
	if code, text := g.get(t, "/ready"); code != http.StatusOK {
		t.Errorf("/ready is %d %s", code, text)
	}
	first := g.send(t, alert("A", "shop", "web"))
	wantCreated(t, first)
	wantDuplicate(t, g.send(t, alert("A", "shop", "web")), ref(first), 2)
	for i := range 12 {
		if a := g.send(t, alert("Storm", "shop", fmt.Sprint("web-", i))); a.code >= 300 {
			t.Errorf("alert %d: %d %+v", i, a.code, a.body)
		}
	}
}

// What the API server's store would not take is cut. It must not be sent again for ever.
func TestHugeAlertsAreStored(t *testing.T) {
	c := newCluster(t, "shop")
	c.failWith(func(verb string, object any) error {
		if encoded, err := json.Marshal(object); verb == "create" && (err != nil || len(encoded) > 1_500_000) {
			return errors.New("etcdserver: request is too large")
		}
		return nil
	})
	g := start(t, redistest.Start(t).Addr, c, nil)
	for name, labels := range map[string]map[string]string{
		"long label": {"extra": strings.Repeat("v", 2<<20)},
		"long name":  {strings.Repeat("n", 1<<20): "v"},
		"many long labels": func() map[string]string {
			all := make(map[string]string)
			for i := range 3000 {
				all[fmt.Sprint(strings.Repeat("n", 300), i)] = strings.Repeat("v", 300)
			}
			return all
		}(),
	} {
		labels["alertname"], labels["namespace"], labels["pod"] = "Huge", "shop", name
		body, err := json.Marshal(map[string]any{"alerts": []any{map[string]any{"labels": labels}}})
		if err != nil {
			t.Fatal(err)
		}
		first := g.send(t, string(body))
		wantCreated(t, first)
		wantDuplicate(t, g.send(t, string(body)), ref(first), 2)
	}
	for _, o := range c.objects(t) {
		if o.Annotations["kubernaut.io/cut"] == "" {
			t.Errorf("%s does not say what it lacks", o.Name)
		}
	}
	if _, text := g.get(t, "/metrics"); !strings.Contains(text, "\ngateway_objects_cut_total 3\n") {
		t.Error("the objects are not counted")
	}
}
