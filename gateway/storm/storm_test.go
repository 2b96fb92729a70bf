package storm

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"stormgate.internal/gateway/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nothing observes nothing.
type nothing struct{}

func (nothing) RedisOperation(string, time.Duration)       {}
func (nothing) RedisOperationFailed(string)                {}
func (nothing) StormAlert(string, string)                  {}
func (nothing) BufferUtilization(string, float64)          {}
func (nothing) BufferOverflowed(string)                    {}
func (nothing) StormObject(string, string, int)            {}
func (nothing) FlushedObject(string, string)               {}
func (nothing) WindowClosed(string, string, time.Duration) {}

func testSignal(name, namespace, pod string) *signal.Signal {
	received := time.Unix(1_700_000_000, 0).UTC()
	return &signal.Signal{
		Type: "prometheus-alert", Source: "prometheus", Name: name, Severity: "critical", Namespace: namespace,
		Resource: signal.Resource{Kind: "Pod", Name: pod, Namespace: namespace},
		Labels:   map[string]string{"pod": pod}, Annotations: map[string]string{"summary": "of " + pod},
		FiringTime: received.Add(-time.Minute), ReceivedTime: received,
		Fingerprint: signal.Fingerprint(name, namespace, "Pod", pod), Payload: []byte(`{"pod":"` + pod + `"}`),
	}
}
