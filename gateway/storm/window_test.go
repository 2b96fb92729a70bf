package storm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/storm"
)

func settings(buffer int, w, longest time.Duration) config.Storm {
	return config.Storm{
		BufferThreshold: buffer, InactivityTimeout: config.Duration(w), MaxWindowDuration: config.Duration(longest),
		DefaultMaxSize: 1000, GlobalMaxSize: 5000, SamplingThreshold: 1, SamplingRate: 1,
	}
}

// A restart of Redis, with what it had saved, changes nothing.
func TestRedisRestartsWithItsData(t *testing.T) {
	server := redistest.Start(t)
	cluster := newCluster("shop")
	r := newReplica(t, server, cluster, replicaOptions{settings: settings(5, time.Hour, time.Hour)})
	for n := range 4 {
		if _, err := r.Process(t.Context(), storm.TestSignal("A", "shop", fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.redis.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if outcome, err := r.Process(t.Context(), storm.TestSignal("A", "shop", "4")); err == nil {
		t.Errorf("without Redis: %+v", outcome)
	}
	server.Start()
	outcome, err := r.Process(t.Context(), storm.TestSignal("A", "shop", "4"))
	if err != nil || outcome.Storm == nil || outcome.Storm.Kind != storm.Opened {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if objects := objectsOf(t, cluster); len(objects) != 1 || objects[0].Spec.StormAlertCount != 5 {
		t.Errorf("objects %+v", objects)
	}
}

// A steady storm gets another window, and object, when one has been open for long
// enough; none of its alerts gets an object of its own.
func TestLongStormsHaveSeveralWindows(t *testing.T) {
	server := redistest.Start(t)
	cluster := newCluster("shop")
	s := &story{t: t, cluster: cluster, clock: newClock()}
	s.replica = newReplica(t, server, cluster, replicaOptions{settings: settings(2, time.Second, 3*time.Second), clock: s.clock})
	kinds := ""
	for n := range 12 {
		outcome, err := s.replica.Process(t.Context(), storm.TestSignal("A", "shop", fmt.Sprint(n)))
		if err != nil || outcome.Storm == nil {
			t.Fatalf("%+v, %v", outcome, err)
		}
		kinds += map[storm.Kind]string{storm.Buffered: "b", storm.Opened: "O", storm.Added: "a"}[outcome.Storm.Kind]
		s.clock.Add(500)
	}
	if kinds != "bOaaaaaabOaa" {
		t.Errorf("alerts every 500 ms: %s", kinds)
	}
	if objects := objectsOf(t, cluster); len(objects) != 2 || objects[0].Spec.StormAlertCount+objects[1].Spec.StormAlertCount != 12 {
		t.Errorf("objects %+v", objects)
	}
}

// However large its alerts are, a storm's object can be stored.
func TestObjectsStayBelowOneMebibyte(t *testing.T) {
	server := redistest.Start(t)
	cluster := newCluster("shop")
	r := newReplica(t, server, cluster, replicaOptions{settings: settings(2, time.Hour, time.Hour)})
	const alerts = 150
	for n := range alerts {
		sig := storm.TestSignal("A", "shop", fmt.Sprint(n, strings.Repeat("<x>", 3_000/3)))
		sig.Payload = []byte(strings.Repeat("p", 60_000))
		if _, err := r.Process(t.Context(), sig); err != nil {
			t.Fatal(err)
		}
	}
	held := 0
	for _, o := range objectsOf(t, cluster) {
		content, err := json.Marshal(o)
		if err != nil || len(content) >= 1<<20 {
			t.Errorf("%s with %d alerts has %d bytes; %v", o.Name, o.Spec.StormAlertCount, len(content), err)
		}
		held += o.Spec.StormAlertCount
	}
	if waiting := int(r.redis.HLen(t.Context(), "alert:storm:resources:shop:A").Val()); held < alerts/2 || held+waiting != alerts {
		t.Errorf("objects hold %d alerts, %d wait", held, waiting)
	}
}

// The flusher takes care of what is due by itself, and ends with its context.
func TestFlusherRuns(t *testing.T) {
	server := redistest.Start(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cluster := newCluster("shop")
	r := newReplica(t, server, cluster, replicaOptions{settings: settings(5, 50*time.Millisecond, time.Second)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.storms.Run(ctx) }()
	if _, err := r.Process(ctx, storm.TestSignal("A", "shop", "1")); err != nil {
		t.Fatal(err)
	}
	for len(objectsOf(t, cluster)) == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	r.close()
}
