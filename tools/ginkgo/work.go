package ginkgo

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/onsi/ginkgo/v2"
	"stormgate.internal/tools/internal/ground"
)

// runner is the part of the process that runs the specs. supervise is the other side.
func (r *run) runner() int {
	orders := inherited(assignmentDescriptor, "assignment")
	answers := inherited(answerDescriptor, "results")
	crash := inherited(crashDescriptor, "crash")
	r.written = inherited(writtenDescriptor, "written")
	var a assignment
	if err := gob.NewDecoder(orders).Decode(&a); err != nil {
		fmt.Fprintln(os.Stderr, fmt.Errorf("read assignment: %w", err))
		return ExitFailure
	}
	_ = orders.Close()
	// Without this the supervisor still knows that there was a crash, but less about it.
	_ = debug.SetCrashOutput(crash, debug.CrashOptions{})
	_ = crash.Close()

	r.startedAt(a.Started)
	r.suite.RandomSeed = a.Seed
	r.interruption = watchInterruption()
	defer r.interruption.stop()
	encoder := gob.NewEncoder(answers)
	r.results.forward = func(c change) { _ = encoder.Encode(c) } // without a supervisor this process is killed
	r.results.assign(a.Mine, a.All)
	r.results.apply(change{}) // signals are being watched
	r.work(a.Mine)
	r.results.apply(change{Through: true})
	if r.results.bad() {
		return ExitFailure
	}
	return 0
}

// work runs these specs between Setup and Release.
func (r *run) work(specs []spec) {
	defer r.writeCoverage()
	setNumber(r.bazel.shard+1, r.bazel.shards) // for Setup, which may use it for names too
	if r.setUp() {
		r.adoptGround()
		if err := r.refuseSerial(specs); err != nil {
			r.results.problem("sharding", err)
			r.results.notRun("specs of this shard are Serial")
		} else {
			r.runSpecs(specs)
		}
		r.adoptGround() // of a suite that leases in BeforeSuite, or later
	}
	if !r.ready {
		return
	}
	r.attest()
	r.measure(ground.All())
	if r.options.Blame != nil && r.results.bad() {
		if err := r.options.Blame(); err != nil && r.classify(err) {
			r.results.problem(kindInfrastructure, err)
		}
	}
	r.collect()
	r.hook("release", r.options.Release != nil, r.options.Release)
}

func (r *run) collect() {
	r.hook("collect artifacts", r.bazel.outputsDir != "" && r.options.Collect != nil, func(ctx context.Context) error {
		return r.options.Collect(ctx, r.bazel.outputsDir)
	})
}

// setUp calls Setup.
func (r *run) setUp() bool {
	r.ready = r.options.Setup == nil
	if r.ready {
		return true
	}
	ctx, cancel := r.interruption.context(r.specsDeadline, 0)
	defer cancel()
	c := testCase{Name: r.options.SetupName, Began: time.Now()}
	err := call(ctx, r.options.SetupName, r.options.Setup)
	c.Duration = time.Since(c.Began)
	if err == nil {
		r.ready = true
		r.results.apply(change{Ready: &c})
		return true
	}
	if by := r.interruptedBy(); by != "" {
		err = fmt.Errorf("%s after %s s of %s: %w", by, seconds(c.Duration), r.options.SetupName, err)
	}
	c.Verdict, c.Kind, c.Message, c.Details = failed, "setup", err.Error(), err.Error()
	if r.classify(err) {
		c.Verdict, c.Kind = errored, kindInfrastructure
	}
	r.results.apply(change{Ready: &c})
	r.results.notRun(r.options.SetupName + " failed")
	return false
}

// classify reports whether the failure is one of the infrastructure, and notes
// it if so.
func (r *run) classify(err error) bool { return r.classifyAs(r.options.SetupName, err) }

// classifyAs names this component unless the error names another.
func (r *run) classifyAs(component string, err error) bool {
	var infrastructure interface{ Infrastructure() bool }
	if !errors.As(err, &infrastructure) || !infrastructure.Infrastructure() {
		return false
	}
	b := &blame{Component: component, What: err.Error()}
	var named interface{ Component() string }
	if errors.As(err, &named) && named.Component() != "" {
		b.Component = named.Component()
	}
	r.results.apply(change{Blame: b})
	return true
}

func (r *run) hook(what string, wanted bool, hook func(context.Context) error) {
	if !wanted {
		return
	}
	deadline := time.Now().Add(hookLimit)
	if !r.deadline.IsZero() && r.deadline.After(time.Now()) && r.deadline.Before(deadline) {
		deadline = r.deadline
	}
	ctx, cancel := r.interruption.context(deadline, endOfHooks)
	defer cancel()
	if err := call(ctx, what, hook); err != nil {
		fmt.Fprintf(r.out, "\n%s: %v\n", what, err)
	}
}

// runSpecs lets Ginkgo run these specs and nothing else.
func (r *run) runSpecs(specs []spec) {
	config := r.suite
	config.FocusStrings = []string{focusOn(r.options.Name, specs)}
	if !r.specsDeadline.IsZero() {
		left := time.Until(r.specsDeadline)
		if left <= 0 {
			r.results.problem("timeout", fmt.Errorf("no time is left for the specs after %s s of %s",
				seconds(time.Since(r.started)), r.options.SetupName))
			return
		}
		if config.Timeout == 0 || left < config.Timeout {
			config.Timeout = left
		}
	}
	if r.written != nil {
		ginkgo.GinkgoWriter.TeeTo(r.written)
	}
	if config.SleepOnFailure > 0 {
		ginkgo.AttachProgressReporter(r.reach)
	}
	alone := newSolitude(specs, r.options.Exclusive)
	alone.save = r.collect
	alone.announce = func(spec string, waited time.Duration) {
		fmt.Fprintf(r.out, "\nalone with the environment after %s s: %s\n", seconds(waited), oneLine(spec))
	}
	// Fail does not stop the spec if Exclusive has called Skip, which Ginkgo remembers
	// and which stops nothing here. The first node of the spec then fails.
	var denied atomic.Pointer[error]
	stop := ginkgo.AroundNode(func() {
		if err := denied.Load(); err != nil && !ginkgo.CurrentSpecReport().Failed() {
			ginkgo.Fail((*err).Error())
		}
	})
	ginkgo.ReportBeforeEach(func(ctx ginkgo.SpecContext, report ginkgo.SpecReport) {
		if r.written != nil {
			_ = r.written.Truncate(0) // else a crash shows more than it should
		}
		r.results.begin(report)
		if r.options.Exclusive == nil {
			return
		}
		err, lost := alone.before(ctx, report)
		r.notShared(lost)
		if err != nil {
			r.notAlone(report, err)
			denied.Store(&err)
			ginkgo.Fail(err.Error())
		}
	})
	ginkgo.ReportAfterEach(func(ctx ginkgo.SpecContext, report ginkgo.SpecReport) {
		denied.Store(nil)
		why := r.refuseRetried(report)
		r.results.add(report)
		r.notShared(alone.after(ctx, report))
		if why != nil {
			ginkgo.Fail(why.Error()) // so that Ginkgo does not report a success
		}
	})
	ginkgo.ReportAfterSuite("test.xml", func(report ginkgo.Report) {
		r.results.finish(report)
		if err := r.refuseUntested(); err != nil {
			ginkgo.Fail(err.Error())
		}
	})
	defer r.truthfully()()

	abandoned, free := r.interruption.after(abandonSpecs)
	defer free()
	callOff := r.interruption.escalate()
	defer callOff()
	if r.options.Lost != nil && r.options.Setup != nil {
		defer terminateAt(r.options.Lost(), func() {
			fmt.Fprintf(r.out, "\nwhat %s made ready is lost: the specs end now\n", r.options.SetupName)
		})()
	}
	var verdict recorder
	number := r.number()
	done := make(chan struct{})
	go func() {
		defer close(done)
		ginkgo.RunSpecs(&verdict, r.options.Name, config, r.reporter, number, stop)
	}()
	defer r.endSolitude(alone)
	select {
	case <-done:
		fmt.Fprintln(r.out) // Ginkgo's short form ends without
	case <-abandoned:
		r.results.problem("interrupted", fmt.Errorf("%s: specs or their cleanup went on for %.0f s more and were abandoned",
			r.interruptedBy(), abandonSpecs.Seconds()))
		return
	}
	failed := verdict.failed.Load()
	if failed {
		r.results.notRun("the suite failed before it")
	}
	if err := r.results.verify(!failed); err != nil {
		r.results.problem("sharding", err)
	}
	if failed && !r.results.bad() {
		r.results.problem("suite", errors.New(r.results.reasons()))
	}
}

// notAlone records that a spec did not run since others could not be kept away.
func (r *run) notAlone(report ginkgo.SpecReport, err error) {
	why := refusal{failed, kindExclusive, err.Error()}
	if r.classify(err) {
		why = refusal{errored, kindInfrastructure, err.Error()}
	}
	r.results.refuse(report.FullText(), why)
}

// notShared records an error of the function that Exclusive has returned.
func (r *run) notShared(err error) {
	if err == nil {
		return
	}
	kind := kindExclusive
	if r.classify(err) {
		kind = kindInfrastructure
	}
	r.results.problem(kind, err)
}

// endSolitude gives back what specs that were cut short have not. It has a quarter of what
// is left of the budget, since Attest, Collect and Release come after it.
func (r *run) endSolitude(alone *solitude) {
	deadline := time.Now().Add(hookLimit)
	if !r.deadline.IsZero() {
		deadline = time.Now().Add(time.Until(r.deadline) / 4)
	}
	ctx, cancel := r.interruption.context(deadline, abandonSpecs)
	defer cancel()
	r.notShared(alone.giveBack(ctx))
	r.results.apply(change{Properties: alone.properties()})
}

// recorder is the part of testing.T that Ginkgo needs.
type recorder struct{ failed atomic.Bool }

func (r *recorder) Fail() { r.failed.Store(true) }
