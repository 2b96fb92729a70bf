package ginkgo

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	// is told to stop. What it has begun when it fails it must undo itself, and
	// what outlives a process that dies must end by other means than Release.
	//
	// An error that has a method Infrastructure() bool in its chain, returning
	// true, is reported to Bazel as a failure of the infrastructure; a method
	// Component() string in its chain names the part to blame.
	Setup func(ctx context.Context) error

	// SetupName is the name of Setup's test case. Default "set up".
	SetupName string

	// Lost, if it is given, is called after Setup, and returns a channel that is closed
	// when what Setup has made ready is no more. Specs are then ended as by a signal:
	// they could but wait for their deadlines, and fail. Blame says what was lost.
	Lost func() <-chan struct{}

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

	// M is what TestMain was given. With it "bazel coverage" and "go test -cover"
	// count what the specs execute in this process; without it, nothing. A package
	// with Go tests, fuzz targets or examples, which would never run, is refused if
	// this is its *testing.M.
	M interface{ Run() int }

	// Bazel is the command that the line "run again" begins with. Default "bazel".
	Bazel string
}

// Exit codes of Run other than 0.
const (
	// ExitFailure is that of a suite that failed.
	ExitFailure = 1
	// ExitInfrastructure is that of a suite that could not be judged, since what
	// it needs failed (EX_TEMPFAIL of sysexits.h). Bazel prints it and treats it
	// like any other failure.
	ExitInfrastructure = 75
)

// Main runs the specs of this shard and exits. It is called once, from TestMain,
// before anything else that takes time or has effects, since the test's binary is
// started twice more: to look at its spec tree, and to run its specs under this
// process's eyes (see package comment).
func Main(options Options) { os.Exit(Run(options)) }

// Run is Main for a TestMain that has something to do afterwards: it returns the
// exit code, and TestMain must call os.Exit with it. A TestMain that returns
// instead exits with 0, whatever the specs did; Bazel then fails the test
// nevertheless, since a run that failed leaves its TEST_PREMATURE_EXIT_FILE behind,
// but go test passes it.
func Run(options Options) int {
	if !flag.Parsed() {
		flag.Parse()
	}
	role := takeRole()
	bazel, err := readProtocol(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return ExitFailure
	}
	options.Name = cmp.Or(options.Name, bazel.target, filepath.Base(os.Args[0]))
	options.SetupName = cmp.Or(options.SetupName, "set up")
	options.Bazel = cmp.Or(options.Bazel, "bazel")
	r := &run{options: options, bazel: bazel, out: os.Stdout}
	r.startedAt(time.Now())
	r.suite, r.reporter, err = configuration(bazel, flag.CommandLine)
	switch role {
	case rolePreview:
		return r.preview()
	case roleRunner:
		return r.runner()
	default:
		return r.supervisor(err)
	}
}

// run is one process's part of a suite.
type run struct {
	options  Options
	bazel    protocol
	filter   filter
	suite    types.SuiteConfig
	reporter types.ReporterConfig
	out      io.Writer

	started       time.Time
	deadline      time.Time // zero without a budget
	specsDeadline time.Time // when specs must be through

	interruption *interruption
	results      results
	ready        bool     // Setup succeeded
	written      *os.File // runner: where the running spec's GinkgoWriter goes besides
}

// startedAt sets when the budget began to run.
func (r *run) startedAt(began time.Time) {
	r.started = began
	if limit := budget(r.bazel, flag.CommandLine); limit > 0 {
		r.deadline = began.Add(limit)
		r.specsDeadline = r.deadline.Add(-reserve(limit))
	}
}

// title names this process's part of the suite.
func (r *run) title() string {
	title := cmp.Or(r.bazel.target, r.options.Name)
	if position := r.bazel.position(); position != "" {
		title += " (" + position + ")"
	}
	return title
}

func (r *run) interruptedBy() string {
	if r.interruption == nil || r.interruption.signal() == nil {
		return ""
	}
	return r.interruption.signal().String()
}
