package ginkgo

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
)

// childSample is no suite: the process sleeps, longer than its parent's end takes.
const childSample = "child"

// endItself makes a process end at once, as code under test or a library would.
func endItself(code int) { os.Exit(code) }

func init() {
	maps.Copy(samples, map[string]func(*Options){
		"exits": func(*Options) {
			Describe("program", func() {
				traced("starts")
				It("leaves early", func() { endItself(0) })
			})
		},
		"exits in setup": func(options *Options) {
			options.Setup = func(context.Context) error {
				endItself(0)
				return nil
			}
			Describe("program", func() { traced("starts") })
		},
		"exits after": func(*Options) {
			AfterSuite(func() { endItself(0) })
			Describe("program", func() { traced("starts") })
		},
		"panics on the side": func(*Options) {
			Describe("program", func() {
				It("does well", func() { GinkgoWriter.Println("all is well") })
				It("panics", func() {
					GinkgoWriter.Println("about to open", 3, "bottles")
					go panic("nobody catches this")
					select {}
				})
				traced("goes on")
			})
		},
		"is killed": func(*Options) {
			Describe("program", func() {
				It("is killed", func() {
					GinkgoWriter.Println("about to open", 3, "bottles")
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				})
			})
		},
		// What a spec leaves running has neither the pipes to the supervisor nor a
		// role; here it has no log to hold open either.
		"leaves a child behind": func(*Options) {
			Describe("program", func() {
				It("leaves early", func() {
					child := exec.Command(os.Args[0]) // no program of the machine is an input of this test
					child.Env = append(os.Environ(), sampleVariable+"="+childSample)
					if err := child.Start(); err != nil {
						Fail(err.Error())
					}
					endItself(0)
				})
			})
		},
		"stops moving": func(options *Options) {
			hooks(options)
			Describe("spec", func() {
				It("stops", func() {
					trace("waiting")
					_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
					select {} // until it takes effect
				})
			})
		},
		"runs another suite": func(*Options) {
			Describe("program", func() {
				It("runs another", func() {
					other := exec.Command(os.Args[0])
					other.Env = append(os.Environ(), sampleVariable+"=two containers", "XML_OUTPUT_FILE=")
					if output, err := other.CombinedOutput(); err != nil {
						Fail(err.Error() + "\n" + string(output))
					}
				})
			})
		},
		"can be asked": func(*Options) {
			Describe("program", func() {
				It("waits", func(ctx SpecContext) {
					ctx.AttachProgressReporter(func() string {
						trace("asked")
						return "half way"
					})
					trace("waiting")
					<-ctx.Done()
				})
			})
		},
		"tells its process": func(*Options) {
			Describe("program", func() {
				It("waits", func(ctx SpecContext) {
					trace("process %d", os.Getpid())
					<-ctx.Done()
				})
			})
		},
	})
}
