package testbed

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

func TestFingerprintIsTheContracts(t *testing.T) {
	alert := Alert{Name: "HighMemoryUsage", Namespace: "prod-payment-service", Pod: "payment-api-789"}
	if got, want := alert.Fingerprint().String(), "8ac6f8bc4acc94d391b44e85621242bb042d3ffb137aa5fc0d10b00316f30751"; got != want {
		t.Errorf("fingerprint is %s, want %s", got, want)
	}
}

// What is sent is what is meant: the gateway reads the same alerts out of it.
func TestNotificationIsReadAsItsAlerts(t *testing.T) {
	alerts := []Alert{{"One", "shop", "pod-1"}, {"One", "shop", "pod-2"}}
	parsed, err := signal.Prometheus{}.Parse(Notification(alerts...), now)
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed) != len(alerts) {
		t.Fatalf("%d alerts are read, want %d", len(parsed), len(alerts))
	}
	for i, p := range parsed {
		if p.Err != nil {
			t.Fatal(p.Err)
		}
		if sig := p.Signal(); sig.Fingerprint != alerts[i].Fingerprint().String() || sig.Resolved {
			t.Errorf("alert %d is read as %+v", i, sig)
		}
	}
}

func object(name string, alert Alert, count int) v1alpha1.RemediationRequest {
	return v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: alert.Namespace, Name: name},
		Spec: v1alpha1.RemediationRequestSpec{
			SignalName: alert.Name, SignalFingerprint: alert.Fingerprint().String(),
			Deduplication: v1alpha1.DeduplicationInfo{OccurrenceCount: count},
		},
	}
}

func storm(name string, alerts ...Alert) v1alpha1.RemediationRequest {
	o := object(name, alerts[0], 1)
	o.Spec.IsStorm, o.Spec.StormAlertCount = true, len(alerts)
	for _, alert := range alerts {
		o.Spec.AffectedResources = append(o.Spec.AffectedResources, alert.ResourceID())
	}
	return o
}

func TestCheck(t *testing.T) {
	one, two, three := Alert{"A", "shop", "1"}, Alert{"A", "shop", "2"}, Alert{"A", "shop", "3"}
	changed := func(o v1alpha1.RemediationRequest, change func(*v1alpha1.RemediationRequest)) v1alpha1.RemediationRequest {
		change(&o)
		return o
	}
	cases := []struct {
		name string
		// codes are the answers to the alerts one, two and three; 0 is none.
		codes   [3][]int
		objects []v1alpha1.RemediationRequest
		want    string // the findings, or "" for none
	}{
		{"nothing", [3][]int{}, nil, ""},
		{"one object each", [3][]int{{201}, {201, 202}, {201}}, []v1alpha1.RemediationRequest{object("a", one, 1), object("b", two, 2), object("c", three, 1)}, ""},
		{"an object without an answer", [3][]int{{0}}, []v1alpha1.RemediationRequest{object("a", one, 1)}, ""},
		{"refused", [3][]int{{500, 503}}, nil, ""},
		{"counted without an answer", [3][]int{{201, 0, 202}}, []v1alpha1.RemediationRequest{object("a", one, 3)}, ""},
		{"lost", [3][]int{{201}, {202}}, []v1alpha1.RemediationRequest{object("a", one, 1)}, "1 lost: A of shop:Pod:2"},
		{"two objects", [3][]int{{201, 201}}, []v1alpha1.RemediationRequest{object("a", one, 1), object("b", one, 1)}, "1 duplicated: A of shop:Pod:1"},
		{"two objects, one finished", [3][]int{{201, 201}}, []v1alpha1.RemediationRequest{
			changed(object("a", one, 1), func(o *v1alpha1.RemediationRequest) { o.Status.OverallPhase = v1alpha1.PhaseCompleted }), object("b", one, 1),
		}, ""},
		{"counted too few", [3][]int{{201, 202}}, []v1alpha1.RemediationRequest{object("a", one, 1)}, "1 miscounted: A of shop:Pod:1"},
		{"counted too many", [3][]int{{201, 202}}, []v1alpha1.RemediationRequest{object("a", one, 3)}, "1 miscounted"},
		{"nobody sent it", [3][]int{{201}}, []v1alpha1.RemediationRequest{object("a", one, 1), object("b", two, 1)}, "1 unknown: shop/b"},
		{"a storm", [3][]int{{202}, {201}, {202, 202}}, []v1alpha1.RemediationRequest{storm("s", one, two, three)}, ""},
		{"a storm without a member", [3][]int{{202}, {201}, {202}}, []v1alpha1.RemediationRequest{storm("s", one, two)}, "1 lost: A of shop:Pod:3"},
		{"a member with an object of its own", [3][]int{{202}, {201}, {202}}, []v1alpha1.RemediationRequest{storm("s", one, two, three), object("c", three, 1)}, "1 duplicated: A of shop:Pod:3"},
		{"a storm with a member twice", [3][]int{{202}, {201}}, []v1alpha1.RemediationRequest{storm("s", one, two, two)}, "1 inconsistent"},
		{"a storm that counts wrong", [3][]int{{202}, {201}}, []v1alpha1.RemediationRequest{
			changed(storm("s", one, two), func(o *v1alpha1.RemediationRequest) { o.Spec.StormAlertCount = 3 }),
		}, "1 inconsistent: shop/s has stormAlertCount 3"},
		{"a storm without itself", [3][]int{{201}, {202}}, []v1alpha1.RemediationRequest{
			changed(storm("s", one, two), func(o *v1alpha1.RemediationRequest) {
				o.Spec.AffectedResources, o.Spec.StormAlertCount = o.Spec.AffectedResources[1:], 1
			}),
		}, "inconsistent: shop/s does not have its own resource"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := NewLedger()
			for i, alert := range []Alert{one, two, three} {
				for _, code := range c.codes[i] {
					l.Sent(alert)
					if code != 0 {
						l.Answered(alert, code)
					}
				}
			}
			err := l.Check(c.objects).Err()
			if c.want == "" && err != nil {
				t.Errorf("findings: %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("findings: %v, want %s", err, c.want)
			}
		})
	}
}
