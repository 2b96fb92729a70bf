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

	// Setup makes ready what all specs of the process share. It runs once, and only
	// if this shard has specs to run. It is a test case of its own in test.xml. Its
	// context ends with the budget for specs, or when the process gets SIGTERM. If
	// Setup fails, it has to undo what it has begun. Release is not called in a process
	// that dies, so what outlives a process must end by other means.
	//
	// An error is reported to Bazel as a failure of the infrastructure if an error in
	// its chain has a method Infrastructure() bool that returns true. A method
	// Component() string in the chain names the part to blame.
	Setup func(ctx context.Context) error

	// SetupName is the name of Setup's test case. Default "set up".
	SetupName string

	// Lost, if it is given, is called after Setup. It returns a channel that is closed
	// when what Setup has made ready is lost. Specs then end as after a signal, since
	// they could only wait for their deadlines and fail. Blame returns what was lost.
	Lost func() <-chan struct{}

	// Blame is called when a spec has failed. It returns nil, or an error that is to
	// blame, such as the loss of the cluster. If the error is one of the
	// infrastructure, as described at Setup, then so is the failure.
	Blame func() error

	// Exclusive, if it is given, keeps everybody else away from what Setup has made ready.
	// It is called before the first spec of a top-level container (or spec) that is Serial
	// or contains a Serial spec, and returns when nobody else is left. The function that it
	// returns, which may be nil, is called after the last spec of that container, and
	// shares it again. Specs are called one after the other, with this between them if
	// their order is random. It counts neither as time of a spec nor of SpecTimeout.
	// Default: that of what Setup leases by tools/fixture/client; without a lease, Serial
	// specs are refused if there is more than one shard.
	//
	// The context ends with the budget for specs, or when the process gets SIGTERM. An
	// error fails the specs of the container, which then don't run. It is a failure of the
	// infrastructure as with Setup. A share that fails, or takes more than a minute, is a
	// failure of its own.
	Exclusive func(ctx context.Context) (share func(ctx context.Context) error, err error)

	// Attest says whether what Setup has made ready was, all the time, what the suite was
	// to run on. It is called once, after the specs, passed or failed, and before Collect.
	// It is a test case of its own in test.xml, and its properties are the suite's there.
	// The log has both, too. An error fails the run, as one of the infrastructure as with
	// Setup. It has 10 s, half of what is left of the budget, or until 10 s after a
	// SIGTERM, whichever is least. Default: that of what Setup leases by
	// tools/fixture/client.
	Attest func(ctx context.Context) (properties map[string]string, err error)

	// Collect saves what helps to understand the run into dir, which exists. It
	// is called after the specs of a successful Setup, passed or failed, and also
	// before what Exclusive took is shared after a failure, as the environment may be
	// replaced then: it adds to what it has saved. It isn't called if Bazel wants no
	// outputs. An error is logged and does not fail the run.
	Collect func(ctx context.Context, dir string) error

	// Release undoes Setup. It is called once, last, if Setup succeeded. An error
	// is logged and does not fail the run.
	Release func(ctx context.Context) error

	// AllowSkipped lets a shard pass in which no spec passed or failed, because each of
	// them called Skip or is pending. Default: such a shard fails, since nothing was
	// tested. Skip in BeforeSuite counts as Skip in each spec.
	AllowSkipped bool

	// AllowRetries lets a spec pass that failed at first and passed when Ginkgo tried it
	// again (FlakeAttempts, -ginkgo.flake-attempts). Default: it fails, since code that
	// fails now and then would be green. The failed attempts are in the log and in
	// test.xml either way.
	AllowRetries bool

	// M is the parameter of TestMain. With it "bazel coverage" and "go test -cover"
	// count what the specs execute in this process. Without it they count nothing. If
	// it is a *testing.M, a package that has Go tests, fuzz targets or examples is
	// refused, since those would never run.
	M interface{ Run() int }

	// Bazel is the command that the line "run again" begins with. Default "bazel".
	Bazel string
}

// Exit codes of Run other than 0.
const (
	// ExitFailure is that of a suite that failed.
	ExitFailure = 1
	// ExitInfrastructure is that of a suite without a verdict, since something that it
	// needs failed (EX_TEMPFAIL of sysexits.h). Bazel prints it and treats it like any
	// other failure.
	ExitInfrastructure = 75
)

// Main runs the specs of this shard and exits. TestMain calls it once, before anything
// else that takes time or has effects. The test's binary is started twice more, to look
// at its spec tree and to run its specs (see package comment).
func Main(options Options) { os.Exit(Run(options)) }

// Run is Main for a TestMain that has something to do afterwards. It returns the exit
// code, and TestMain must call os.Exit with it. A TestMain that returns instead exits
// with 0, even if specs failed. Bazel fails that test nevertheless, since a run that
// failed leaves its TEST_PREMATURE_EXIT_FILE behind. go test passes it.
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
	began := time.Now()
	r.suite, r.reporter, err = configuration(bazel, flag.CommandLine)
	r.startedAt(began)
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
	grounded bool // options.Attest asks the grounds as well
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

// startedAt sets when the budget began to run. Under "bazel run" nobody holds a test to
// its timeout, and one that pauses at a failure doesn't either.
func (r *run) startedAt(began time.Time) {
	r.started = began
	if r.suite.SleepOnFailure > 0 && r.bazel.target != "" && !r.bazel.keepsVerdict {
		return
	}
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
