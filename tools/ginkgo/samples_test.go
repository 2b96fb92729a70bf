package ginkgo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
)

// sampleVariable makes this test binary a suite of its own: the tests run it as
// Bazel would, once per shard. traceVariable names the file that its specs
// leave a line in.
const (
	sampleVariable = "BRIDGE_SAMPLE"
	traceVariable  = "BRIDGE_TRACE"
)

// mainM is what TestMain was given.
var mainM *testing.M

func TestMain(m *testing.M) {
	mainM = m
	name := os.Getenv(sampleVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	if name == childSample {
		time.Sleep(5 * time.Second)
		return
	}
	if os.Getenv("GO_TEST_WRAP") == "true" { // rules_go's main does not come to this
		os.Exit(wrap())
	}
	sample, found := samples[name]
	if !found {
		panic("no sample suite " + name)
	}
	if os.Getenv(startedVariable) != "" {
		trace("started")
	}
	exitBy(beforeVariable, rolePreview)
	options := Options{Name: "sample", Bazel: "tools/bazel"}
	sample(&options)
	stderr := os.Stderr
	if os.Getenv(endingVariable) == "Main" {
		Main(options)
	}
	code := Run(options)
	if os.Getenv(endingVariable) == "return" && roleOfMain == "" {
		return
	}
	if os.Stderr != stderr {
		trace("standard error is another file after Run")
	}
	exitBy(afterVariable, roleRunner)
	os.Exit(code)
}

// Variables that make a sample's TestMain a bad one: it exits before Run in the
// process that looks at the tree, or after it in the one that runs the specs,
// with the code that they have. The third makes it leave a line when it starts.
// The last makes it call Main ("Main"), or return after Run without os.Exit
// ("return").
const (
	endingVariable  = "BRIDGE_ENDING"
	beforeVariable  = "BRIDGE_BEFORE"
	afterVariable   = "BRIDGE_AFTER"
	startedVariable = "BRIDGE_STARTED"
)

// roleOfMain is this process's role; Run takes it out of the environment.
var roleOfMain = os.Getenv(roleVariable)

func exitBy(variable, role string) {
	if value := os.Getenv(variable); value != "" && roleOfMain == role {
		code, err := strconv.Atoi(value)
		if err != nil {
			panic(err)
		}
		os.Exit(code)
	}
}

// wrap does what the wrapper of rules_go's main does.
func wrap() int {
	command := exec.Command(os.Args[0], os.Args[1:]...)
	command.Env = append(os.Environ(), "GO_TEST_WRAP=0")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return command.ProcessState.ExitCode()
	}
	return 0
}

// trace leaves a line for the test that started this process.
func trace(format string, args ...any) {
	file, err := os.OpenFile(os.Getenv(traceVariable), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	fmt.Fprintf(file, format+"\n", args...)
}

func traced(text string, args ...any) {
	It(text, append(args, Offset(1), func() { trace("%s", CurrentSpecReport().FullText()) })...)
}

// componentError is a Setup error that blames the infrastructure.
type componentError struct{ error }

func (componentError) Infrastructure() bool { return true }
func (componentError) Component() string    { return "kube-apiserver" }

// endless is a value that can't be printed, on which Ginkgo's reporter hangs.
type endless struct{}

func (*endless) String() string { select {} }

// measure is a testing.M of a binary built for coverage. It leaves a line with
// what it was called with, and prints what the real one prints.
type measure int

func (m measure) Run() int {
	selected := func(name string) string { return flag.Lookup(name).Value.String() }
	trace("coverage to %s of tests %s and benchmarks %s, skipping %q, logging to %q", filepath.Base(selected("test.coverprofile")),
		selected("test.run"), selected("test.bench"), selected("test.skip"), selected("test.testlogfile"))
	os.Stderr = os.Stdout
	fmt.Print("PASS\ncoverage: 42.0% of statements\n")
	return int(m)
}

func covered(o *Options, code int) {
	coverMode = func() string { return "set" }
	o.M = measure(code)
	Describe("covered", func() {
		traced("runs")
		It("fails", func() {
			if os.Getenv("BRIDGE_FAIL") != "" {
				Fail("broken")
			}
		})
	})
}

var samples = map[string]func(*Options){
	"covered":            func(o *Options) { covered(o, 0) },
	"covered in vain":    func(o *Options) { covered(o, 2) },
	"covered, not asked": func(o *Options) { covered(o, 0); coverMode = func() string { return "" } },
	// A suite with everything that has to be divided: 19 specs in 11 units.
	"varied": func(o *Options) {
		o.Exclusive = func(context.Context) (func(context.Context) error, error) { return nil, nil }
		Describe("apples", func() {
			traced("are red")
			traced("are green")
			When("cut", func() {
				traced("turn brown")
			})
		})
		Describe("pears", func() {
			traced("are green")
			traced("are soft")
		})
		Describe("a staircase", Ordered, func() {
			step := 0
			for i := range 4 {
				It(fmt.Sprintf("has step %d", i), func() {
					if step != i {
						Fail(fmt.Sprintf("at step %d after step %d", i, step-1))
					}
					step++
					trace("%s", CurrentSpecReport().FullText())
				})
			}
		})
		Describe("a lonely thing", Serial, func() {
			traced("sits alone")
			traced("stands alone")
		})
		for i := range 4 {
			Describe("loop "+strconv.Itoa(i), func() { traced("turns") })
		}
		traced("no container (top level)")
		traced("no container? (2)")
		Describe("twins", func() {
			for range 2 {
				traced("look the same")
			}
		})
	},
	"two containers": func(*Options) {
		Describe("one", func() { traced("runs") })
		Describe("two", func() { traced("runs") })
	},
	"no specs":     func(*Options) {},
	"only pending": func(*Options) { PDescribe("later", func() { traced("runs") }) },
	"focused": func(*Options) {
		Describe("suite", func() {
			traced("others")
			FIt("only me", func() { trace("focused") })
		})
	},
	"failing": func(*Options) {
		Describe("outcomes,", func() {
			traced("good")
			It("bad", func() {
				GinkgoWriter.Println("wrote \x1b[31mred\x1b[0m, \x00 zero, \xff broken, ]]> <tag> & é")
				Fail("expected 201,\n\n  got '202'")
			})
			It("panics", func() { panic("out of tea") })
			It("skips itself", func() { Skip("no kettle") })
			PIt("is for later", func() {})
		})
	},
	"failing step": func(*Options) {
		Describe("story (long)", Ordered, func() {
			traced("begins")
			It("breaks", func() { Fail("broken") })
			traced("ends")
		})
		Describe("another", func() { traced("runs") })
	},
	"many failures": func(*Options) {
		Describe("all of it", func() {
			for i := range 30 {
				It(fmt.Sprintf("fails %d times", i), func() { Fail("one\ntwo\nthree\nfour\nfive\nsix") })
			}
		})
	},
	"loud failure": func(*Options) {
		Describe("loud", func() {
			traced("and good")
			It("a/b", func() {
				for i := range 40_000 {
					GinkgoWriter.Printf("line %d\n", i)
				}
				Fail("too loud")
			})
			It("a b", func() { Fail("the same name") })
		})
	},
	"fails once": func(*Options) {
		Describe("luck", func() {
			It("comes the second time", func() {
				if _, err := os.Stat(os.Getenv(traceVariable)); err != nil {
					trace("first attempt")
					Fail("not yet")
				}
				trace("second attempt")
			})
		})
	},
	"reads its environment": func(*Options) {
		Describe("environment", func() {
			It("is passed on", func() { trace("%s", os.Getenv("FLAVOUR")) })
		})
	},
	"odd texts": func(*Options) {
		Describe("odd \xff", func() { traced("\x00 $HOME 'quoted' \"too\" (a|b)*") })
		Describe("odd\n", func() { traced("lines\tand tabs, ]]> &amp; <x>") })
		Describe("\ufeff", func() { traced("🙂") })
		Describe("", func() { traced("") })
	},
	"in order": func(*Options) {
		Describe("all", func() {
			for i := range 9 {
				traced(strconv.Itoa(i))
			}
		})
	},
	"before suite": func(*Options) {
		BeforeSuite(func() { Fail("no ground to stand on") })
		Describe("anything", func() { traced("runs") })
	},
	"after suite": func(*Options) {
		AfterSuite(func() { Fail("left a mess") })
		Describe("anything", func() { traced("runs") })
	},
	"suite skips itself": func(*Options) {
		BeforeSuite(func() { Skip("not today") })
		Describe("anything", func() { traced("runs") })
	},
	"named by process": func(*Options) {
		Describe("one", func() { traced("runs as process " + strconv.Itoa(os.Getpid())) })
		Describe("two", func() { traced("runs") })
	},
	"only in one shard": func(*Options) {
		Describe("one", func() { traced("runs") })
		if os.Getenv("TEST_SHARD_INDEX") == "0" {
			Describe("two", func() { traced("runs") })
		} else {
			Describe("three", func() { traced("runs") })
		}
	},
	// Both shards are green if only texts are compared: shard 0 divides three specs
	// to run and shard 1 two, so that both run "two" and none runs "three".
	"pending in one shard only": func(*Options) {
		var first []any
		if os.Getenv("TEST_SHARD_INDEX") == "0" {
			first = append(first, Pending)
		}
		Describe("one", first, func() { traced("runs") })
		Describe("two", func() { traced("runs") })
		Describe("three", func() { traced("runs") })
	},
	"absent in the last shard": func(*Options) {
		Describe("a", func() { traced("runs") })
		if os.Getenv("TEST_SHARD_INDEX") != "2" {
			Describe("b", func() { traced("runs") })
		}
		Describe("c", func() { traced("runs") })
	},
	"partly pending": func(*Options) {
		Describe("now", func() { traced("runs") })
		Describe("one day", func() {
			traced("runs")
			PIt("is for later", func() {})
		})
	},
	"heavy and pending": func(*Options) {
		PDescribe("slow", Label("weight:9"), func() { traced("runs") })
		Describe("one", func() { traced("runs") })
		Describe("two", func() { traced("runs") })
	},
	"has Go tests": func(o *Options) {
		o.M = mainM
		Describe("anything", func() { traced("runs") })
	},
	// Without Bazel the seed is the time at which a process started.
	"runner started at another time": func(*Options) {
		if roleOfMain == roleRunner {
			if err := flag.Set("ginkgo.seed", "12345"); err != nil {
				panic(err)
			}
		}
		Describe("anything", func() {
			It("fails", func() {
				trace("-ginkgo.seed=%d", GinkgoRandomSeed())
				Fail("no")
			})
		})
	},
	"panics while building": func(*Options) {
		Describe("tree", func() { panic("no such tree") })
	},
	"labels": func(*Options) {
		Describe("slow", Label("weight:9"), func() { traced("runs") })
		Describe("fast", Label("quick"), func() { traced("runs") })
	},
	"bad weight": func(*Options) {
		Describe("odd", Label("weight:much"), func() { traced("runs") })
	},
	"fails first": func(*Options) {
		Describe("suite", Ordered, ContinueOnFailure, func() {
			It("fails", func() { Fail("no") })
			traced("comes after")
		})
	},
	"waits for its context": func(options *Options) {
		hooks(options)
		Describe("spec", func() {
			It("waits", func(ctx SpecContext) {
				DeferCleanup(func() { trace("cleaned up last") })
				DeferCleanup(func() { trace("cleaned up first") })
				trace("waiting")
				<-ctx.Done()
				trace("told to stop")
			})
			traced("never comes to this")
		})
	},
	"loses what it needs": func(options *Options) {
		hooks(options)
		lost := make(chan struct{})
		options.Lost = func() <-chan struct{} { return lost }
		options.Blame = func() error { return componentError{errors.New("etcd died")} }
		Describe("spec", func() {
			It("waits", func(ctx SpecContext) {
				close(lost)
				<-ctx.Done()
				trace("told to stop")
			})
			traced("never comes to this")
		})
	},
	"cleanup hangs": func(options *Options) {
		hooks(options)
		Describe("spec", func() {
			It("waits", func(ctx SpecContext) {
				for range 3 {
					DeferCleanup(func(SpecContext) { select {} })
				}
				trace("waiting")
				<-ctx.Done()
			})
		})
	},
	"setup hangs": func(options *Options) {
		options.Setup = func(ctx context.Context) error {
			trace("waiting")
			<-ctx.Done()
			return context.Cause(ctx)
		}
		Describe("anything", func() { traced("runs") })
	},
	"setup fails": func(options *Options) {
		hooks(options)
		options.SetupName = "acquire environment"
		options.Setup = func(context.Context) error { return errors.New("gateway is never ready") }
		Describe("anything", func() { traced("runs") })
	},
	"setup panics": func(options *Options) {
		options.Setup = func(context.Context) error { panic("no way") }
		Describe("anything", func() { traced("runs") })
	},
	"setup blames infrastructure": func(options *Options) {
		options.SetupName = "acquire environment"
		options.Setup = func(context.Context) error {
			return fmt.Errorf("lease: %w", componentError{errors.New("boot failed\nexit status 1")})
		}
		Describe("anything", func() { traced("runs") })
	},
	"cluster lost": func(options *Options) {
		options.Blame = func() error { return componentError{errors.New("etcd died")} }
		Describe("anything", func() {
			It("runs", func() { Fail("connection refused") })
		})
	},
	"hooks": func(options *Options) {
		hooks(options)
		Describe("anything", func() { traced("runs") })
	},
	"hooks fail": func(options *Options) {
		options.Collect = func(context.Context, string) error { return errors.New("disk full") }
		options.Release = func(context.Context) error { panic("cannot let go") }
		Describe("anything", func() { traced("runs") })
	},
	"Ginkgo hangs": func(options *Options) {
		hooks(options)
		Describe("spec", func() {
			It("reports", func() {
				trace("waiting")
				AddReportEntry("never ends", &endless{})
			})
		})
	},
	"out of time": func(options *Options) {
		hooks(options)
		Describe("spec", func() {
			It("waits", func(ctx SpecContext) {
				DeferCleanup(func() { trace("cleaned up") })
				<-ctx.Done()
			})
		})
	},
	"hooks of the suite": func(*Options) {
		BeforeSuite(func() { trace("before suite") })
		AfterSuite(func() { trace("after suite") })
		BeforeEach(func() { trace("before each") })
		traced("alone at the top")
		Describe("container", func() { traced("runs") })
	},
}

// hooks fills in all hooks with ones that leave a trace.
func hooks(options *Options) {
	options.Setup = func(context.Context) error {
		trace("set up")
		return nil
	}
	options.Collect = func(_ context.Context, dir string) error {
		trace("collect")
		return os.WriteFile(dir+"/log.txt", []byte("logs"), 0o600)
	}
	options.Release = func(context.Context) error {
		trace("release")
		return nil
	}
}
