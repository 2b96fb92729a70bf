package ginkgo

import (
	"context"
	"errors"
	"maps"
	"os"

	. "github.com/onsi/ginkgo/v2"
)

func init() {
	maps.Copy(samples, map[string]func(*Options){
		"attested": func(o *Options) {
			hooks(o)
			o.Attest = func(ctx context.Context) (map[string]string, error) {
				trace("attest")
				if _, limited := ctx.Deadline(); !limited {
					return nil, errors.New("no deadline")
				}
				return map[string]string{"environment": "sha256:12", "changes": "none at all"}, nil
			}
			Describe("anything", func() {
				It("runs", func() {
					if os.Getenv("BRIDGE_FAIL") != "" {
						Fail("broken")
					}
				})
			})
		},
		"attested badly": func(o *Options) {
			hooks(o)
			o.Attest = func(context.Context) (map[string]string, error) {
				return map[string]string{"verdict": "changed"}, errors.New("deployments/gateway: env was changed by suite")
			}
			Describe("anything", func() { traced("runs") })
		},
		"attested without a verdict": func(o *Options) {
			o.Attest = func(context.Context) (map[string]string, error) {
				return nil, componentError{errors.New("somebody changed deployments/gateway")}
			}
			Describe("anything", func() { It("runs", func() { Fail("broken") }) })
		},
		"attest panics": func(o *Options) {
			hooks(o)
			o.Attest = func(context.Context) (map[string]string, error) { panic("no pen") }
			Describe("anything", func() { traced("runs") })
		},
		"attest exits": func(o *Options) {
			o.Attest = func(context.Context) (map[string]string, error) {
				endItself(0)
				return nil, nil
			}
			Describe("anything", func() { traced("runs") })
		},
		"attest hangs": func(o *Options) {
			hooks(o)
			o.Attest = func(context.Context) (map[string]string, error) { select {} }
			Describe("anything", func() { traced("runs") })
		},
		"attest hangs after a signal": func(o *Options) {
			hooks(o)
			o.Attest = func(context.Context) (map[string]string, error) {
				trace("attest")
				select {}
			}
			Describe("spec", func() {
				It("waits", func(ctx SpecContext) {
					trace("waiting")
					<-ctx.Done()
				})
			})
		},
		"set-up fails before attest": func(o *Options) {
			o.Setup = func(context.Context) error { return errors.New("no environment") }
			o.Attest = func(context.Context) (map[string]string, error) {
				trace("attest")
				return nil, nil
			}
			Describe("anything", func() { traced("runs") })
		},
	})
}
