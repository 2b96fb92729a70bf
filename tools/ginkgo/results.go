package ginkgo

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/onsi/ginkgo/v2/types"
)

// results collects the test cases of a run. Its methods may be called at the
// same time: Ginkgo may still report after it has been abandoned.
type results struct {
	// forward gets every change, so that another process can keep the same results.
	forward func(change)

	mu       sync.Mutex
	ready    []testCase // of Setup
	specs    []testCase // as they ran
	others   []testCase // what else went wrong
	running  *spec      // has begun and not ended; only its text is known
	written  string     // what that wrote, once its process has ended
	lost     testCase   // stands for an expected spec that has no result
	blame    *blame
	said     map[string]string // properties of the suite
	tree     []spec            // of the whole suite, as previewed
	expected []spec
	whole    *types.Report      // in the process that ran the specs
	refused  map[string]refusal // by text: specs that fail by the word of this package
}

// refusal is what stands in the results of a spec that this package has failed.
type refusal struct {
	verdict       verdict
	kind, message string
}

// change is a step of results. It is sent from the runner to the supervisor.
type change struct {
	Ready      *testCase
	Begun      *spec     // only its text is known
	Ended      *testCase // a spec
	Final      []testCase
	Other      []testCase
	Lost       *testCase
	Blame      *blame
	Properties map[string]string
	Settle     bool // Final holds all specs that ran, and replaces every Ended
	Through    bool // nothing follows
}

// blame marks a failure as one of the infrastructure.
type blame struct {
	Component string
	What      string
}

func (r *results) apply(c change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Ready != nil {
		r.ready = append(r.ready, *c.Ready)
	}
	if c.Begun != nil {
		r.running = c.Begun
	}
	if c.Ended != nil {
		r.running = nil
		r.specs = append(r.specs, *c.Ended)
	}
	if c.Settle {
		r.running = nil
		r.specs = c.Final
	}
	r.others = append(r.others, c.Other...)
	if c.Lost != nil {
		r.lost = *c.Lost
	}
	if c.Blame != nil {
		r.blame = c.Blame
	}
	if len(c.Properties) > 0 {
		if r.said == nil {
			r.said = map[string]string{}
		}
		maps.Copy(r.said, c.Properties)
	}
	if r.forward != nil {
		r.forward(c)
	}
}

// assign names the specs that this process is to run and all specs of the
// suite.
func (r *results) assign(mine, all []spec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected, r.tree = mine, all
	r.lost = testCase{Verdict: errored, Kind: kindLost, Message: "the test process ended before this spec began"}
}

// notRun records why specs of this process that have no result were not run.
func (r *results) notRun(reason string) {
	r.apply(change{Lost: &testCase{Verdict: skipped, Message: "not run: " + reason}})
}

// problem records a failure that belongs to no spec.
func (r *results) problem(kind string, err error) {
	r.apply(change{Other: []testCase{{
		Name: "[" + kind + "]", Verdict: errored, Kind: kind, Message: err.Error(), Details: err.Error(),
	}}})
}

// crash records how the process that ran the specs came to its end.
func (r *results) crash(message, lastWords string) {
	r.apply(change{Other: []testCase{{
		Name: "[" + kindProcess + "]", Verdict: errored, Kind: kindProcess, Message: message, Details: message + "\n" + lastWords,
	}}})
}

// keepWritten keeps what the spec in which the process ended had written until
// then: Ginkgo's report of it died with the process.
func (r *results) keepWritten(file io.ReaderAt) {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, math.MaxInt64))
	if err != nil {
		text = append(text, "\n(the rest can't be read: "+err.Error()+")"...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = string(text)
}

// begin records that a spec runs.
func (r *results) begin(report types.SpecReport) {
	if r.isExpected(report.FullText()) {
		r.apply(change{Begun: &spec{Text: report.FullText()}})
	}
}

// add records a spec that has ended, if it is one of this shard.
func (r *results) add(report types.SpecReport) {
	if !r.isExpected(report.FullText()) {
		return
	}
	c := r.caseOf(report)
	r.apply(change{Ended: &c})
}

// refuse makes the spec of this text a failure, whatever Ginkgo reports of it.
func (r *results) refuse(text string, why refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == nil {
		r.refused = map[string]refusal{}
	}
	r.refused[text] = why
}

func (r *results) caseOf(report types.SpecReport) testCase {
	c := caseOf(report) // calls code of the suite, which may block: not under the lock
	r.mu.Lock()
	defer r.mu.Unlock()
	if why, found := r.refused[report.FullText()]; found && c.isSpec() && (report.Failed() || len(c.Retried) > 0) {
		c.Verdict, c.Kind, c.Message, c.Details = why.verdict, why.kind, why.message, why.message
		c.At = c.Spec.Leaf // Ginkgo names the place in this package
	}
	return c
}

func (r *results) isExpected(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.expected, func(s spec) bool { return s.Text == text })
}

// finish replaces what was added by Ginkgo's final report, which also has the
// suite's own nodes.
func (r *results) finish(report types.Report) {
	c := change{Settle: true}
	suiteSkipped, why := skippedAtOnce(report)
	for _, one := range report.SpecReports {
		isSpec := one.LeafNodeType.Is(types.NodeTypeIt)
		switch {
		case isSpec && r.isExpected(one.FullText()):
			if suiteSkipped && isUntouched(one) {
				one.Failure.Message = why
			}
			c.Final = append(c.Final, r.caseOf(one))
		case !isSpec && one.Failed():
			c.Other = append(c.Other, caseOf(one))
		}
	}
	r.apply(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole = &report
}

// verify holds Ginkgo's report against the preview and against the specs that
// were to run. complete is whether the run came to its own end.
func (r *results) verify(complete bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.whole == nil {
		return errors.New("verify what ran: no report of the whole suite")
	}
	mine := map[string]int{}
	for _, s := range r.expected {
		mine[s.Text]++
	}
	suiteSkipped, _ := skippedAtOnce(*r.whole)
	var wrong []string
	var seen []spec
	for _, one := range r.whole.SpecReports {
		if !one.LeafNodeType.Is(types.NodeTypeIt) {
			continue
		}
		seen = append(seen, specOf(one))
		text := one.FullText()
		untouched := isUntouched(one)
		switch mine[text]--; {
		case mine[text] >= 0 && untouched && complete && !suiteSkipped:
			wrong = append(wrong, "not run: "+text)
		case mine[text] < 0 && !untouched && !one.State.Is(types.SpecStatePending):
			wrong = append(wrong, "run without being this process's to run: "+text)
		}
	}
	slices.Sort(wrong)
	switch {
	case len(seen) > 0: // none is reported when BeforeSuite fails
		wrong = append(differences(seen, r.tree), wrong...)
	case complete:
		wrong = append(wrong, "no spec was reported")
	}
	return unequal(wrong)
}

// settled reports whether Ginkgo has made its report of the whole suite.
func (r *results) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole != nil
}

// isUntouched reports whether Ginkgo passed over a spec without a word.
func isUntouched(r types.SpecReport) bool {
	return r.State.Is(types.SpecStateSkipped) && r.NumAttempts == 0 && r.Failure.Message == ""
}

// skippedAtOnce reports whether BeforeSuite called Skip, and its reason. Ginkgo then
// passes over all specs.
func skippedAtOnce(report types.Report) (skipped bool, why string) {
	for _, one := range report.SpecReports {
		if one.LeafNodeType.Is(types.NodeTypeBeforeSuite|types.NodeTypeSynchronizedBeforeSuite) && one.State.Is(types.SpecStateSkipped) {
			return true, fmt.Sprintf("skipped in %s: %s", one.LeafNodeType, one.Failure.Message)
		}
	}
	return false, ""
}

// reasons is why Ginkgo failed a suite whose specs did not fail.
func (r *results) reasons() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.whole == nil || len(r.whole.SpecialSuiteFailureReasons) == 0 {
		return "Ginkgo failed the suite without a reason"
	}
	return strings.Join(r.whole.SpecialSuiteFailureReasons, "; ")
}

// cases returns Setup, the specs in the order in which they ran, those that
// have no result, and what else went wrong.
func (r *results) cases() []testCase {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Concat(r.ready, r.specs)
	seen := map[string]int{}
	for _, c := range r.specs {
		seen[c.Spec.Text]++
	}
	for _, s := range r.expected {
		if seen[s.Text]--; seen[s.Text] >= 0 {
			continue
		}
		c := r.lost
		if r.running != nil && r.running.Text == s.Text {
			c = testCase{Verdict: errored, Kind: kindCutShort, Message: "the test process ended while this spec ran", Output: r.written}
		}
		c.Name, c.At, c.Spec, c.Details = s.Text, s.Leaf, s, c.Message
		all = append(all, c)
	}
	return append(all, r.others...)
}

func (r *results) bad() bool { return slices.ContainsFunc(r.cases(), testCase.bad) }

// nothingRan reports whether no spec has a result.
func (r *results) nothingRan() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.specs) == 0 && r.running == nil
}

// properties are those of the suite, in the order of their names.
func (r *results) properties() []xmlProperty {
	r.mu.Lock()
	defer r.mu.Unlock()
	var properties []xmlProperty
	for _, name := range slices.Sorted(maps.Keys(r.said)) {
		properties = append(properties, xmlProperty{Name: printable(name), Value: printable(shorten(r.said[name], propertyLimit))})
	}
	return properties
}

// blamed is nil unless the failure is one of the infrastructure.
func (r *results) blamed() *blame {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.blame
}
