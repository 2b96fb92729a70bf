package integration_test

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stormgate.internal/gateway/config"
	"stormgate.internal/integration/system"
	"stormgate.internal/integration/testbed"
	"stormgate.internal/tools/faultproxy"
)

// trouble comes over a system in the middle of a burst. begin returns what ends it.
type trouble struct {
	name    string
	options func(*system.Options) // may be nil
	begin   func(t *testing.T, s *system.System) (end func())
	// uncounted is whether repeats may be counted in Redis alone meanwhile.
	uncounted bool
}

var (
	everything = faultproxy.Match{Everywhere: true, Resource: objects}
	writes     = faultproxy.Match{Everywhere: true, Resource: objects, Verbs: []string{"create", "update", "patch"}}
)

// apiTrouble is a fault that all requests meet.
func apiTrouble(name string, match faultproxy.Match, fault faultproxy.Fault) trouble {
	return trouble{name: name, uncounted: true, begin: func(_ *testing.T, s *system.System) func() {
		end := s.Fault(faultproxy.Rule{ID: name, Match: match, Fault: fault})
		return func() { end() }
	}}
}

// persistent makes Redis write what it knows to disk.
func persistent(o *system.Options) {
	o.Redis = []string{"--appendonly", "yes", "--maxmemory-policy", "noeviction"}
}

func setMemory(t *testing.T, s *system.System, value string) {
	t.Helper()
	client := s.Redis.Client()
	defer client.Close()
	if err := client.ConfigSet(t.Context(), "maxmemory", value).Err(); err != nil {
		t.Fatalf("set the memory of Redis: %v", err)
	}
}

// stop freezes a process, which is the worst it can do to its peers.
func stop(t *testing.T, process *testbed.Process) func() {
	t.Helper()
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}

// short makes clients of Redis notice sooner that it does not answer.
func short(cfg *config.Config) {
	redis := &cfg.Infrastructure.Redis
	redis.DialTimeout, redis.ReadTimeout, redis.WriteTimeout = config.Duration(time.Second), config.Duration(time.Second), config.Duration(time.Second)
}

// troubled is how long trouble lasts: several of the senders' tries.
const troubled = 1500 * time.Millisecond

// Whatever comes over the gateway in the middle of a burst of new incidents,
// repeated ones and storms: what was accepted is in objects, and nothing is there
// twice. Each kind of trouble is a test of its own, since Bazel's shards divide tests.

func TestBurstWhileAPIServerRefuses(t *testing.T) {
	burst(t,
		apiTrouble("answers 429", everything, faultproxy.Fault{Kind: faultproxy.Status, Code: 429}),
		apiTrouble("answers 503", everything, faultproxy.Fault{Kind: faultproxy.Status, Code: 503}),
		apiTrouble("answers 500", everything, faultproxy.Fault{Kind: faultproxy.Status, Code: 500}),
		apiTrouble("stores and answers 504", writes, faultproxy.Fault{Kind: faultproxy.Status, Code: 504, Forward: true}),
		apiTrouble("resets", everything, faultproxy.Fault{Kind: faultproxy.Reset}),
		apiTrouble("stores and resets", writes, faultproxy.Fault{Kind: faultproxy.Reset, Forward: true}),
	)
}

func TestBurstWhileAPIServerIsSlow(t *testing.T) {
	burst(t,
		apiTrouble("is slow", everything, faultproxy.Fault{Kind: faultproxy.Delay, Delay: metav1.Duration{Duration: 300 * time.Millisecond}}),
		apiTrouble("is silent", everything, faultproxy.Fault{Kind: faultproxy.Hold}),
		apiTrouble("stores and is silent", writes, faultproxy.Fault{Kind: faultproxy.Hold, Forward: true}),
	)
}

func TestBurstWhileRedisIsAway(t *testing.T) {
	burst(t,
		trouble{name: "killed", options: persistent, begin: func(t *testing.T, s *system.System) func() {
			s.Redis.Kill()
			return func() {
				if err := s.Redis.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}},
		trouble{name: "stopped", begin: func(t *testing.T, s *system.System) func() {
			return stop(t, s.Redis.Process)
		}},
		trouble{name: "out of memory", options: persistent, begin: func(t *testing.T, s *system.System) func() {
			setMemory(t, s, "1")
			return func() { setMemory(t, s, "0") }
		}},
	)
}

func TestBurstWhileGatewayIsAway(t *testing.T) {
	burst(t,
		trouble{name: "killed", begin: func(t *testing.T, s *system.System) func() {
			s.Gateways[0].Kill()
			return func() {
				if err := s.Gateways[0].Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}},
		trouble{name: "stopped", begin: func(t *testing.T, s *system.System) func() {
			return stop(t, s.Gateways[0].Process)
		}},
	)
}

// burst sends a burst for each kind of trouble, which comes in the middle of it.
func burst(t *testing.T, troubles ...trouble) {
	n := rounds(3000, 300)
	for _, c := range troubles {
		t.Run(c.name, func(t *testing.T) {
			o := system.Options{Adjust: short}
			if c.options != nil {
				c.options(&o)
			}
			s := system.New(t, o)
			queue := make(chan testbed.Alert, n)
			for _, alert := range mixed(s.Namespace, n) {
				queue <- alert
			}
			close(queue)
			var delivered atomic.Int64
			var sending sync.WaitGroup
			for range 16 {
				sending.Go(func() {
					for alert := range queue {
						s.Deliver(t.Context(), alert)
						delivered.Add(1)
					}
				})
			}
			s.Until("a part is delivered", func() bool { return delivered.Load() >= int64(n/4) })
			end := c.begin(t, s)
			time.Sleep(troubled)
			end()
			sending.Wait()
			if c.uncounted {
				s.VerifyStored()
			} else {
				s.Verify()
			}
			t.Logf("%d tries for %d alerts", s.Ledger.Tries(), n)
		})
	}
}
