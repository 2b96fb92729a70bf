package ginkgo

import (
	"context"
	"errors"
	"maps"
	"time"

	. "github.com/onsi/ginkgo/v2"
)

// exclusively leaves a line when the environment is taken and when it is shared.
func exclusively(o *Options) {
	o.Exclusive = func(context.Context) (func(context.Context) error, error) {
		trace("alone")
		return func(context.Context) error {
			trace("shared")
			return nil
		}, nil
	}
}

// refusing is an Exclusive that fails, and leaves a line.
func refusing(err error) func(context.Context) (func(context.Context) error, error) {
	return func(context.Context) (func(context.Context) error, error) {
		trace("refused")
		return nil, err
	}
}

func serialSpecs() {
	Describe("a storm", Serial, func() {
		AfterEach(func() { trace("after each") })
		traced("begins")
		traced("ends")
	})
	Describe("calm", func() { traced("reigns") })
}

func init() {
	maps.Copy(samples, map[string]func(*Options){
		"serial": func(*Options) { serialSpecs() },
		"exclusive": func(o *Options) {
			exclusively(o)
			Describe("repair", Ordered, Serial, func() {
				BeforeAll(func() { trace("before all") })
				AfterAll(func() { trace("after all") })
				traced("begins")
				It("is retried", FlakeAttempts(2), func() {
					if CurrentSpecReport().NumAttempts == 1 {
						Fail("not yet")
					}
					trace("retried")
				})
				It("is skipped", func() { Skip("no need") })
				PIt("is put off", func() {})
			})
			Describe("calm", func() { traced("reigns") })
			Describe("mixed", func() {
				traced("is free")
				It("is Serial", Serial, func() { trace("is Serial") })
			})
			o.AllowRetries = true
		},
		"exclusive and skipped": func(o *Options) {
			exclusively(o)
			Describe("never", Serial, func() { PIt("runs", func() {}) })
			Describe("calm", func() { traced("reigns") })
		},
		"exclusive and failing": func(o *Options) {
			exclusively(o)
			Describe("repair", Ordered, Serial, func() {
				It("breaks", func() { Fail("broken") })
				traced("never comes to this")
			})
		},
		"exclusive, failing and saved": func(o *Options) {
			exclusively(o)
			o.Collect = func(context.Context, string) error {
				trace("saved")
				return nil
			}
			Describe("repair", Ordered, Serial, func() {
				It("breaks", func() { Fail("broken") })
				traced("never comes to this")
			})
			Describe("another", Serial, func() { traced("works") })
		},
		"not exclusive": func(o *Options) {
			o.Exclusive = refusing(errors.New("the others don't go away"))
			serialSpecs()
		},
		"not exclusive, no verdict": func(o *Options) {
			o.Exclusive = refusing(componentError{errors.New("the server is gone")})
			serialSpecs()
		},
		"exclusive panics": func(o *Options) {
			o.Exclusive = func(context.Context) (func(context.Context) error, error) { panic("no way in") }
			serialSpecs()
		},
		"exclusive skips": func(o *Options) {
			o.Exclusive = func(context.Context) (func(context.Context) error, error) {
				Skip("not today")
				return nil, nil
			}
			serialSpecs()
		},
		"exclusive table": func(o *Options) {
			exclusively(o)
			DescribeTable("storms", Serial, func(name string) { trace("%s", name) }, Entry("one", "Kyrill"), Entry("two", "Lothar"))
			DescribeTable("winds", func(name string) { trace("%s", name) }, Entry("one", "breeze"), Entry("two", Serial, "gale"))
		},
		"exclusive exits": func(o *Options) {
			o.Exclusive = func(context.Context) (func(context.Context) error, error) {
				endItself(0)
				return nil, nil
			}
			serialSpecs()
		},
		"exclusive hangs": func(o *Options) {
			hooks(o)
			o.Exclusive = func(context.Context) (func(context.Context) error, error) {
				trace("waiting")
				select {}
			}
			Describe("a storm", Serial, func() { traced("begins") })
		},
		"not shared again": func(o *Options) {
			o.Exclusive = func(context.Context) (func(context.Context) error, error) {
				return func(context.Context) error { return errors.New("can't let go") }, nil
			}
			serialSpecs()
		},
		// The spec has not begun while it waits to be alone.
		"exclusive takes long": func(o *Options) {
			var alone time.Time
			o.Exclusive = func(context.Context) (func(context.Context) error, error) {
				alone = time.Now()
				return nil, nil
			}
			Describe("a storm", Serial, func() {
				It("begins", func() {
					if CurrentSpecReport().StartTime.Before(alone) {
						Fail("the wait is time of the spec")
					}
				})
			})
		},

		"numbered": func(o *Options) {
			say := func(where string) {
				if roleOfMain != roleRunner { // a look at the tree also builds it, and reports
					return
				}
				config, _ := GinkgoConfiguration()
				trace("%s: %d and %d of %d", where, GinkgoParallelProcess(), GinkgoT().ParallelProcess(), config.ParallelTotal)
			}
			o.Setup = func(context.Context) error {
				say("set up")
				return nil
			}
			ReportBeforeSuite(func(Report) { say("report before suite") })
			SynchronizedBeforeSuite(func() []byte {
				say("first")
				return []byte("data")
			}, func(data []byte) { say("every process with " + string(data)) })
			SynchronizedAfterSuite(func() { say("after") }, func() { say("last") })
			ReportAfterSuite("report", func(Report) { say("report after suite") })
			for _, name := range []string{"one", "two"} {
				Describe(name, func() {
					say("tree")
					It("runs", func() { say("spec") })
				})
			}
		},
	})
}
