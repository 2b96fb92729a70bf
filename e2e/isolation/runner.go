package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"stormgate.internal/e2e/suite"
	"stormgate.internal/e2e/testxml"
	"stormgate.internal/tools/fixture/client"
	"stormgate.internal/tools/runfiles"
)

// scenario is a test target: a program and the environment that its rule gives it.
type scenario struct {
	label   string
	program string
	env     map[string]string
}

// loadScenarios reads the list that the rule scenarios writes.
func loadScenarios(file, only string) ([]scenario, error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return nil, fmt.Errorf("read --only: %w", err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the list of scenarios: %w (run this by bazel run //e2e/isolation)", err)
	}
	var list map[string]struct {
		Program string            `json:"program"`
		Env     map[string]string `json:"env"`
	}
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("parse %s: %w", file, err)
	}
	var scenarios []scenario
	for _, label := range slices.Sorted(maps.Keys(list)) {
		if !wanted.MatchString(label) {
			continue
		}
		program, err := runfiles.File(list[label].Program)
		if err != nil {
			return nil, fmt.Errorf("find the program of %s: %w", label, err)
		}
		scenarios = append(scenarios, scenario{label: label, program: program, env: list[label].Env})
	}
	if len(scenarios) == 0 {
		return nil, fmt.Errorf("none of the scenarios matches --only=%s", only)
	}
	return scenarios, nil
}

// runner executes scenarios as Bazel does, by the same protocol.
type runner struct {
	scenarios []scenario
	runfiles  string // the directory that all programs share
	logs      string
	progress  io.Writer
}

// processTimeout is what a scenario gets, as a test of medium size.
const processTimeout = 5 * time.Minute

// list asks the programs for their specs.
func (r *runner) list(ctx context.Context) ([]spec, error) {
	var specs []spec
	for _, s := range r.scenarios {
		output, err := r.command(ctx, s, nil, "-test.list=.").Output()
		if err != nil {
			return nil, fmt.Errorf("list the specs of %s: %w\n%s", s.label, err, output)
		}
		for text := range strings.Lines(string(output)) {
			specs = append(specs, spec{scenario: s.label, text: strings.TrimSuffix(text, "\n")})
		}
	}
	return specs, nil
}

// run executes all processes of a run and collects the verdicts.
func (r *runner) run(ctx context.Context, run run) (result, error) {
	started := time.Now()
	outcome := result{name: run.name(), verdicts: map[spec][]verdict{}}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(run.jobs)
	for i, p := range run.processes {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			cases, err := r.execute(ctx, run, i, p)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, c := range cases {
				if c.IsSpec() {
					s := spec{scenario: p.scenario, text: c.Name}
					outcome.verdicts[s] = append(outcome.verdicts[s], c.Verdict)
				}
			}
			return nil
		})
	}
	err := group.Wait()
	outcome.elapsed = time.Since(started)
	fmt.Fprintf(r.progress, "%s: %d processes in %.0f s\n", run.name(), len(run.processes), outcome.elapsed.Seconds())
	return outcome, err
}

// execute runs one process and reads its test.xml. That a spec fails is no error.
func (r *runner) execute(ctx context.Context, run run, number int, p process) ([]testxml.Case, error) {
	s := r.scenarios[slices.IndexFunc(r.scenarios, func(s scenario) bool { return s.label == p.scenario })]
	dir := filepath.Join(r.logs, strings.ReplaceAll(run.name(), ", ", "-"), fmt.Sprintf("%02d-%s", number, s.label[strings.LastIndex(s.label, ":")+1:]))
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o777); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "test.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	xmlFile := filepath.Join(dir, "test.xml")
	env := map[string]string{
		"TEST_TIMEOUT":          fmt.Sprint(int(processTimeout.Seconds())),
		"TEST_TMPDIR":           filepath.Join(dir, "tmp"),
		"XML_OUTPUT_FILE":       xmlFile,
		client.ProviderVariable: run.cluster,
	}
	if p.filter != "" {
		env["TESTBRIDGE_TEST_ONLY"] = p.filter
	}
	if p.seed != 0 {
		env["TEST_RANDOM_SEED"] = fmt.Sprint(p.seed)
	}
	if p.reverse {
		env[suite.OrderVariable] = "reverse"
	}
	var args []string
	if p.shuffle {
		args = append(args, "-ginkgo.randomize-all")
	}
	cmd := r.command(ctx, s, env, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); !exited || ctx.Err() != nil {
			return nil, fmt.Errorf("run %s: %w", s.label, errors.Join(err, ctx.Err()))
		}
	}
	cases, err := testxml.Read(xmlFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // it ended before it knew its specs, which are missed then
	}
	return cases, err
}

func (r *runner) command(ctx context.Context, s scenario, env map[string]string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Dir = filepath.Join(r.runfiles, "_main")
	cmd.Env = append(os.Environ(), "TEST_TARGET="+s.label, "TEST_SRCDIR="+r.runfiles, "RUNFILES_DIR="+r.runfiles, "TEST_WORKSPACE=_main")
	for _, more := range []map[string]string{s.env, env} {
		for name, value := range more {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	return cmd
}
