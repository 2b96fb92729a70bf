package boot

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/controlplane"
)

// InitMain is process 1 of a cluster's namespaces. Only the launcher starts it.
// It returns the exit status. defaults lists the objects that the kube-apiserver
// in the same binary leaves to init.
func InitMain(defaults func() Defaults) int {
	for _, fd := range []int{apiDescriptor, controlDescriptor, lockDescriptor, starterDescriptor} {
		unix.CloseOnExec(fd)
	}
	// A write to the standard output of a dead launcher must be an error: init has
	// to live on and clean up. Notify and not Ignore, which components would
	// inherit.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	input := bufio.NewReader(os.Stdin)
	line, err := input.ReadBytes('\n')
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster init: read instructions: there are none: start a cluster with `cluster run` or `cluster up`")
		return 2
	}
	var spec initSpec
	if err := json.Unmarshal(line, &spec); err != nil {
		fmt.Fprintln(os.Stderr, "cluster init: read instructions:", err)
		return 2
	}
	in := &initProcess{spec: spec, defaults: defaults, events: json.NewEncoder(os.Stdout), log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	return in.run(input)
}

// initProcess is the supervisor inside the namespaces.
type initProcess struct {
	spec     initSpec
	defaults func() Defaults
	log      *slog.Logger

	mu         sync.Mutex // guards what follows
	events     *json.Encoder
	report     api.Report
	components []*controlplane.Component
}

// errOrdered ends the cluster without a failure.
var errOrdered = errors.New("the launcher ended or ordered the end")

func (in *initProcess) run(tether io.Reader) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	// The launcher's end closes the tether, and so does its order to end.
	go func() {
		io.Copy(io.Discard, tether)
		cancel(errOrdered)
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	go func() {
		<-signals
		cancel(errOrdered)
	}()

	err := in.supervise(ctx, cancel)
	if errors.Is(err, errOrdered) || errors.Is(context.Cause(ctx), errOrdered) {
		in.tidy()
		return 0
	}
	in.emit(api.Event{Kind: api.EventFailed, Failure: in.explain(err)})
	return 1
}

// supervise boots and then waits for the first failure or the end of ctx.
// Returning ends the process, and the kernel all others with it.
func (in *initProcess) supervise(ctx context.Context, cancel context.CancelCauseFunc) error {
	in.report.Started = in.spec.Started
	in.step("namespaces", 0, "self")
	start := in.sinceStart()
	if err := furnish(in.spec.Paths, in.spec.DataLimit); err != nil {
		return explainMountRefusal(err, os.DirFS("/proc/sys"))
	}
	in.step("isolation", start, "self")
	supervisor := newSupervisor(cancel)
	go supervisor.reap(ctx)

	bootContext, done := context.WithTimeoutCause(ctx, time.Until(in.spec.Started.Add(in.spec.Deadline)),
		fmt.Errorf("the boot's deadline of %s passed", in.spec.Deadline))
	defer done()
	if err := in.boot(bootContext, ctx, supervisor); err != nil {
		// A component's death often makes another part's request fail first.
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// explain turns an error into the report of a failure.
func (in *initProcess) explain(err error) *api.Failure {
	failure := &api.Failure{Component: "init", Message: err.Error()}
	var exit *controlplane.ExitError
	var late *controlplane.NotReadyError
	switch {
	case errors.As(err, &exit):
		failure.Component, failure.LogTail = exit.Component, exit.Tail
		if exit.OutOfSpace() {
			failure.Message += fmt.Sprintf("; its disk, the cluster's in-memory file system of %d MiB, is full: give more with --data-limit", in.spec.DataLimit>>20)
		}
	case errors.As(err, &late):
		failure.Component, failure.LogTail = late.Component, late.Tail
	}
	return failure
}

// tidy removes the cluster's files in the launcher's place, which may be dead.
func (in *initProcess) tidy() {
	// A process that still ran would write below the mount point once the mount is gone.
	killAll(tidyGrace)
	// Our own mounts keep the mount point busy for us, and for us only.
	if err := unix.Unmount(in.spec.Paths.data(), unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		in.log.Warn("unmount data", "error", err)
	}
	if err := in.spec.Paths.remove(); err != nil {
		in.log.Warn("clean up cluster directory", "error", err)
	}
}

// tidyGrace is how long killed processes may take to disappear.
const tidyGrace = 500 * time.Millisecond

// killAll kills every other process of the namespace, containers included, and
// waits for their end.
func killAll(grace time.Duration) {
	if err := unix.Kill(-1, unix.SIGKILL); err != nil {
		return // ESRCH: there is none
	}
	deadline := time.Now().Add(grace)
	for time.Now().Before(deadline) {
		// os/exec may take a child from under us; what counts is when none is left.
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if errors.Is(err, unix.ECHILD) {
			return
		}
		if pid == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

func (in *initProcess) emit(event api.Event) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.events.Encode(event); err != nil {
		// The launcher is gone; the tether's end says so too.
		in.log.Debug("report event", "error", err)
	}
}

// sinceStart is the time since the launcher's start in seconds.
func (in *initProcess) sinceStart() float64 { return time.Since(in.spec.Started).Seconds() }

// step records a finished step of the boot and reports it. process is a /proc
// name whose usage belongs to the step.
func (in *initProcess) step(name string, start float64, process string) {
	step := api.Step{Name: name, Start: start, End: in.sinceStart()}
	if usage, err := controlplane.UsageOf(process); err == nil {
		step.Usage = usage
	}
	in.mu.Lock()
	in.report.Steps = append(in.report.Steps, step)
	in.mu.Unlock()
	in.emit(api.Event{Kind: api.EventStep, Step: &step})
}

// snapshot is the report with current usages.
func (in *initProcess) snapshot() api.Report {
	in.mu.Lock()
	report := in.report
	report.Steps = append([]api.Step(nil), in.report.Steps...)
	components := append([]*controlplane.Component(nil), in.components...)
	in.mu.Unlock()
	report.Components = nil
	if usage, err := controlplane.UsageOf("self"); err == nil {
		report.Components = append(report.Components, api.ComponentUsage{Name: "init", Usage: usage})
	}
	for _, component := range components {
		if usage, err := component.Usage(); err == nil {
			report.Components = append(report.Components, api.ComponentUsage{Name: component.Name, Usage: usage})
		}
	}
	return report
}

func (in *initProcess) journal(name string) (*controlplane.Journal, error) {
	journal, err := controlplane.OpenJournal(in.spec.Paths.Dir.Log(name))
	if err != nil {
		return nil, err
	}
	journal.OnError = func(err error) {
		in.log.Warn("a component's log is cut short; free space below the cluster's directory", "component", name, "error", err)
	}
	return journal, nil
}
