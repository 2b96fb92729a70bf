package ginkgo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"

	. "github.com/onsi/ginkgo/v2"

	"stormgate.internal/tools/internal/ground"
)

// lending is a Setup like that of a careless suite: it leases, and connects nothing.
func lending(g ground.Ground) func(context.Context) error {
	return func(context.Context) error {
		g.Name = "environment"
		ground.Register(g)
		return nil
	}
}

func honest(context.Context) (map[string]string, error) {
	return map[string]string{"environment": "sha256:12"}, nil
}

// measured is a suite whose coverage is collected.
func measured(err error) func(*Options) {
	return func(o *Options) {
		o.Setup = lending(ground.Ground{Attest: honest, Measure: func(_ context.Context, failed bool) error {
			trace(fmt.Sprintf("measure, failed %t", failed))
			return err
		}})
		Describe("anything", func() {
			It("runs", func() {
				if os.Getenv("BRIDGE_FAIL") != "" {
					Fail("broken")
				}
			})
		})
	}
}

func init() {
	maps.Copy(samples, map[string]func(*Options){
		"ground is changed": func(o *Options) {
			o.Setup = lending(ground.Ground{Attest: func(context.Context) (map[string]string, error) {
				return map[string]string{"environment": "sha256:12"}, componentError{errors.New("somebody changed deployments/gateway")}
			}})
			Describe("anything", func() { traced("runs") })
		},
		"ground is leased late": func(o *Options) {
			BeforeSuite(func(ctx context.Context) {
				_ = lending(ground.Ground{Attest: func(context.Context) (map[string]string, error) {
					return map[string]string{"environment": "sha256:12"}, componentError{errors.New("somebody changed deployments/gateway")}
				}})(ctx)
			})
			Describe("anything", func() { traced("runs") })
		},
		"ground is lent": func(o *Options) {
			o.Setup = lending(ground.Ground{Attest: honest, Exclusive: func(context.Context) (func(context.Context) error, error) {
				trace("alone")
				return func(context.Context) error {
					trace("shared")
					return nil
				}, nil
			}})
			serialSpecs()
		},
		"ground is looked at": func(o *Options) {
			o.Setup = lending(ground.Ground{Attest: honest, Reach: func(context.Context) string {
				trace("looked at")
				return "  the gateway is at 127.0.0.1:8081\n"
			}})
			Describe("pauses", func() {
				It("fails", func() {
					DeferCleanup(func() { trace("cleaned up") })
					Fail("broken")
				})
				traced("goes on")
			})
		},
		"ground is measured":       measured(nil),
		"ground can't be measured": measured(componentError{errors.New("no coverage of gateway-0")}),
		"ground is shared only": func(o *Options) {
			o.Setup = lending(ground.Ground{Attest: honest})
			serialSpecs()
		},
	})
}
