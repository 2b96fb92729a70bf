package suite

import (
	"context"
	"errors"
	"strings"
	"testing"

	"stormgate.internal/tools/fixture/client"
)

// unusable is an environment that specs can't use.
type unusable struct {
	environment
	lost  error
	calls []string
}

func (u *unusable) Err() error { return u.lost }

func (u *unusable) Artifacts(ctx context.Context, dir string) error {
	u.calls = append(u.calls, "artifacts to "+dir)
	return ctx.Err()
}

func (u *unusable) Release(ctx context.Context) error {
	u.calls = append(u.calls, "release")
	return ctx.Err()
}

// A gateway that doesn't answer when the specs are about to begin is the gateway's
// fault, and its log is saved. If the cluster was lost, it is not. Both hold even if the
// test's context has ended.
func TestUnusableEnvironmentIsReported(t *testing.T) {
	t.Setenv(outputsVariable, "outputs")
	reason := errors.New("read metrics before the specs: refused")
	for name, test := range map[string]struct {
		lost           error
		infrastructure bool
	}{
		"gateway broken": {nil, false},
		"cluster lost":   {&client.InfrastructureError{Component: "etcd", Err: errors.New("killed")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			u := &unusable{lost: test.lost}
			err := abandon(ended, u, reason)
			var marked interface{ Infrastructure() bool }
			if !errors.Is(err, reason) || errors.As(err, &marked) != test.infrastructure {
				t.Errorf("error %v, infrastructure %t, want %t", err, !test.infrastructure, test.infrastructure)
			}
			if errors.Is(err, context.Canceled) {
				t.Errorf("what is done at the end was not given time: %v", err)
			}
			if got := strings.Join(u.calls, ", "); got != "artifacts to outputs, release" {
				t.Errorf("calls: %s", got)
			}
		})
	}
}
