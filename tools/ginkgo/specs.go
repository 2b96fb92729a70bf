package bridge

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onsi/ginkgo/v2"
)

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
	ginkgo.ReportAfterEach(func(report ginkgo.SpecReport) {
		if r.results.add(report) {
			r.keepResults()
		}
	})
	ginkgo.ReportAfterSuite("test.xml", func(report ginkgo.Report) { r.results.finish(report) })

	abandoned, free := r.interruption.after(abandonSpecs)
	defer free()
	callOff := r.interruption.escalate()
	defer callOff()
	var verdict recorder
	done := make(chan struct{})
	go func() {
		defer close(done)
		ginkgo.RunSpecs(&verdict, r.options.Name, config, r.reporter)
	}()
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
		r.results.expect(specs, skipped, "not run: the suite failed before it")
	}
	if err := r.results.verify(!failed); err != nil {
		r.results.problem("sharding", err)
	}
	if failed && !r.results.bad() {
		r.results.problem("suite", errors.New(r.results.reasons()))
	}
}

// recorder is the part of testing.T that Ginkgo needs.
type recorder struct{ failed atomic.Bool }

func (r *recorder) Fail() { r.failed.Store(true) }

// reasons is why Ginkgo failed a suite whose specs did not fail.
func (r *results) reasons() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.whole == nil || len(r.whole.SpecialSuiteFailureReasons) == 0 {
		return "Ginkgo failed the suite without a reason"
	}
	return strings.Join(r.whole.SpecialSuiteFailureReasons, "; ")
}
