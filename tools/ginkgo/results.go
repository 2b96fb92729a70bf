package bridge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2/types"
)

// results collects the test cases of a run. Its methods may be called at the
// same time: Ginkgo may still report after it has been abandoned.
type results struct {
	mu       sync.Mutex
	ready    []testCase // of Setup
	specs    []testCase // as they ran
	others   []testCase // what else went wrong
	tree     []spec     // of the whole suite, as previewed
	expected []spec
	missing  testCase // stands for an expected spec that has no result
	whole    *types.Report
}

// previewed names all specs of the suite.
func (r *results) previewed(tree []spec) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tree = tree
}

// expect names the specs that this process is to run, and what to say of those
// that never report.
func (r *results) expect(specs []spec, without verdict, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected = specs
	r.missing = testCase{verdict: without, kind: "lost", message: reason, details: reason}
}

// setup records how Setup went.
func (r *results) setup(name string, took time.Duration, err error, infrastructure bool) {
	c := testCase{name: name, duration: took}
	if err != nil {
		c.verdict, c.kind, c.message, c.details = failed, "setup", err.Error(), err.Error()
		if infrastructure {
			c.verdict, c.kind = errored, "infrastructure"
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = append(r.ready, c)
}

// problem records a failure that belongs to no spec.
func (r *results) problem(kind string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.others = append(r.others, testCase{
		name: "[" + kind + "]", verdict: errored, kind: kind, message: err.Error(), details: err.Error(),
	})
}

// add records a spec that has ended and reports whether it is one of this
// process's: those of other shards pass by here too.
func (r *results) add(report types.SpecReport) bool {
	if !r.isExpected(report.FullText()) {
		return false
	}
	c := caseOf(report) // calls code of the suite, which may block: not under the lock
	r.mu.Lock()
	defer r.mu.Unlock()
	r.specs = append(r.specs, c)
	return true
}

func (r *results) isExpected(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.expected, func(s spec) bool { return s.Text == text })
}

// finish replaces what was added by Ginkgo's final report, which also has the
// suite's own nodes.
func (r *results) finish(report types.Report) {
	var specs, others []testCase
	for _, one := range report.SpecReports {
		isSpec := one.LeafNodeType.Is(types.NodeTypeIt)
		switch {
		case isSpec && r.isExpected(one.FullText()):
			specs = append(specs, caseOf(one))
		case !isSpec && one.Failed():
			others = append(others, caseOf(one))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole, r.specs = &report, specs
	r.others = append(r.others, others...)
}

// verify holds Ginkgo's report against the preview and against the specs that
// were to run. complete says that nothing cut the run short.
func (r *results) verify(complete bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.whole == nil {
		return errors.New("verify what ran: no report of the whole suite")
	}
	mine, tree := count(r.expected), count(r.tree)
	var wrong []string
	reported := 0
	for _, one := range r.whole.SpecReports {
		if !one.LeafNodeType.Is(types.NodeTypeIt) {
			continue
		}
		reported++
		text := one.FullText()
		if tree[text]--; tree[text] < 0 {
			wrong = append(wrong, "not in the tree that the other process saw: "+text)
		}
		untouched := one.State.Is(types.SpecStateSkipped) && one.NumAttempts == 0 && one.Failure.Message == ""
		switch mine[text]--; {
		case mine[text] >= 0 && untouched && complete:
			wrong = append(wrong, "not run: "+text)
		case mine[text] < 0 && !untouched && !one.State.Is(types.SpecStatePending):
			wrong = append(wrong, "run without being this process's to run: "+text)
		}
	}
	for text, n := range tree {
		if n > 0 && reported > 0 { // no spec is reported when BeforeSuite fails
			wrong = append(wrong, "only in the tree that the other process saw: "+text)
		}
	}
	if complete && reported == 0 {
		wrong = append(wrong, "no spec was reported")
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	if len(wrong) > 6 {
		wrong = append(wrong[:6], fmt.Sprintf("and %d more", len(wrong)-6))
	}
	return fmt.Errorf("the specs that ran are not the ones assigned, so in all shards together some may run twice or never "+
		"(a spec's text must not depend on time, chance, the process or the shard):\n  %s", strings.Join(wrong, "\n  "))
}

func count(specs []spec) map[string]int {
	n := map[string]int{}
	for _, s := range specs {
		n[s.Text]++
	}
	return n
}

// cases returns Setup, the specs in the order in which they ran, and what else
// went wrong.
func (r *results) cases() []testCase {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Concat(r.ready, r.specs)
	seen := map[string]int{}
	for _, c := range r.specs {
		seen[c.spec.Text]++
	}
	for _, s := range r.expected {
		if seen[s.Text]--; seen[s.Text] >= 0 {
			continue
		}
		c := r.missing
		c.name, c.at, c.spec = s.Text, s.Leaf, s
		all = append(all, c)
	}
	return append(all, r.others...)
}

func (r *results) bad() bool { return slices.ContainsFunc(r.cases(), testCase.bad) }
