package ginkgo

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// supervisor is the first process's part. problem is an error of the flags or of the
// protocol, or nil.
func (r *run) supervisor(problem error) int {
	code := r.supervised(problem)
	if code == 0 { // else Bazel has to notice a TestMain that does not exit with the code
		r.bazel.conclude()
	}
	return code
}

func (r *run) supervised(problem error) int {
	if err := r.bazel.announce(); err != nil {
		r.results.problem("test protocol", err)
		return r.end()
	}
	if wrappedByRulesGo(os.Getppid()) {
		problem = errors.Join(problem, errWrapped)
	}
	problem = errors.Join(problem, refuseGoFunctions(r.options.M))
	if problem != nil {
		r.results.problem("test protocol", problem)
		return r.end()
	}
	r.interruption = watchInterruption()
	defer r.interruption.stop()

	a, note, err := r.prepare()
	switch {
	case err != nil:
		r.results.problem("sharding", err)
		return r.end()
	case len(a.Mine) == 0:
		fmt.Fprint(r.out, note)
		return r.end()
	}
	r.results.assign(a.Mine, a.All)
	stop := r.keepResults()
	if debugged() {
		r.work(a.Mine)
	} else if err := r.supervise(a); err != nil {
		r.results.problem("process", fmt.Errorf("start the process that runs the specs: %w", err))
	}
	stop()
	return r.end()
}

// assignment is what the runner has to do.
type assignment struct {
	Mine, All []spec
	Started   time.Time
	Seed      int64 // the one that the log and test.xml name; without Bazel it is the time
}

// lastWords is how much of a crash is kept, in bytes.
const lastWords = 64 << 10

// supervise has the runner run the specs and follows its results. A runner that ends
// before it has reported its end has failed, whatever its exit code is. Otherwise a
// spec that calls os.Exit(0) would be green.
func (r *run) supervise(a assignment) error {
	// On Linux the runner dies with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	var p pipes
	defer func() { closeAll(p.ours); closeAll(p.theirs) }()
	answers, err1 := p.toRead() // in the order of the descriptors
	orders, err2 := p.toWrite()
	crash, err3 := p.toRead()
	written, err4 := p.scratch()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	command, err := again(context.Background(), roleRunner, os.Environ())
	if err != nil {
		return err
	}
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.ExtraFiles = p.theirs
	command.SysProcAttr = attributesOfRunner()
	if err := command.Start(); err != nil {
		return err
	}
	closeAll(p.theirs)

	var (
		listening = make(chan struct{}) // the runner takes signals
		heard     = make(chan bool, 1)  // whether the runner has reported its end
		words     = make(chan string, 1)
		ended     = make(chan error, 1)
	)
	go func() {
		_ = gob.NewEncoder(orders).Encode(a) // a runner that is gone is noticed by its end
		_ = orders.Close()
	}()
	go func() { heard <- r.follow(answers, listening) }()
	go func() { words <- head(crash, lastWords) }()
	go func() { ended <- command.Wait() }()

	err, killed := r.await(ended, listening, command.Process)
	// What it wrote is in the pipes; only a process that it left behind can hold
	// them open.
	patience := time.Now().Add(time.Second)
	_, _ = answers.SetReadDeadline(patience), crash.SetReadDeadline(patience)
	through := <-heard
	r.results.keepWritten(written)
	r.judge(through, err, killed, <-words)
	return nil
}

// follow takes over the runner's results. It returns whether the runner has reported
// its end.
func (r *run) follow(answers *os.File, listening chan<- struct{}) (through bool) {
	decoder := gob.NewDecoder(answers)
	for first := true; ; first = false {
		var c change
		if err := decoder.Decode(&c); err != nil {
			return through
		}
		if first {
			close(listening)
		}
		through = through || c.Through
		r.results.apply(c)
	}
}

// await returns how the runner ended, and whether this process killed it. A signal to
// end is passed on once, when the runner can take it. A signal that asks Ginkgo for a
// progress report is passed on each time.
func (r *run) await(ended <-chan error, listening <-chan struct{}, runner *os.Process) (err error, killed bool) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	defer signal.Stop(asked)
	signaled := r.interruption.signaled
	var passOn <-chan struct{}
	tooLate, free := r.interruption.after(endOfRunner)
	defer free()
	for {
		select {
		case err := <-ended:
			return err, killed
		case <-signaled:
			signaled, passOn = nil, listening
		case <-passOn:
			passOn = nil
			_ = runner.Signal(syscall.SIGTERM) // one that has ended is seen in ended
		case <-asked:
			select {
			case <-listening:
				_ = runner.Signal(syscall.SIGUSR1)
			default:
			}
		case <-tooLate:
			tooLate, killed = nil, true
			_ = runner.Kill()
		}
	}
}

// judge records a failure if the runner did not end as it should.
func (r *run) judge(through bool, err error, killed bool, words string) {
	how := "exit status 0"
	if err != nil {
		how = err.Error()
	}
	switch {
	case killed:
		r.results.crash(fmt.Sprintf("killed since it went on for more than %.0f s after a signal", endOfRunner.Seconds()), words)
	case !through:
		cause := "did a spec end the process (os.Exit)?"
		if lines := firstLines(words, 1, 300); len(lines) > 0 {
			cause = lines[0]
		}
		r.results.crash(fmt.Sprintf("the test process ended before its specs did, with %s: %s", how, cause), words)
	case err != nil && !r.results.bad():
		r.results.crash(fmt.Sprintf("the test process ended with %s after its specs had passed: what does TestMain do after Run?", how), words)
	}
}

// end reports and returns the exit code.
func (r *run) end() int {
	if by := r.interruptedBy(); by != "" && !r.results.bad() {
		r.results.problem("interrupted", errors.New(by))
	}
	_ = r.refuseUntested() // also where the runner has not come to it
	if err := r.writeSpecFiles(); err != nil {
		fmt.Fprintf(r.out, "\n%v\n", err)
	}
	fmt.Fprint(r.out, r.results.account(), r.leftOut())
	blamed := r.results.blamed()
	if blamed != nil && r.bazel.infrastructureFile != "" {
		// First line: component. Second: what happened. Bazel ignores the rest.
		content := oneLine(blamed.Component) + "\n" + oneLine(blamed.What) + "\n"
		if err := writeFile(r.bazel.infrastructureFile, []byte(content)); err != nil {
			fmt.Fprintf(r.out, "\n%v\n", err)
		}
	}
	if err := r.writeResults(); err != nil {
		r.results.problem("results", err)
	}
	if !r.results.bad() {
		return 0
	}
	fmt.Fprint(r.out, "\n", r.digest())
	if blamed != nil {
		return ExitInfrastructure
	}
	return ExitFailure
}

func oneLine(text string) string { return strings.Join(strings.Fields(printable(text)), " ") }

// keepResults writes test.xml whenever something is new, for the case that this
// process is killed. An error is left to end, which writes test.xml once more and
// reports the error. Writing takes a tenth of the time at most. The function that
// keepResults returns ends it.
func (r *run) keepResults() (stop func()) {
	news, stopped, done := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	r.results.forward = func(change) {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	news <- struct{}{}
	go func() {
		defer close(done)
		for {
			select {
			case <-news:
			case <-stopped:
				return
			}
			began := time.Now()
			_ = r.writeResults()
			pause := time.NewTimer(9 * time.Since(began))
			select {
			case <-pause.C:
			case <-stopped:
				pause.Stop()
				return
			}
		}
	}()
	return func() { close(stopped); <-done }
}

// writeResults replaces test.xml.
func (r *run) writeResults() error {
	if r.bazel.xmlFile == "" {
		return nil
	}
	properties := []xmlProperty{{Name: seedProperty, Value: fmt.Sprint(r.suite.RandomSeed)}}
	add := func(name, value string) {
		if value != "" {
			properties = append(properties, xmlProperty{Name: name, Value: printable(value)})
		}
	}
	add("bazel.shard", r.bazel.position())
	add("bazel.run", r.bazel.runNumber)
	add("filter", r.filter.describe(r.suite))
	properties = append(properties, r.results.properties()...)
	content, err := render(r.title(), r.bazel.className(r.options.Name), r.started, time.Since(r.started), properties, r.results.cases())
	if err != nil {
		return err
	}
	return writeFile(r.bazel.xmlFile, content)
}
