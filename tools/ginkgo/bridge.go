package bridge

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"
)

// Options is how a suite wants to be run. The zero value runs a suite that
// needs nothing around it.
type Options struct {
	// Name is the suite's name in output and results, and what Ginkgo calls its
	// description. Default: the test's label, without Bazel the name of the binary.
	Name string

	// Setup makes ready what all specs of the process share. It runs once, after
	// it is clear that this shard has specs to run, and is a test case of its own
	// in test.xml. Its context ends when the budget for specs does or the process
	// is told to stop. What it has begun when it fails it must undo itself.
	//
	// An error that has a method Infrastructure() bool in its chain, returning
	// true, is reported to Bazel as a failure of the infrastructure; a method
	// Component() string in its chain names the part to blame.
	Setup func(ctx context.Context) error

	// SetupName is the name of Setup's test case. Default "set up".
	SetupName string

	// Blame is asked when a spec has failed. An error that is marked as Setup's may
	// be makes the failure one of the infrastructure, such as that the cluster was
	// lost under the specs.
	Blame func() error

	// Collect saves what helps to understand the run into dir, which exists. It
	// is called once after the specs of a successful Setup, passed or failed,
	// unless Bazel wants no outputs. An error is logged and does not fail the run.
	Collect func(ctx context.Context, dir string) error

	// Release undoes Setup. It is called once, last, if Setup succeeded. An error
	// is logged and does not fail the run.
	Release func(ctx context.Context) error

	// Bazel is the command that the line "run again" begins with. Default "bazel".
	Bazel string
}

// hookLimit bounds Collect and Release where no timeout is nearer.
const hookLimit = time.Minute

// Run runs the specs of this shard and returns the exit code: 0 if all is well,
// 1 if not. It is called once, from TestMain, before anything else that takes
// time or has effects, since a sharded test's binary is started a second time
// to look at its spec tree (see package comment).
func Run(options Options) int {
	if !flag.Parsed() {
		flag.Parse()
	}
	bazel, err := readProtocol(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	options.Name = firstOf(options.Name, bazel.target, filepath.Base(os.Args[0]))
	options.SetupName = firstOf(options.SetupName, "set up")
	options.Bazel = firstOf(options.Bazel, "bazel")
	r := &run{options: options, bazel: bazel, out: os.Stdout, started: time.Now()}
	r.suite, r.reporter = configuration(bazel, flag.CommandLine)
	if limit := budget(bazel, flag.CommandLine); limit > 0 {
		r.deadline = r.started.Add(limit)
		r.specsDeadline = r.deadline.Add(-reserve(limit))
	}
	if descriptor := os.Getenv(previewVariable); descriptor != "" {
		if err := r.tellPreview(descriptor); err != nil {
			fmt.Fprintln(r.out, err)
			return 1
		}
		return 0
	}
	return r.main()
}

func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

// run is one process's part of a suite.
type run struct {
	options  Options
	bazel    protocol
	filter   filter
	suite    types.SuiteConfig
	reporter types.ReporterConfig
	out      io.Writer
	started  time.Time

	deadline      time.Time // zero without a budget
	specsDeadline time.Time // when specs must be through

	interruption   *interruption
	results        results
	infrastructure bool // the failure is not the code's
	ready          bool // Setup succeeded
}

func (r *run) main() int {
	if err := r.bazel.announce(); err != nil {
		r.results.problem("test protocol", err)
		return r.end()
	}
	defer r.bazel.conclude()
	r.interruption = watchInterruption()
	defer r.interruption.stop()

	specs, note, err := r.prepare()
	switch {
	case err != nil:
		r.results.problem("sharding", err)
		return r.end()
	case len(specs) == 0:
		fmt.Fprint(r.out, note)
		return r.end()
	}
	r.results.expect(specs, errored, "the test process ended before this spec did")
	if r.setUp(specs) {
		r.runSpecs(specs)
	}
	return r.end()
}

// prepare finds this process's specs. Without specs and without an error there
// is nothing to do, and the note says why.
func (r *run) prepare() (specs []spec, note string, err error) {
	if r.filter, err = newFilter(r.bazel, flag.CommandLine); err != nil {
		return nil, "", err
	}
	ctx, cancel := r.interruption.context(r.specsDeadline, 0)
	defer cancel()
	tree, err := askPreview(ctx, r.bazel)
	if err != nil {
		return nil, "", fmt.Errorf("look at the spec tree: %w", err)
	}
	all := tree.Specs
	if len(all) == 0 {
		return nil, "", errors.New("the suite has no specs: is the file with its containers among the test's sources?")
	}
	if tree.Focused {
		return nil, "", focusLeft(all)
	}
	if pattern := flagValue(flag.CommandLine, "test.list"); pattern != "" {
		note, err := list(all, pattern)
		return nil, note, err
	}
	r.results.previewed(all)
	plan, err := newPlan(all, r.bazel.shards)
	if err != nil {
		return nil, "", err
	}
	matching := r.filter.selected(r.options.Name, all)
	if len(matching) == 0 {
		return nil, "", fmt.Errorf("no spec of the suite matches %s: the filter is a regular expression over the full text of a spec, "+
			"such as %q", r.filter.describe(r.suite), all[0].Text)
	}
	mine := plan.specsOfShard(r.bazel.shard)
	if !slices.ContainsFunc(mine, func(s spec) bool { return !s.Pending }) {
		most := plan.runnableUnits()
		if most == 0 {
			return nil, "", errors.New("nothing to run: all specs of the suite are pending")
		}
		return nil, "", fmt.Errorf("%s has nothing to run: the suite has %s to distribute; lower shard_count to %d, or divide a container",
			r.bazel.position(), describeUnits(most), most)
	}
	mine = r.filter.selected(r.options.Name, mine)
	if len(mine) == 0 {
		note = fmt.Sprintf("%s: none of this shard's specs match %s; %d of the suite's %d specs do, in other shards\n",
			r.title(), r.filter.describe(r.suite), len(matching), len(all))
	}
	return mine, note, nil
}

// focusLeft is the complaint about FIt, FDescribe and the like.
func focusLeft(all []spec) error {
	var focused []string
	for _, s := range all {
		if !s.Excluded && !s.Pending {
			focused = append(focused, s.Leaf.location()+" "+s.Text)
		}
	}
	if len(focused) > 5 {
		focused = append(focused[:5], fmt.Sprintf("and %d more", len(focused)-5))
	}
	return fmt.Errorf("focused specs are left in the code (FIt, FDescribe, Focus), so others would never run; "+
		"remove the focus and use --test_filter instead:\n  %s", strings.Join(focused, "\n  "))
}

// list answers go test -list.
func list(all []spec, pattern string) (string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", fmt.Errorf("read -list=%s as a regular expression: %w", pattern, err)
	}
	var out strings.Builder
	for _, s := range all {
		if re.MatchString(s.Text) {
			fmt.Fprintln(&out, s.Text)
		}
	}
	return out.String(), nil
}

// title names this process's part of the suite.
func (r *run) title() string {
	title := firstOf(r.bazel.target, r.options.Name)
	if position := r.bazel.position(); position != "" {
		title += " (" + position + ")"
	}
	return title
}

// setUp calls Setup.
func (r *run) setUp(specs []spec) bool {
	r.keepResults()
	if r.suite.DryRun {
		return true
	}
	ctx, cancel := r.interruption.context(r.specsDeadline, 0)
	defer cancel()
	if r.options.Setup != nil {
		begin := time.Now()
		err := call(ctx, r.options.SetupName, r.options.Setup)
		elapsed := time.Since(begin)
		if by := r.interruptedBy(); by != "" && err != nil {
			err = fmt.Errorf("%s after %s s of %s: %w", by, seconds(elapsed), r.options.SetupName, err)
		}
		r.classify(err)
		r.results.setup(r.options.SetupName, elapsed, err, r.infrastructure)
		if err != nil {
			r.results.expect(specs, skipped, "not run: "+r.options.SetupName+" failed")
			return false
		}
	}
	r.ready = true
	return true
}

// classify reports whether the failure is one of the infrastructure, and if so
// tells Bazel.
func (r *run) classify(err error) bool {
	var infrastructure interface{ Infrastructure() bool }
	if !errors.As(err, &infrastructure) || !infrastructure.Infrastructure() {
		return false
	}
	r.infrastructure = true
	if r.bazel.infrastructureFile == "" {
		return true
	}
	component := r.options.SetupName
	var named interface{ Component() string }
	if errors.As(err, &named) && named.Component() != "" {
		component = named.Component()
	}
	// First line: component. Second: what happened. Bazel ignores the rest.
	content := strings.Join([]string{oneLine(component), oneLine(err.Error())}, "\n") + "\n"
	if err := writeFile(r.bazel.infrastructureFile, []byte(content)); err != nil {
		fmt.Fprintln(r.out, err)
	}
	return true
}

func oneLine(text string) string { return strings.Join(strings.Fields(printable(text)), " ") }

// end reports, collects, releases and returns the exit code.
func (r *run) end() int {
	if by := r.interruptedBy(); by != "" && !r.results.bad() {
		r.results.problem("interrupted", errors.New(by))
	}
	if r.ready && r.options.Blame != nil && r.results.bad() {
		if err := r.options.Blame(); err != nil && r.classify(err) {
			r.results.problem("infrastructure", err)
		}
	}
	if err := r.writeResults(); err != nil {
		r.results.problem("results", err)
	}
	if r.ready {
		r.hook("collect artifacts", r.bazel.outputsDir != "" && r.options.Collect != nil, func(ctx context.Context) error {
			return r.options.Collect(ctx, r.bazel.outputsDir)
		})
		r.hook("release", r.options.Release != nil, r.options.Release)
	}
	if !r.results.bad() {
		return 0
	}
	fmt.Fprint(r.out, "\n", r.digest())
	return 1
}

func (r *run) interruptedBy() string {
	if r.interruption == nil || r.interruption.signal() == nil {
		return ""
	}
	return r.interruption.signal().String()
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

// keepResults writes what is known so far, for the case that the process does
// not get to its end. That end says so if test.xml can't be written.
func (r *run) keepResults() { _ = r.writeResults() }

// writeResults replaces test.xml.
func (r *run) writeResults() error {
	if r.bazel.xmlFile == "" {
		return nil
	}
	properties := []xmlProperty{{Name: "ginkgo.seed", Value: fmt.Sprint(r.suite.RandomSeed)}}
	if position := r.bazel.position(); position != "" {
		properties = append(properties, xmlProperty{Name: "bazel.shard", Value: position})
	}
	if narrowed := r.filter.describe(r.suite); narrowed != "" {
		properties = append(properties, xmlProperty{Name: "filter", Value: printable(narrowed)})
	}
	content, err := render(r.title(), r.bazel.className(r.options.Name), r.started, time.Since(r.started), properties, r.results.cases())
	if err != nil {
		return err
	}
	return writeFile(r.bazel.xmlFile, content)
}
