package suite

import (
	"cmp"
	"context"
	"errors"
	"os"

	"stormgate.internal/tools/fixture/client"
)

// OverlayVariable names the overlay of the gateway that is applied in a cluster
// that no environment describes: one that a person names by KUBECONFIG. Default
// calm.
const OverlayVariable = "STORMGATE_OVERLAY"

// onExisting returns what the scenarios use of such a cluster. Which of the further
// services an overlay has, the cluster knows.
func onExisting() []client.Option {
	overlay := cmp.Or(os.Getenv(OverlayVariable), "calm")
	return []client.Option{
		client.WithForwards(gatewayForward, map[string]string{
			gatewayForward: "service/gateway." + overlay + ":8080",
			redisForward:   "service/redis." + overlay + ":6379",
		}),
		client.WithOptionalForwards(map[string]string{
			faultsForward:        "service/fault-proxy." + overlay + ":8002",
			secondGatewayForward: "service/gateway-2." + overlay + ":8080",
			"alertmanager":       "service/alertmanager-0." + overlay + ":9093",
			"alertmanager2":      "service/alertmanager-1." + overlay + ":9093",
			"events":             "service/event-forwarder." + overlay + ":8003",
			"events2":            "service/event-forwarder." + overlay + ":8004",
		}),
	}
}

// leased is the client's environment.
type leased struct{ *client.Environment }

// Home is the one namespace that an overlay fills.
func (l leased) Home() string { return l.Namespaces[0] }

// acquire returns the environment that this binary was built for.
func acquire(ctx context.Context) (environment, error) {
	var options []client.Option
	if os.Getenv(client.EnvironmentVariable) == "" {
		options = onExisting()
	}
	e, err := client.Acquire(ctx, options...)
	if err != nil {
		return nil, asInfrastructure(err)
	}
	return leased{e}, nil
}

// infrastructureError is the client's error as the bridge reports it to Bazel.
type infrastructureError struct{ *client.InfrastructureError }

func (infrastructureError) Infrastructure() bool { return true }

func (e infrastructureError) Component() string { return e.InfrastructureError.Component }

func (e infrastructureError) Unwrap() error { return e.InfrastructureError }

func asInfrastructure(err error) error {
	if infrastructure, ok := errors.AsType[*client.InfrastructureError](err); ok {
		return infrastructureError{infrastructure}
	}
	return err
}
