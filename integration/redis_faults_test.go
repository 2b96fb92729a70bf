package integration_test

import (
	"fmt"
	"sync"
	"syscall"
	"testing"

	"stormgate.internal/integration/system"
	"stormgate.internal/integration/testbed"
)

// Whatever happens to Redis, alerts are refused with 503 from the first one on,
// until it is back; and incidents that it has forgotten are still known by their
// objects.
func TestRedisAway(t *testing.T) {
	cases := []struct {
		name         string
		leave, again func(t *testing.T, s *system.System)
	}{
		{
			"killed, and back without data",
			func(_ *testing.T, s *system.System) { s.Redis.Kill() },
			func(t *testing.T, s *system.System) {
				if err := s.Redis.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			"stopped",
			func(t *testing.T, s *system.System) {
				if err := s.Redis.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			},
			func(t *testing.T, s *system.System) {
				if err := s.Redis.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			"out of memory",
			func(t *testing.T, s *system.System) { setMemory(t, s, "1") },
			func(t *testing.T, s *system.System) { setMemory(t, s, "0") },
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := system.New(t, system.Options{
				Redis:  []string{"--maxmemory-policy", "noeviction"},
				Adjust: short,
			})
			var alerts []testbed.Alert
			for i := range 10 {
				alerts = append(alerts, testbed.Alert{Name: "Away", Namespace: s.Namespace, Pod: fmt.Sprint("pod-", i)})
			}
			known, unknown := alerts[:5], alerts[5:]
			s.DeliverAll(t.Context(), 5, known)
			c.leave(t, s)
			// New ones: what a duplicate needs of Redis is a matter of what it holds.
			for replica := range s.Gateways {
				for _, alert := range unknown {
					if answer := s.Send(replica, alert); answer.Code != 503 {
						t.Errorf("replica %d answers %d %s", replica, answer.Code, answer.Detail)
					}
				}
			}
			if n := len(s.Objects()); n != len(known) {
				t.Errorf("%d objects were made without Redis", n-len(known))
			}
			var delivering sync.WaitGroup
			delivering.Go(func() { s.DeliverAll(t.Context(), 5, alerts) })
			c.again(t, s)
			delivering.Wait()
			s.Verify()
			if n := len(s.Objects()); n != len(alerts) {
				t.Errorf("%d objects, want %d", n, len(alerts))
			}
		})
	}
}

// A replica that takes over may lack the last writes: the incidents that it does
// not know are in progress all the same.
func TestRedisFailsOverToReplicaThatLacksWrites(t *testing.T) {
	pair := system.NewPair(t)
	s := system.New(t, system.Options{RedisAddr: pair.Addr})
	ctx := t.Context()
	alerts := func(from, to int) (alerts []testbed.Alert) {
		for i := from; i < to; i++ {
			alerts = append(alerts, testbed.Alert{Name: fmt.Sprint("Lacking", i), Namespace: s.Namespace, Pod: "pod"})
		}
		return alerts
	}
	s.DeliverAll(ctx, 8, alerts(0, 40))
	pair.Replicate(ctx, s.Redis)
	s.Until("the replica has caught up", func() bool { return pair.Caught(ctx, s.Redis) })
	pair.Cut()
	s.DeliverAll(ctx, 8, alerts(30, 70))
	s.Redis.Kill()
	pair.FailOver(ctx)
	s.DeliverAll(ctx, 8, alerts(0, 80))
	s.Verify()
	if n := len(s.Objects()); n != 80 {
		t.Errorf("%d objects, want 80", n)
	}
}
