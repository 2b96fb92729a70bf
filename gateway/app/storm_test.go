package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
)

// storms sets thresholds, and timeouts that no test reaches unless it says so.
func storms(rate, pattern, buffer int, adjust ...func(*config.Storm)) func(*config.Config, *app.Options) {
	return func(cfg *config.Config, _ *app.Options) {
		s := &cfg.Processing.Storm
		s.RateThreshold, s.PatternThreshold, s.BufferThreshold = rate, pattern, buffer
		for _, a := range adjust {
			a(s)
		}
	}
}

func inactivity(d time.Duration) func(*config.Storm) {
	return func(s *config.Storm) { s.InactivityTimeout = config.Duration(d) }
}

// pods numbers pods from one number to another.
func pods(from, to int) (names []string) {
	for n := from; n <= to; n++ {
		names = append(names, fmt.Sprintf("pod-%02d", n))
	}
	return names
}

func resources(namespace string, pods []string) []string {
	ids := make([]string, len(pods))
	for i, pod := range pods {
		ids[i] = namespace + ":Pod:" + pod
	}
	return ids
}

// wantStorm checks a storm's object. Its members are in the order of their arrival,
// but alerts that are sent one after the other may arrive in the same millisecond.
func wantStorm(t *testing.T, object v1alpha1.RemediationRequest, kind string, members []string) {
	t.Helper()
	spec := object.Spec
	window := map[string]string{"rate": "1m", "pattern": "2m"}[kind]
	if !spec.IsStorm || spec.StormType != kind || spec.StormWindow != window || spec.StormAlertCount != len(members) || object.Labels["kubernaut.io/storm"] != "true" {
		t.Errorf("%s: storm %t of type %q over %q, %d alerts, labels %v", object.Name, spec.IsStorm, spec.StormType, spec.StormWindow, spec.StormAlertCount, object.Labels)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(members)), slices.Sorted(slices.Values(spec.AffectedResources))); diff != "" {
		t.Errorf("%s: resources (-want +got):\n%s", object.Name, diff)
	}
}

func (g *gateway) codes(t *testing.T, name, namespace string, pods []string) (codes []int) {
	t.Helper()
	for _, pod := range pods {
		codes = append(codes, g.send(t, alert(name, namespace, pod)).code)
	}
	return codes
}

// The timelines are the wire contract's.
func TestTimelineOfProduction(t *testing.T) {
	c := newCluster(t, "shop")
	g := start(t, redistest.Start(t).Addr, c, storms(10, 5, 5))
	want := []int{201, 201, 201, 201, 201, 202, 202, 202, 202, 201, 202, 202}
	if got := g.codes(t, "A", "shop", pods(1, 12)); !slices.Equal(got, want) {
		t.Errorf("codes %v, want %v", got, want)
	}
	objects := c.objects(t)
	if len(objects) != 6 {
		t.Fatalf("%d objects, want 5 and a storm's", len(objects))
	}
	for _, o := range objects {
		if o.Spec.IsStorm {
			wantStorm(t, o, "pattern", resources("shop", pods(6, 12)))
		} else if o.Labels["kubernaut.io/storm"] != "" || o.Labels["kubernaut.io/buffered"] != "" {
			t.Errorf("individual object has labels %v", o.Labels)
		}
	}
}

func TestTimelineOfScenarios(t *testing.T) {
	c := newCluster(t, "production-shop")
	g := start(t, redistest.Start(t).Addr, c, storms(0, 0, 2))
	var replies []answer
	for _, pod := range pods(1, 4) {
		replies = append(replies, g.send(t, alert("A", "production-shop", pod)))
	}
	first, second, third, fourth := replies[0], replies[1], replies[2], replies[3]
	if b := first.body; first.code != 202 || b.Status != "accepted" || !b.IsStorm || b.StormType != "rate" || b.WindowID != "" || b.RemediationRequestName != "" {
		t.Errorf("buffered: %d %+v", first.code, b)
	}
	wantCreated(t, second)
	if b := second.body; !b.IsStorm || b.StormType != "rate" || b.RemediationRequestNamespace != "production-shop" ||
		b.Environment != "production" || b.Priority != "P0" || !strings.HasPrefix(b.WindowID, "A-") {
		t.Errorf("opened: %+v", b)
	}
	for _, a := range []answer{third, fourth} {
		if b := a.body; a.code != 202 || b.Status != "accepted" || b.Duplicate || !b.IsStorm || b.StormType != "rate" || b.WindowID != second.body.WindowID {
			t.Errorf("added: %d %+v", a.code, b)
		}
	}
	objects := c.objects(t)
	if len(objects) != 1 {
		t.Fatalf("%d objects", len(objects))
	}
	o := objects[0]
	wantStorm(t, o, "rate", resources("production-shop", pods(1, 4)))
	// The incident is that of the alert which filled the buffer, the data are the first's.
	if o.Spec.SignalFingerprint != second.body.Fingerprint || o.Spec.SignalLabels["pod"] != "pod-01" ||
		string(o.Spec.OriginalPayload) != alert("A", "production-shop", "pod-01") || o.Spec.Environment != "production" || o.Spec.Priority != "P0" {
		t.Errorf("object %+v", o.Spec)
	}
	// Every member is the storm's now.
	for i, pod := range pods(1, 4) {
		wantDuplicate(t, g.send(t, alert("A", "production-shop", pod)), ref(second), i+2)
	}
	_, text := g.get(t, "/metrics")
	for _, sample := range []string{
		`gateway_signal_storms_detected_total{signal_name="A",storm_type="rate"} 4`,
		`gateway_crds_created_by_type_total{type="storm_aggregated"} 1`,
		`gateway_crds_created_total{environment="production",priority="P0"} 1`,
		`gateway_storm_cost_savings_percent 75`,
		`gateway_storm_aggregation_ratio 1`,
		`gateway_storm_protection_active 1`,
		`gateway_namespace_buffer_utilization{namespace="production-shop"} 0`,
		`gateway_redis_operation_duration_seconds_count{operation="storm_detection"} 4`,
		`gateway_signals_received_total{environment="production",severity="critical",source="prometheus-alert"} 8`,
	} {
		if !strings.Contains(text, sample+"\n") {
			t.Errorf("metrics lack %s", sample)
		}
	}
}

// Repeats of a buffered resource count towards the threshold, and are one member.
func TestIdenticalAlertsFillABuffer(t *testing.T) {
	c := newCluster(t, "shop")
	g := start(t, redistest.Start(t).Addr, c, storms(0, 0, 2))
	if got := g.codes(t, "A", "shop", []string{"web", "web"}); !slices.Equal(got, []int{202, 201}) {
		t.Fatalf("codes %v", got)
	}
	o := c.objects(t)[0]
	wantStorm(t, o, "rate", []string{"shop:Pod:web"})
	if o.Spec.Deduplication.OccurrenceCount != 1 {
		t.Errorf("counts %d", o.Spec.Deduplication.OccurrenceCount)
	}
	wantDuplicate(t, g.send(t, alert("A", "shop", "web")), "shop/"+o.Name, 2)
}

// A buffer that is not filled in time is flushed into individual objects, by any
// replica, also one that was started afterwards.
func TestBufferIsFlushed(t *testing.T) {
	c := newCluster(t, "shop")
	server := redistest.Start(t)
	set := storms(0, 0, 5, inactivity(300*time.Millisecond))
	g := start(t, server.Addr, c, set)
	if got := g.codes(t, "A", "shop", pods(1, 3)); !slices.Equal(got, []int{202, 202, 202}) {
		t.Fatalf("codes %v", got)
	}
	if n := len(c.objects(t)); n != 0 {
		t.Fatalf("%d objects before the time is up", n)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g = start(t, server.Addr, c, set)
	eventually(t, "flushed", func() bool { return len(c.objects(t)) == 3 })
	for _, o := range c.objects(t) {
		if o.Spec.IsStorm || o.Spec.StormAlertCount != 0 || o.Labels["kubernaut.io/buffered"] != "true" || o.Labels["kubernaut.io/storm"] != "" || o.Spec.Deduplication.OccurrenceCount != 1 {
			t.Errorf("object %v %+v", o.Labels, o.Spec)
		}
	}
	r := server.Client()
	defer r.Close()
	eventually(t, "tidy", func() bool { return r.Exists(t.Context(), "alert:storm:due").Val() == 0 })
	a := g.send(t, alert("A", "shop", "pod-01"))
	if a.code != 202 || a.body.Status != "duplicate" || a.body.Metadata.Count != 2 {
		t.Errorf("repeat: %d %+v", a.code, a.body)
	}
	_, text := g.get(t, "/metrics")
	for _, sample := range []string{`gateway_crds_created_by_type_total{type="individual"} 3`, `gateway_storm_aggregation_ratio 0`} {
		if !strings.Contains(text, sample+"\n") {
			t.Errorf("metrics lack %s", sample)
		}
	}
}

// After a pause the next alerts make a window of their own.
func TestWindowEndsWithSilence(t *testing.T) {
	c := newCluster(t, "shop")
	g := start(t, redistest.Start(t).Addr, c, storms(0, 0, 2, inactivity(200*time.Millisecond)))
	g.codes(t, "A", "shop", pods(1, 3))
	eventually(t, "window closed", func() bool {
		_, text := g.get(t, "/metrics")
		return strings.Contains(text, `gateway_storm_window_duration_seconds_count{alert_name="A",namespace="shop"} 1`+"\n")
	})
	if got := g.codes(t, "A", "shop", pods(4, 5)); !slices.Equal(got, []int{202, 201}) {
		t.Errorf("codes %v", got)
	}
	var got [][]string
	for _, o := range c.objects(t) {
		got = append(got, o.Spec.AffectedResources)
	}
	slices.SortFunc(got, slices.Compare)
	if diff := cmp.Diff([][]string{resources("shop", pods(1, 3)), resources("shop", pods(4, 5))}, got); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
}

// A finished object takes no members: the next alert of its window starts afresh,
// be it new or a member that fires again.
func TestObjectIsFinishedBeforeItsWindow(t *testing.T) {
	for what, finish := range map[string]func(*cluster, *v1alpha1.RemediationRequest){
		"completed": func(c *cluster, o *v1alpha1.RemediationRequest) { c.setPhase(t, o, v1alpha1.PhaseCompleted) },
		"deleted": func(c *cluster, o *v1alpha1.RemediationRequest) {
			if err := c.Delete(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for who, next := range map[string][]string{
			"a new one first":        {"pod-04", "pod-01", "pod-05"},
			"the first one first":    {"pod-01", "pod-04", "pod-05"},
			"the opener first":       {"pod-02", "pod-01", "pod-05"},
			"one that joined, first": {"pod-03", "pod-04", "pod-01"},
		} {
			t.Run(what+", "+who, func(t *testing.T) {
				c := newCluster(t, "shop")
				g := start(t, redistest.Start(t).Addr, c, storms(0, 0, 2))
				g.codes(t, "A", "shop", pods(1, 3))
				first := c.objects(t)[0]
				finish(c, &first)
				if got := g.codes(t, "A", "shop", next); !slices.Equal(got, []int{202, 201, 202}) {
					t.Errorf("codes %v", got)
				}
				storms := 0
				for _, o := range c.objects(t) {
					if o.Name == first.Name {
						wantStorm(t, o, "rate", resources("shop", pods(1, 3)))
					} else {
						wantStorm(t, o, "rate", resources("shop", next))
						storms++
					}
				}
				if storms != 1 {
					t.Errorf("%d storms after the first, want 1", storms)
				}
			})
		}
	}
}

// Equal alerts of two namespaces are two storms, and one's limit is not the other's.
func TestNamespacesAreApart(t *testing.T) {
	c := newCluster(t, "one", "two")
	g := start(t, redistest.Start(t).Addr, c, storms(0, 0, 5, func(s *config.Storm) { s.PerNamespaceLimits = map[string]int{"one": 3} }))
	var one, two []int
	for _, pod := range pods(1, 5) {
		one = append(one, g.send(t, alert("A", "one", pod)).code)
		two = append(two, g.send(t, alert("A", "two", pod)).code)
	}
	// A window of namespace one holds 3, and then another begins.
	if !slices.Equal(one, []int{202, 202, 201, 202, 202}) || !slices.Equal(two, []int{202, 202, 202, 202, 201}) {
		t.Errorf("codes %v and %v", one, two)
	}
	for _, o := range c.objects(t) {
		wantStorm(t, o, "rate", resources(o.Namespace, pods(1, map[string]int{"one": 3, "two": 5}[o.Namespace])))
	}
	_, text := g.get(t, "/metrics")
	for _, name := range []string{"gateway_namespace_buffer_blocking_total", "gateway_storm_buffer_overflow_total"} {
		if !strings.Contains(text, name+"{namespace=\"one\"} 1\n") || strings.Contains(text, name+"{namespace=\"two\"}") {
			t.Errorf("%s is wrong", name)
		}
	}
}

// The signal's namespace can't hold an object: its storm is in the fallback one.
func TestStormInTheFallbackNamespace(t *testing.T) {
	for _, namespace := range []string{"", "gone", "Not Valid"} {
		c := newCluster(t, "fallback")
		g := start(t, redistest.Start(t).Addr, c, storms(0, 0, 2))
		if got := g.codes(t, "A", namespace, pods(1, 4)); !slices.Equal(got, []int{202, 201, 202, 202}) {
			t.Errorf("%q: codes %v", namespace, got)
		}
		for _, pod := range pods(1, 4) {
			if a := g.send(t, alert("A", namespace, pod)); a.body.Status != "duplicate" {
				t.Errorf("%q: repeat of %s: %d %+v", namespace, pod, a.code, a.body)
			}
		}
		if objects := c.objects(t); len(objects) != 1 || objects[0].Namespace != "fallback" || objects[0].Spec.StormAlertCount != 4 {
			t.Errorf("%q: objects %+v", namespace, objects)
		}
	}
}

// Redis fails while an alert is on its way: nothing is made of it that could be
// made again.
func TestRedisFailsInAStorm(t *testing.T) {
	c := newCluster(t, "shop")
	server := redistest.Start(t)
	g := start(t, server.Addr, c, storms(0, 0, 3))
	g.codes(t, "A", "shop", pods(1, 2))
	r := server.Client()
	defer r.Close()
	if err := r.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if a := g.send(t, alert("A", "shop", "pod-03")); a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("Redis is out of memory: %d %+v", a.code, a.body)
	}
	if n := len(c.objects(t)); n != 0 {
		t.Errorf("%d objects", n)
	}
	if err := r.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	wantCreated(t, g.send(t, alert("A", "shop", "pod-03")))
	wantStorm(t, c.objects(t)[0], "rate", resources("shop", pods(1, 3)))
}

// 15 at once over two replicas, in two namespaces: one object each, which holds
// exactly those 15.
func TestOneObjectPerStormUnderConcurrency(t *testing.T) {
	const rounds, size = 50, 15
	namespaces := []string{"one", "two"}
	c := newCluster(t, namespaces...)
	server := redistest.Start(t)
	set := storms(0, 0, 5)
	replicas := []*gateway{start(t, server.Addr, c, set), start(t, server.Addr, c, set)}
	for round := range rounds {
		name := fmt.Sprintf("Storm%02d", round)
		var mu sync.Mutex
		codes := map[string]map[int]int{"one": {}, "two": {}}
		var senders sync.WaitGroup
		for n, pod := range pods(1, size) {
			for m, namespace := range namespaces {
				senders.Go(func() {
					a := replicas[(n+m)%2].send(t, alert(name, namespace, pod))
					mu.Lock()
					defer mu.Unlock()
					codes[namespace][a.code]++
				})
			}
		}
		senders.Wait()
		for namespace, got := range codes {
			if got[http.StatusCreated] != 1 || got[http.StatusAccepted] != size-1 {
				t.Fatalf("round %d, namespace %s: codes %v", round, namespace, got)
			}
		}
	}
	objects := c.objects(t)
	if len(objects) != rounds*len(namespaces) {
		t.Errorf("%d objects, want %d", len(objects), rounds*len(namespaces))
	}
	for _, o := range objects {
		slices.Sort(o.Spec.AffectedResources)
		wantStorm(t, o, "rate", resources(o.Namespace, pods(1, size)))
		if o.Spec.Deduplication.OccurrenceCount != 1 {
			t.Errorf("%s counts %d", o.Name, o.Spec.Deduplication.OccurrenceCount)
		}
	}
}

// Members of a storm that only further labels tell apart are members of their own: each
// repeats the storm afterwards, also when Redis has lost its data.
func TestStormOfAlertsWithDetails(t *testing.T) {
	c := newCluster(t, "shop")
	server := redistest.Start(t)
	g := start(t, server.Addr, c, func(cfg *config.Config, _ *app.Options) {
		cfg.Processing.Storm.RateThreshold, cfg.Processing.Storm.PatternThreshold, cfg.Processing.Storm.BufferThreshold = 0, 0, 2
	})
	volume := func(name string) string {
		return webhook(map[string]string{"alertname": "Full", "namespace": "shop", "pod": "db-0", "mountpoint": name})
	}
	for i, name := range []string{"/a", "/b", "/c", "/d"} {
		if a := g.send(t, volume(name)); a.code >= 300 || !a.body.IsStorm {
			t.Fatalf("alert %d: %d %+v", i, a.code, a.body)
		}
	}
	objects := c.objects(t)
	if len(objects) != 1 {
		t.Fatalf("%d objects", len(objects))
	}
	s := objects[0].Spec
	if len(s.AffectedResources) != 1 || s.AffectedResources[0] != "shop:Pod:db-0" || len(s.AffectedFingerprints) != 4 || s.StormAlertCount != 1 {
		t.Errorf("resources %q, fingerprints %q, %d", s.AffectedResources, s.AffectedFingerprints, s.StormAlertCount)
	}
	of := objects[0].Namespace + "/" + objects[0].Name
	wantDuplicate(t, g.send(t, volume("/a")), of, 2)
	r := server.Client()
	defer r.Close()
	r.FlushAll(t.Context())
	for i, name := range []string{"/d", "/b", "/c"} {
		wantDuplicate(t, g.send(t, volume(name)), of, 3+i)
	}
	if a := g.send(t, volume("/e")); a.body.Duplicate {
		t.Errorf("a volume that was not among them: %+v", a.body)
	}
}
