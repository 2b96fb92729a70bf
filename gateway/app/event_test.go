package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
)

const eventRoute = "/api/v1/signals/kubernetes-event"

func event(reason, namespace, kind, name string) string {
	return fmt.Sprintf(`{"type":"Warning","reason":%q,"message":"m","involvedObject":{"kind":%q,"namespace":%q,"name":%q},"firstTimestamp":"2025-11-24T09:59:00Z","count":2,"source":{"component":"kubelet"}}`,
		reason, kind, namespace, name)
}

// soonAfter has the gateway get requests a minute after the events above.
func soonAfter(_ *config.Config, o *app.Options) {
	o.Now = func() time.Time { return time.Date(2025, 11, 24, 10, 0, 0, 0, time.UTC) }
}

func TestEventBecomesAnObject(t *testing.T) {
	c := newCluster(t, "shop")
	g := start(t, redistest.Start(t).Addr, c, soonAfter)
	body := event("OOMKilled", "shop", "Pod", "web")
	first := g.sendTo(t, eventRoute, body)
	wantCreated(t, first)
	wantDuplicate(t, g.sendTo(t, eventRoute, body), ref(first), 2)
	o := c.objects(t)[0]
	if s := o.Spec; s.SignalName != "OOMKilled" || s.SignalType != "kubernetes-event" || s.SignalSource != "kubernetes-events" || s.Severity != "critical" ||
		s.FiringTime.UTC().Format("15:04") != "09:59" || string(s.OriginalPayload) != body || s.SignalLabels["kubernaut.io/event-source"] != "kubelet" {
		t.Errorf("spec %+v", s)
	}
	if o.Namespace != "shop" || o.Labels["kubernaut.io/signal-type"] != "kubernetes-event" {
		t.Errorf("namespace %s, labels %v", o.Namespace, o.Labels)
	}
	_, text := g.get(t, "/metrics")
	if want := `gateway_signals_received_total{environment="shop",severity="critical",source="kubernetes-event"} 2`; !strings.Contains(text, want+"\n") {
		t.Errorf("metrics lack %s", want)
	}
}

// Events about nodes and other objects without a namespace share the fallback
// namespace, and are found there again.
func TestClusterScopedEvent(t *testing.T) {
	c := newCluster(t, "fallback")
	server := redistest.Start(t)
	g := start(t, server.Addr, c, soonAfter)
	body := event("DiskPressure", "", "Node", "worker-1")
	first := g.sendTo(t, eventRoute, body)
	wantCreated(t, first)
	if first.body.RemediationRequestNamespace != "fallback" || first.body.Environment != "unknown" ||
		first.body.Fingerprint != "6b075608df8e6da41743ea4f537b362eee04a10d24ef195c07f6a466816fb452" {
		t.Errorf("reply %+v", first.body)
	}
	if l := c.objects(t)[0].Labels; l["kubernaut.io/cluster-scoped"] != "true" || l["kubernaut.io/origin-namespace"] != "" {
		t.Errorf("labels %v", l)
	}
	r := server.Client()
	defer r.Close()
	r.FlushAll(t.Context())
	wantDuplicate(t, g.sendTo(t, eventRoute, body), ref(first), 2)
}

func TestNamesThatNoObjectCanHaveAreRefused(t *testing.T) {
	c := newCluster(t, "shop")
	g := start(t, redistest.Start(t).Addr, c, soonAfter)
	longest := strings.Repeat("n", 253)
	for route, body := range map[string]func(name string) string{
		eventRoute:      func(name string) string { return event(name, "shop", "Pod", "api") },
		prometheusRoute: func(name string) string { return alert(name, "shop", "web") },
	} {
		wantCreated(t, g.sendTo(t, route, body(longest)))
		if a := g.sendTo(t, route, body(longest+"n")); a.code != http.StatusBadRequest || !strings.HasSuffix(a.body.Type, "/validation-error") {
			t.Errorf("%s, one character more: %d %+v", route, a.code, a.body)
		}
	}
}
