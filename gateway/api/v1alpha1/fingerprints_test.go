package v1alpha1_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

// What the API types compute of a storm's resources must be what the gateway
// computes of the signals, or members would not be found to repeat.
func TestFingerprints(t *testing.T) {
	resource := func(namespace, kind, name string) signal.Resource {
		return signal.Resource{Namespace: namespace, Kind: kind, Name: name}
	}
	for name, members := range map[string][]signal.Resource{
		"not a storm":             {},
		"one":                     {resource("shop", "Pod", "web-1")},
		"several":                 {resource("shop", "Pod", "web-1"), resource("shop", "Pod", "web-2"), resource("shop", "Node", "n")},
		"cluster-scoped":          {resource("", "Node", "worker-1"), resource("", "Node", "worker-2")},
		"cluster-scoped, colons":  {resource("", "Node", "10.0.0.1:9100"), resource("", "Node", "10.0.0.2:9100")},
		"colons":                  {resource("shop", "Node", "10.0.0.1:9100"), resource("shop", "Service", "a:b:c")},
		"odd namespace":           {resource("Not A Name", "Pod", "web"), resource("Not A Name", "Pod", "")},
		"resources without names": {resource("shop", "Unknown", "unknown")},
	} {
		t.Run(name, func(t *testing.T) {
			for filler := range max(1, len(members)) {
				r := &v1alpha1.RemediationRequest{Spec: v1alpha1.RemediationRequestSpec{SignalName: "Alert:A", SignalFingerprint: signal.Fingerprint("Alert:A", "x", "y", "z")}}
				var others []string
				for i, m := range members {
					r.Spec.AffectedResources = append(r.Spec.AffectedResources, m.ID())
					if fingerprint := signal.Fingerprint("Alert:A", m.Namespace, m.Kind, m.Name); i == filler {
						r.Spec.SignalFingerprint = fingerprint
					} else {
						others = append(others, fingerprint)
					}
				}
				want := append([]string{r.Spec.SignalFingerprint}, others...)
				if diff := cmp.Diff(want, r.Fingerprints()); diff != "" {
					t.Errorf("fingerprints (-want +got):\n%s", diff)
				}
				for _, fingerprint := range want {
					if !r.StandsFor(fingerprint) {
						t.Errorf("does not stand for %s", fingerprint)
					}
				}
				for _, foreign := range []string{"", "x", "00", signal.Fingerprint("Alert:B", "shop", "Pod", "web-1"), signal.Fingerprint("Alert:A", "else", "Pod", "web-1")} {
					if r.StandsFor(foreign) {
						t.Errorf("stands for %q", foreign)
					}
				}
			}
		})
	}
}

// Alerts whose fingerprints have more in them than the resource are told apart, however
// they are mixed with others.
func TestMembersWithDetails(t *testing.T) {
	name := "DiskFull"
	type alert struct{ namespace, kind, resource, detail string }
	fingerprint := func(a alert) string { return signal.Fingerprint(name, a.namespace, a.kind, a.resource+a.detail) }
	id := func(a alert) string {
		return signal.Resource{Namespace: a.namespace, Kind: a.kind, Name: a.resource}.ID()
	}
	for _, namespace := range []string{"shop", ""} {
		alerts := []alert{
			{namespace, "Host", "a", `{mountpoint="/var"}`}, {namespace, "Host", "a", `{mountpoint="/opt"}`}, {namespace, "Host", "b", ""},
			{namespace, "Host", "c", `{mountpoint="/var"}`}, {namespace, "Host", "c", ""},
		}
		for filler := range alerts {
			r := &v1alpha1.RemediationRequest{Spec: v1alpha1.RemediationRequestSpec{SignalName: name, SignalFingerprint: fingerprint(alerts[filler])}}
			for range 2 { // the second time changes nothing
				for _, a := range alerts {
					r.Spec.AddMember(fingerprint(a), id(a))
				}
			}
			if len(r.Spec.AffectedResources) != 3 {
				t.Errorf("namespace %q, filler %d: resources %q", namespace, filler, r.Spec.AffectedResources)
			}
			for i, a := range alerts {
				if !r.StandsFor(fingerprint(a)) || !r.Spec.HasMember(fingerprint(a), id(a)) || !slices.Contains(r.Fingerprints(), fingerprint(a)) {
					t.Errorf("namespace %q, filler %d: does not stand for alert %d: %+v", namespace, filler, i, r.Spec)
				}
			}
			for _, foreign := range []alert{{namespace, "Host", "a", ""}, {namespace, "Host", "b", `{mountpoint="/var"}`}, {namespace, "Host", "d", ""}} {
				if f := fingerprint(foreign); r.Spec.HasMember(f, id(foreign)) && foreign.resource != "a" {
					t.Errorf("namespace %q, filler %d: has member %+v", namespace, filler, foreign)
				}
			}
		}
	}
}

func FuzzFingerprints(f *testing.F) {
	f.Add("A", "shop", "Pod", "web")
	f.Add("A::", "", "Node", "host:9100")
	f.Fuzz(func(t *testing.T, name, namespace, kind, resource string) {
		if kind == "" {
			kind = "Pod" // no adapter makes a signal without a kind
		}
		own, other := signal.Resource{Namespace: namespace, Kind: kind, Name: resource}, signal.Resource{Namespace: namespace, Kind: "Pod", Name: resource + "2"}
		r := &v1alpha1.RemediationRequest{Spec: v1alpha1.RemediationRequestSpec{
			SignalName: name, SignalFingerprint: signal.Fingerprint(name, namespace, own.Kind, own.Name), AffectedResources: []string{other.ID(), own.ID()},
		}}
		if !r.StandsFor(signal.Fingerprint(name, namespace, other.Kind, other.Name)) {
			t.Errorf("a storm of %q does not stand for its member %q", own.ID(), other.ID())
		}
	})
}

func BenchmarkStandsFor(b *testing.B) {
	r := &v1alpha1.RemediationRequest{Spec: v1alpha1.RemediationRequestSpec{SignalName: "HighMemoryUsage"}}
	var last string
	for i := range 1000 {
		m := signal.Resource{Namespace: "production-shop", Kind: "Pod", Name: "payment-api-" + string(rune('a'+i%26)) + string(rune('a'+i/26))}
		r.Spec.AffectedResources = append(r.Spec.AffectedResources, m.ID())
		last = signal.Fingerprint("HighMemoryUsage", m.Namespace, m.Kind, m.Name)
		if i == 4 {
			r.Spec.SignalFingerprint = last
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if !r.StandsFor(last) {
			b.Fatal("a member is not found")
		}
	}
}
