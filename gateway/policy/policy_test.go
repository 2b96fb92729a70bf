package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	opatypes "github.com/open-policy-agent/opa/v1/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/metricstest"
)

var silent = slog.New(slog.DiscardHandler)

func TestPathTable(t *testing.T) {
	priorities := []string{"P0", "P1", "P2", "P3", "P4", ""}
	for environment, want := range map[string]string{
		"production":  "aggressive conservative conservative manual manual manual",
		"staging":     "moderate moderate manual manual manual manual",
		"development": "aggressive moderate manual manual manual manual",
		"unknown":     "conservative conservative conservative manual manual manual",
		"canary":      "moderate moderate conservative manual manual manual",
		"":            "moderate moderate conservative manual manual manual",
	} {
		var got []string
		for _, priority := range priorities {
			got = append(got, Path(environment, priority))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", environment, got, want)
		}
	}
}

func load(t *testing.T, source string) (*Priorities, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.rego")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadPriorities(t.Context(), path, metrics.New(), silent)
}

// A policy that makes its interpreter panic does not end the gateway: wherever it is asked,
// it is one that gives no priority.
func TestPolicyThatPanics(t *testing.T) {
	query, err := rego.New(rego.Query(`x := explode("")`), rego.Function1(
		&rego.Function{Name: "explode", Decl: opatypes.NewFunction(opatypes.Args(opatypes.S), opatypes.S)},
		func(rego.BuiltinContext, *ast.Term) (*ast.Term, error) { panic("on purpose") },
	)).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New()
	var log bytes.Buffer
	p := &Priorities{query: query, metrics: m, logger: slog.New(slog.NewTextHandler(&log, nil))}
	if got := p.Priority(t.Context(), "critical", "production", nil); got != DefaultPriority {
		t.Errorf("%s, want %s", got, DefaultPriority)
	}
	if got := metricstest.Read(t, m, "gateway_priority_policy_failures_total"); got[`gateway_priority_policy_failures_total{reason="contradictory"}`] != 1 {
		t.Errorf("counted %v", got)
	}
	if !strings.Contains(log.String(), "on purpose") {
		t.Errorf("log: %s", log.String())
	}
}

func TestPriority(t *testing.T) {
	const head = "package kubernaut.gateway.priority\n"
	for _, c := range []struct{ name, source, want string }{
		{"constant", head + `priority := "P0"`, "P0"},
		{"severity", head + `priority := "P1" if input.severity == "critical"`, "P1"},
		{"environment", head + `priority := "P3" if input.environment == "staging"`, "P3"},
		{"label", head + `priority := "P0" if input.labels.team == "vip"`, "P0"},
		{"undefined", head + `priority := "P0" if input.severity == "info"`, "P2"},
		{"another package", "package priority\n" + `priority := "P0"`, "P2"},
		{"no such priority", head + `priority := "P9"`, "P2"},
		{"not a string", head + `priority := 0`, "P2"},
		{"evaluation error", head + "priority := \"P0\" if input.severity == \"critical\"\npriority := \"P1\" if input.severity == \"critical\"", "P2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := load(t, c.source)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Priority(t.Context(), "critical", "staging", map[string]string{"team": "vip"}); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// A policy that gives no priority is not passed over in silence.
func TestPolicyFailuresAreKnown(t *testing.T) {
	const head = "package kubernaut.gateway.priority\n"
	for reason, source := range map[string]string{
		"":              `priority := "P1"`,
		"undefined":     `priority := "P0" if input.severity == "info"`,
		"invalid":       `priority := "P9"`,
		"contradictory": "priority := \"P0\" if input.severity == \"critical\"\npriority := \"P1\" if input.environment == \"staging\"",
	} {
		path := filepath.Join(t.TempDir(), "policy.rego")
		if err := os.WriteFile(path, []byte(head+source), 0o600); err != nil {
			t.Fatal(err)
		}
		m := metrics.New()
		var log strings.Builder
		p, err := LoadPriorities(t.Context(), path, m, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		p.Priority(t.Context(), "critical", "staging", nil)
		want := map[string]float64{}
		if reason != "" {
			want[`gateway_priority_policy_failures_total{reason="`+reason+`"}`] = 1
		}
		got := metricstest.Read(t, m, "gateway_priority_policy_failures_total")
		if len(got) != len(want) || reason != "" && got[`gateway_priority_policy_failures_total{reason="`+reason+`"}`] != 1 {
			t.Errorf("%q: counted %v, want %v", reason, got, want)
		}
		if logged := strings.Contains(log.String(), "level=ERROR"); logged != (reason == "invalid" || reason == "contradictory") {
			t.Errorf("%q: log %s", reason, log.String())
		}
		// A sender that has gone proves nothing about the policy.
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		p.Priority(gone, "critical", "staging", nil)
	}
}

func TestPolicyMustLoad(t *testing.T) {
	if _, err := load(t, "package kubernaut.gateway.priority\npriority ="); err == nil || !strings.Contains(err.Error(), "policy.rego") {
		t.Errorf("malformed policy: %v", err)
	}
	if _, err := LoadPriorities(t.Context(), filepath.Join(t.TempDir(), "none.rego"), metrics.New(), silent); err == nil || !strings.Contains(err.Error(), "policy_path") {
		t.Errorf("missing policy: %v", err)
	}
}

var overrides = types.NamespacedName{Namespace: "system", Name: "overrides"}

// environments returns a classifier over a cluster, a count of its requests, and
// a switch that makes them fail.
func environments(t *testing.T) (e *Environments, requests *atomic.Int32, broken *atomic.Bool) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	requests, broken = &atomic.Int32{}, &atomic.Bool{}
	namespace := func(name, environment string) client.Object {
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if environment != "" {
			object.Labels = map[string]string{"environment": environment}
		}
		return object
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		namespace("labelled", "production"), namespace("both", "staging"), namespace("overridden", ""), namespace("plain", ""),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: overrides.Namespace, Name: overrides.Name},
			Data: map[string]string{"both": "production", "overridden": "development", "absent": "testing"}},
	).WithInterceptorFuncs(interceptor.Funcs{Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
		requests.Add(1)
		if broken.Load() {
			return errors.New("broken")
		}
		return w.Get(ctx, key, object, o...)
	}}).Build()
	return NewEnvironments(c, overrides, time.Minute, silent), requests, broken
}

func TestEnvironment(t *testing.T) {
	for namespace, want := range map[string]string{
		"labelled": "production", "both": "staging", "overridden": "development", "plain": "unknown",
		"absent": "testing", "nowhere": "unknown", "": "unknown", "Not A Name": "unknown",
	} {
		e, _, _ := environments(t)
		if got := e.Environment(t.Context(), namespace); got != want {
			t.Errorf("namespace %q: %s, want %s", namespace, got, want)
		}
	}
}

func TestEnvironmentIsCachedForItsTime(t *testing.T) {
	e, requests, _ := environments(t)
	now := time.Now()
	e.now = func() time.Time { return now }
	for _, namespace := range []string{"labelled", "nowhere"} {
		requests.Store(0)
		e.Environment(t.Context(), namespace)
		asked := requests.Load()
		e.Environment(t.Context(), namespace)
		if requests.Load() != asked {
			t.Errorf("%s: asked again within the cache's time", namespace)
		}
	}
	requests.Store(0)
	now = now.Add(time.Minute)
	e.Environment(t.Context(), "labelled")
	if requests.Load() == 0 {
		t.Error("not asked again after the cache's time")
	}
}

// A failure of the API must not stick.
func TestEnvironmentErrorsAreNotCached(t *testing.T) {
	e, _, broken := environments(t)
	broken.Store(true)
	if got := e.Environment(t.Context(), "labelled"); got != "unknown" {
		t.Errorf("while the API fails: %s", got)
	}
	broken.Store(false)
	if got := e.Environment(t.Context(), "labelled"); got != "production" {
		t.Errorf("afterwards: %s", got)
	}
}

func TestEnvironmentCacheIsBounded(t *testing.T) {
	e, _, _ := environments(t)
	for i := range maxCached + 10 {
		e.keep(fmt.Sprint(i), "x")
	}
	if len(e.cache) > maxCached {
		t.Errorf("%d entries", len(e.cache))
	}
}
