package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stormgate.internal/integration/system"
	"stormgate.internal/integration/testbed"
	"stormgate.internal/tools/faultproxy"
)

// A replica that dies while it creates an object leaves a reservation, and
// perhaps the object. Another one must find out which.
func TestReplicaDiesWhileItCreates(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored=%t", stored), func(t *testing.T) {
			s := system.New(t, system.Options{})
			alert := testbed.Alert{Name: "Dying", Namespace: s.Namespace, Pod: "pod"}
			end := s.Fault(faultproxy.Rule{ID: "held", Match: creates(), Count: 1, Fault: faultproxy.Fault{Kind: faultproxy.Hold, Forward: stored}})
			var dying sync.WaitGroup
			s.Ledger.Sent(alert)
			dying.Go(func() {
				if answers, err := s.Client.Send(t.Context(), s.Gateways[0].URL(), alert); err == nil {
					t.Errorf("a replica that was killed answers %+v", answers)
				}
			})
			s.Until("the create is held", func() bool {
				state, _ := s.Faults.Get("held")
				return state.Held == 1
			})
			s.Gateways[0].Kill()
			dying.Wait()
			s.Until("the create is given up", func() bool {
				state, _ := s.Faults.Get("held")
				return state.Held == 0
			})
			end()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s.DeliverTo(ctx, 1, alert)
			s.Verify()
			if n := len(s.Objects()); n != 1 {
				t.Errorf("%d objects, want 1", n)
			}
		})
	}
}

// chaos is the time between two deaths of a gateway.
const chaos = 2 * time.Second

// Gateways are killed one after the other all the time, and Redis once, with its
// data on disk. Senders repeat what is not accepted. Nothing that was accepted is
// lost, and nothing exists twice.
func TestAlertsWhileProcessesAreKilled(t *testing.T) {
	s := system.New(t, system.Options{Redis: []string{"--appendonly", "yes"}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	alerts := mixed(s.Namespace, rounds(10_000, 600))
	var delivered atomic.Int64
	done := make(chan struct{})
	var deaths int
	var killing sync.WaitGroup
	killing.Go(func() {
		redisKilled := false
		for victim := 0; ; victim++ {
			select {
			case <-done:
				if !redisKilled {
					t.Error("Redis was not killed")
				}
				return
			case <-time.After(chaos):
			}
			gateway := s.Gateways[victim%len(s.Gateways)]
			gateway.Kill()
			deaths++
			if !redisKilled && (delivered.Load() > int64(len(alerts)/3) || victim > 0) {
				redisKilled = true
				if err := s.Redis.Restart(ctx); err != nil {
					t.Error(err)
				}
			}
			if err := gateway.Launch(ctx); err != nil {
				t.Error(err)
				return
			}
		}
	})
	queue := make(chan testbed.Alert)
	var sending sync.WaitGroup
	for range 16 {
		sending.Go(func() {
			for alert := range queue {
				s.Deliver(ctx, alert)
				delivered.Add(1)
			}
		})
	}
	started := time.Now()
	// Sending goes on until there has been something to survive.
	for i := 0; i < len(alerts) || time.Since(started) < 3*chaos; i++ {
		queue <- alerts[i%len(alerts)]
	}
	close(queue)
	sending.Wait()
	close(done)
	killing.Wait()
	s.Verify()
	t.Logf("%d alerts of %d incidents were accepted during %s and %d deaths; %d objects",
		s.Ledger.Accepted(), s.Ledger.Incidents(), time.Since(started).Round(time.Second), deaths, len(s.Objects()))
}

// mixed are 70 % new incidents, 20 % repeated ones and 10 % storms, in random
// order but for storms, whose alerts come close together.
func mixed(namespace string, n int) []testbed.Alert {
	const block = 400 // with one storm, of forty pods
	alerts := make([]testbed.Alert, n)
	for i := range alerts {
		switch part := i % 10; {
		case part < 7:
			alerts[i] = testbed.Alert{Name: fmt.Sprint("Unique", i), Namespace: namespace, Pod: "pod"}
		case part < 9:
			alerts[i] = testbed.Alert{Name: fmt.Sprint("Repeated", i/10%50), Namespace: namespace, Pod: "pod"}
		default:
			alerts[i] = testbed.Alert{Name: fmt.Sprint("Storm", i/block), Namespace: namespace, Pod: fmt.Sprint("pod-", i)}
		}
	}
	for part := range slices.Chunk(alerts, block) {
		rand.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	return alerts
}
