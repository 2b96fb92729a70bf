package storm

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/policy"
	"stormgate.internal/gateway/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testPriorities loads a policy by which critical signals in production come first.
var testPriorities = sync.OnceValue(func() *policy.Priorities {
	file, err := os.CreateTemp("", "priority*.rego")
	if err != nil {
		panic(err)
	}
	defer os.Remove(file.Name())
	const source = `package kubernaut.gateway.priority
priority := "P0" if { input.severity == "critical"; input.environment == "production" }`
	if _, err := file.WriteString(source); err != nil {
		panic(err)
	}
	if err := file.Close(); err != nil {
		panic(err)
	}
	loaded, err := policy.LoadPriorities(context.Background(), file.Name(), metrics.New(), slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	return loaded
})

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
