package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
)

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
		for pattern, want := range map[string]int{"gateway:dedup:fingerprint:*": 1, "gateway:dedup:incident:*": 1, "gateway:dedup:lock:*": 0} {
			if keys := r.Keys(t.Context(), pattern).Val(); len(keys) != want {
				t.Errorf("round %d: keys %v, want %d", round, keys, want)
			}
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
	if a.code != http.StatusCreated || len(a.body.Results) != 2 || a.body.Results[0].Status != "created" || a.body.Results[1].Status != "error" {
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
