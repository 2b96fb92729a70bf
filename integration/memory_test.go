package integration_test

import (
	"fmt"
	"testing"

	"stormgate.internal/integration/system"
	"stormgate.internal/integration/testbed"
)

// After a storm the gateway is as small as it was before: nothing of what has
// passed through it stays. The first storm fills pools and caches.
func TestMemoryReturnsAfterStorm(t *testing.T) {
	const (
		senders = 64
		// slack is what may differ between two idle states, in bytes: half a kilobyte
		// for each alert would be more.
		slack = 1 << 20
		// spare are goroutines of connections that happen to be open.
		spare = 20
	)
	n := rounds(20_000, 4_000)
	s := system.New(t, system.Options{Replicas: 1, Storm: system.AtOnce(5)})
	gateway := s.Gateways[0]
	storm := func(name string) {
		t.Helper()
		var alerts []testbed.Alert
		for i := range n {
			alerts = append(alerts, testbed.Alert{Name: fmt.Sprint(name, i%10), Namespace: s.Namespace, Pod: fmt.Sprint("pod-", i)})
		}
		s.DeliverAll(t.Context(), senders, alerts)
		s.Verify()
		s.Client.Close() // idle connections
	}
	idle := func() (heap int64, goroutines int) {
		t.Helper()
		heap, err := gateway.LiveHeap(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if goroutines, err = gateway.Goroutines(t.Context()); err != nil {
			t.Fatal(err)
		}
		return heap, goroutines
	}
	storm("First")
	heap, goroutines := idle()
	storm("Second")
	var heapAfter int64
	var goroutinesAfter int
	s.Until(fmt.Sprintf("heap and goroutines are back at %d bytes and %d", heap, goroutines), func() bool {
		heapAfter, goroutinesAfter = idle()
		return heapAfter <= heap+slack && goroutinesAfter <= goroutines+spare
	})
	t.Logf("heap %d KiB, then %d KiB; %d goroutines, then %d", heap>>10, heapAfter>>10, goroutines, goroutinesAfter)
}
