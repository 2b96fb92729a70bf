package suite

import (
	"context"
	"errors"

	"stormgate.internal/tools/fixture/client"
)

// onExisting is what the scenarios need of a cluster that no environment
// describes: one that a person names by KUBECONFIG, with the overlay calm
// applied.
var onExisting = map[string]string{
	gatewayForward: "service/gateway.calm:8080",
	redisForward:   "service/redis.calm:6379",
}

// acquire gets the environment that this binary was built for.
func acquire(ctx context.Context) (environment, error) {
	leased, err := client.Acquire(ctx, client.WithForwards(onExisting))
	if err != nil {
		return nil, asInfrastructure(err)
	}
	return leased, nil
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
