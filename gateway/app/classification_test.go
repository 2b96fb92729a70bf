package app_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
)

// The label of the namespace, else the ConfigMap that the configuration names,
// decides about the environment; that, the severity and the labels about the
// priority; and both about the path.
func TestClassification(t *testing.T) {
	c := newCluster(t, "production", "staging-1", "ops", "fallback")
	for name, labels := range map[string]map[string]string{"overridden": nil, "plain": nil, "both": {"environment": "testing"}} {
		if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}); err != nil {
			t.Fatal(err)
		}
	}
	overrides := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ops", Name: "where"}, Data: map[string]string{"overridden": "development", "both": "production"}}
	if err := c.Create(t.Context(), overrides); err != nil {
		t.Fatal(err)
	}
	g := start(t, redistest.Start(t).Addr, c, func(cfg *config.Config, _ *app.Options) {
		cfg.Processing.Environment.ConfigMapNamespace, cfg.Processing.Environment.ConfigMapName = "ops", "where"
	})
	for _, want := range []struct{ namespace, severity, team, environment, priority, path string }{
		{"production", "critical", "", "production", "P0", "aggressive"},
		{"production", "warning", "", "production", "P2", "conservative"},
		{"production", "warning", "vip", "production", "P1", "conservative"},
		{"staging-1", "critical", "", "staging", "P2", "manual"},
		{"overridden", "critical", "", "development", "P2", "manual"},
		{"overridden", "critical", "vip", "development", "P1", "moderate"},
		{"both", "critical", "", "testing", "P2", "conservative"},
		{"plain", "critical", "", "unknown", "P2", "conservative"},
		{"", "critical", "", "unknown", "P2", "conservative"},
	} {
		labels := map[string]string{"alertname": "A" + want.team, "namespace": want.namespace, "severity": want.severity, "pod": want.severity}
		if want.team != "" {
			labels["team"] = want.team
		}
		a := g.send(t, webhook(labels))
		wantCreated(t, a)
		if b := a.body; b.Environment != want.environment || b.Priority != want.priority || b.RemediationPath != want.path {
			t.Errorf("%+v: %s %s %s", want, b.Environment, b.Priority, b.RemediationPath)
		}
	}
	for _, o := range c.objects(t) {
		if o.Spec.Environment != o.Labels["kubernaut.io/environment"] || o.Spec.Priority != o.Labels["kubernaut.io/priority"] {
			t.Errorf("%s: %s and %s, labels %v", o.Name, o.Spec.Environment, o.Spec.Priority, o.Labels)
		}
	}
}

// An incident that becomes worse is worked on as what it has become.
func TestSeverityRises(t *testing.T) {
	c := newCluster(t, "production-shop")
	g := start(t, redistest.Start(t).Addr, c, nil)
	send := func(severity string) answer {
		t.Helper()
		return g.send(t, webhook(map[string]string{"alertname": "A", "namespace": "production-shop", "pod": "web", "severity": severity}))
	}
	first := send("warning")
	wantCreated(t, first)
	for i, step := range []struct{ repeat, severity, priority string }{
		{"warning", "warning", "P2"}, {"critical", "critical", "P0"}, {"warning", "critical", "P0"}, {"info", "critical", "P0"},
	} {
		wantDuplicate(t, send(step.repeat), ref(first), 2+i)
		o := c.objects(t)[0]
		if o.Spec.Severity != step.severity || o.Spec.Priority != step.priority || o.Labels["kubernaut.io/severity"] != step.severity ||
			o.Labels["kubernaut.io/priority"] != step.priority || (o.Annotations["kubernaut.io/severity-raised"] != "") != (step.severity == "critical") {
			t.Errorf("after a repeat that is %s: %s %s, labels %v, annotations %v", step.repeat, o.Spec.Severity, o.Spec.Priority, o.Labels, o.Annotations)
		}
	}
	_, text := g.get(t, "/metrics")
	if want := `gateway_severity_raised_total{from="warning",to="critical"} 1`; !strings.Contains(text, want+"\n") {
		t.Errorf("metrics lack %s", want)
	}
}

// A storm is as severe as the worst alert that it has taken in.
func TestSeverityOfAStormRises(t *testing.T) {
	c := newCluster(t, "production-shop")
	g := start(t, redistest.Start(t).Addr, c, func(cfg *config.Config, _ *app.Options) {
		cfg.Processing.Storm.RateThreshold, cfg.Processing.Storm.PatternThreshold, cfg.Processing.Storm.BufferThreshold = 0, 0, 2
	})
	for i, step := range []struct{ severity, want string }{{"warning", ""}, {"info", "warning"}, {"info", "warning"}, {"critical", "critical"}, {"warning", "critical"}} {
		a := g.send(t, webhook(map[string]string{"alertname": "A", "namespace": "production-shop", "pod": fmt.Sprint("web-", i), "severity": step.severity}))
		if !a.body.IsStorm {
			t.Fatalf("alert %d: %d %+v", i, a.code, a.body)
		}
		objects := c.objects(t)
		if step.want == "" {
			continue
		}
		if len(objects) != 1 || objects[0].Spec.Severity != step.want || step.want == "critical" && objects[0].Spec.Priority != "P0" {
			t.Errorf("after alert %d: %d objects, the first %s %s", i, len(objects), objects[0].Spec.Severity, objects[0].Spec.Priority)
		}
	}
}

// In its cool-down a finished incident has repeats; after it, the next one is news. So it
// is when Redis has lost its data.
func TestCoolDown(t *testing.T) {
	c := newCluster(t, "shop")
	server := redistest.Start(t)
	g := start(t, server.Addr, c, func(cfg *config.Config, _ *app.Options) {
		cfg.Processing.CoolDown.Completed = config.Duration(time.Hour)
	})
	// As controllers do, with one write: an object that is finished and does not say when
	// has no cool-down.
	end := func(object *v1alpha1.RemediationRequest, phase string, ago time.Duration) {
		t.Helper()
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
		at := metav1.NewTime(time.Now().Add(-ago))
		object.Status.OverallPhase, object.Status.CompletedAt = phase, &at
		if err := c.Status().Update(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	first := g.send(t, alert("A", "shop", "web"))
	wantCreated(t, first)
	object := &c.objects(t)[0]
	end(object, "Completed", time.Minute)
	wantDuplicate(t, g.send(t, alert("A", "shop", "web")), ref(first), 2)
	r := server.Client()
	defer r.Close()
	r.FlushAll(t.Context())
	wantDuplicate(t, g.send(t, alert("A", "shop", "web")), ref(first), 3)
	if _, text := g.get(t, "/metrics"); !strings.Contains(text, `gateway_signals_cooled_down_total{phase="Completed"} 2`) {
		t.Error("the repeats are not counted")
	}
	end(object, "Completed", 2*time.Hour)
	second := g.send(t, alert("A", "shop", "web"))
	wantCreated(t, second)
	// Other outcomes have none.
	for _, o := range c.objects(t) {
		if o.Name == second.body.RemediationRequestName {
			end(&o, "Failed", time.Second)
		}
	}
	wantCreated(t, g.send(t, alert("A", "shop", "web")))
}

// What is over is noted on its object while that is in progress, and no longer when it
// fires again.
func TestResolvedAlertsAreNoted(t *testing.T) {
	c := newCluster(t, "shop")
	server := redistest.Start(t)
	g := start(t, server.Addr, c, func(cfg *config.Config, _ *app.Options) { cfg.Processing.Resolved.Annotate = true })
	resolved := `{"alerts":[{"status":"resolved","endsAt":"2025-11-24T10:30:00+01:00","labels":{"alertname":"A","namespace":"shop","pod":"web","severity":"critical"}}]}`
	note := func() string { return c.objects(t)[0].Annotations["kubernaut.io/resolved-at"] }
	if a := g.send(t, resolved); a.code != http.StatusOK || a.body.Status != "ignored" || len(c.objects(t)) != 0 {
		t.Errorf("nothing is in progress: %d %+v", a.code, a.body)
	}
	first := g.send(t, alert("A", "shop", "web"))
	wantCreated(t, first)
	r := server.Client()
	defer r.Close()
	for range 2 { // the second time without an index
		if a := g.send(t, resolved); a.code != http.StatusOK || a.body.Status != "ignored" || ref(a) != ref(first) || note() != "2025-11-24T09:30:00Z" {
			t.Errorf("%d %+v, noted %q", a.code, a.body, note())
		}
		r.FlushAll(t.Context())
	}
	wantDuplicate(t, g.send(t, alert("A", "shop", "web")), ref(first), 2)
	if note() != "" {
		t.Errorf("it fires again, and is noted as resolved at %s", note())
	}
	c.failWith(func(verb string, _ any) error {
		if verb == "update" {
			return errors.New("no")
		}
		return nil
	})
	if a := g.send(t, resolved); a.code != http.StatusInternalServerError {
		t.Errorf("it can't be noted: %d", a.code)
	}
	c.heal()
	object := &c.objects(t)[0]
	c.setPhase(t, object, "Completed")
	if a := g.send(t, resolved); a.code != http.StatusOK || a.body.RemediationRequestName != "" || note() != "" {
		t.Errorf("it is finished: %d %+v, noted %q", a.code, a.body, note())
	}
	if _, text := g.get(t, "/metrics"); !strings.Contains(text, "\ngateway_objects_resolved_total 2\n") {
		t.Error("the notes are not counted")
	}
}
