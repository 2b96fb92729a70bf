package app_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
