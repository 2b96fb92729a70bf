package suite

import "context"

// attest says whether the environment was, all the time, the one that was deployed.
// The result is what test.xml has as properties of the suite.
func (w *world) attest(ctx context.Context) (map[string]string, error) {
	attestation, err := w.environment.Attest(ctx)
	return attestation.Properties(), asInfrastructure(err)
}

// exclusive keeps everybody else from the environment until share is called.
func (w *world) exclusive(ctx context.Context) (share func(ctx context.Context) error, err error) {
	share, err = w.environment.Exclusive(ctx)
	if err != nil {
		return nil, asInfrastructure(err)
	}
	return func(ctx context.Context) error { return asInfrastructure(share(ctx)) }, nil
}
