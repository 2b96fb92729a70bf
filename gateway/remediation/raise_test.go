package remediation

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stormgate.internal/gateway/api/v1alpha1"
)

func TestRaise(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		severity, priority, repeat, asked    string
		wantSeverity, wantPriority, wantFrom string
	}{
		{"warning", "P2", "critical", "P0", "critical", "P0", "warning"},
		{"info", "P3", "warning", "P1", "warning", "P1", "info"},
		{"info", "P3", "critical", "P3", "critical", "P3", "info"},
		{"warning", "P1", "critical", "P2", "critical", "P1", "warning"}, // never less urgent
		{"warning", "P2", "warning", "P0", "warning", "P2", ""},
		{"critical", "P2", "warning", "P0", "critical", "P2", ""},
		{"critical", "P2", "info", "P0", "critical", "P2", ""},
		{"warning", "P2", "odd", "P0", "warning", "P2", ""},
	} {
		for _, meta := range []metav1.ObjectMeta{{}, {Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}}} {
			o := &v1alpha1.RemediationRequest{ObjectMeta: meta, Spec: v1alpha1.RemediationRequestSpec{Severity: c.severity, Priority: c.priority, Environment: "e"}}
			asked := false
			from := Raise(o, c.repeat, func(environment string) string { asked = environment == "e"; return c.asked }, at)
			if from != c.wantFrom || o.Spec.Severity != c.wantSeverity || o.Spec.Priority != c.wantPriority || asked != (from != "") {
				t.Errorf("%+v: from %q, %s %s", c, from, o.Spec.Severity, o.Spec.Priority)
			}
			if from == "" {
				continue
			}
			want := "from " + c.severity + " " + c.priority + " to " + c.wantSeverity + " " + c.wantPriority + " at 2026-03-01T10:00:00Z"
			if o.Annotations[AnnotationRaised] != want || o.Labels[LabelSeverity] != c.wantSeverity || o.Labels[LabelPriority] != c.wantPriority {
				t.Errorf("%+v: labels %v, annotations %v", c, o.Labels, o.Annotations)
			}
		}
	}
}
