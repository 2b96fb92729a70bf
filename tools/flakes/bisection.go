package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"stormgate.internal/tools/flakes/internal/bazel"
	"stormgate.internal/tools/flakes/internal/bisect"
	"stormgate.internal/tools/flakes/internal/checkout"
	"stormgate.internal/tools/flakes/internal/outcome"
	"stormgate.internal/tools/flakes/internal/sample"
	"stormgate.internal/tools/flakes/internal/sequential"
	"stormgate.internal/tools/internal/outfile"
	"stormgate.internal/tools/report/runs"
)

// errTimeUp is the cause of a context that --for ended.
var errTimeUp = errors.New("time is up (--for)")

// label writes out what a label leaves to its package's name, as build events do.
func label(target string) string {
	target = strings.TrimPrefix(target, "@//")
	if !strings.HasPrefix(target, "@") && !strings.HasPrefix(target, "//") {
		target = "//" + target
	}
	if !strings.Contains(target, ":") {
		target += ":" + path.Base(target)
	}
	return target
}

// statistics are those of the search.
func (f *flags) statistics() bisect.Options {
	o := bisect.Options{Good: f.goodRate, Rate: f.rate, Error: f.mostError, Failures: f.failures, MostRuns: f.mostRuns, AtOnce: f.atOnce}
	if f.random {
		o.AtOnce = 1 // the runs of one bazel test would have one order
	}
	return o
}

// query is what makes two bisections the same.
type query struct {
	Workspace   string         `json:"workspace"`
	Target      string         `json:"target"`
	Spec        string         `json:"spec,omitempty"`
	Message     string         `json:"message,omitempty"`
	Good        string         `json:"good"`
	Bad         string         `json:"bad"`
	WholeTarget bool           `json:"wholeTarget,omitempty"`
	Random      bool           `json:"random,omitempty"`
	Private     bool           `json:"private,omitempty"`
	Load        int            `json:"load,omitempty"`
	Options     []string       `json:"options,omitempty"`
	Statistics  bisect.Options `json:"statistics"`
}

// search is a bisection with what it needs of the machine.
type search struct {
	query query
	state *bisect.State
	// folder has the state, the work tree and Bazel's output base.
	folder    string
	tree      *checkout.Tree
	workspace *bazel.Workspace
	program   func(root string) (program, name string, err error)
	spec      outcome.Spec
	// seed is that of the next run with a random order.
	seed    int64
	out     io.Writer
	current string // the commit that the tree has
	started time.Time
}

// saved is the file of a state.
type saved struct {
	Version int           `json:"version"`
	Query   query         `json:"query"`
	State   *bisect.State `json:"state"`
}

const (
	savedVersion = 1
	// idleSeconds after which the server of the work tree ends, should this process be
	// killed before it ends that itself.
	idleSeconds = 600
	// cleanup bounds the end of the server after an interruption.
	cleanup = 2 * time.Minute
)

func (f *flags) executeBisect(ctx context.Context, stdout, stderr io.Writer, target string) (err error) {
	repository, err := checkout.Open(ctx, f.workspace)
	if err != nil {
		return err
	}
	line, err := repository.Line(ctx, f.good, f.bad)
	if err != nil {
		return err
	}
	dir, err := f.cacheFolder(f.dir, "flakes")
	if err != nil {
		return err
	}
	if dir == "" {
		return &usageError{errors.New("--dir=none: a bisection needs a folder")}
	}
	s := &search{
		query: query{
			Workspace: f.workspace, Target: target, Spec: f.spec, Message: f.message, Good: line[0].ID, Bad: line[len(line)-1].ID, WholeTarget: f.wholeTarget,
			Random: f.random, Private: f.private, Load: f.load, Options: f.options, Statistics: f.statistics(),
		},
		spec: outcome.Spec{Target: target, Name: f.spec}, program: f.program, seed: f.seed, out: stderr, started: time.Now(),
	}
	if f.message != "" {
		s.spec.Message = regexp.MustCompile(f.message) // check has compiled it
	}
	unlock, err := s.open(dir, line, f.afresh)
	if err != nil {
		return err
	}
	defer unlock()
	s.tree = repository.Tree(filepath.Join(s.folder, "tree"))
	s.workspace = &bazel.Workspace{
		Root:    s.tree.Root,
		Startup: []string{"--output_base=" + filepath.Join(s.folder, "base"), fmt.Sprintf("--max_idle_secs=%d", idleSeconds)},
		Waiting: waiting(stderr),
	}
	limited := ctx
	if f.limit > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, f.limit, errTimeUp)
		defer cancel()
	}
	answer, failed := s.state.Search(limited, s, s.before, s.after)
	known := failed == nil
	err = s.leave(context.WithoutCancel(ctx), known)
	said := stdout
	if f.json == "-" || f.markdown == "-" {
		said = stderr // one document alone
	}
	text := s.describe(answer, known)
	fmt.Fprint(said, text)
	err = errors.Join(err, f.export(stdout,
		func(w io.Writer) error { return s.writeJSON(w, answer, known) },
		func(w io.Writer) error { return s.writeMarkdown(w, text) }))
	switch {
	case ctx.Err() != nil && !known && err == nil:
		return &endError{exitInterrupted}
	case errors.Is(failed, errTimeUp) && err == nil:
		return &endError{exitFlaky}
	case failed != nil || err != nil:
		return errors.Join(failed, err)
	case len(answer.Candidates) != 1:
		return &endError{exitFlaky}
	}
	return nil
}

// open finds what is known of the same query, or begins anew. Nobody else works on it until
// unlock is called.
func (s *search) open(dir string, line []bisect.Commit, afresh bool) (unlock func(), err error) {
	id, err := json.Marshal(s.query)
	if err != nil {
		return nil, err
	}
	s.folder = filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256(id))[:8])
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return nil, fmt.Errorf("keep what is found out: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(s.folder, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("keep what is found out: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: this bisection is being done already: %w", s.folder, err), lock.Close())
	}
	unlock = func() { _ = lock.Close() } // nothing was written
	fmt.Fprintf(s.out, "%s: %d commits, the good %s, the bad %s\n", s.name(), len(line), line[0], line[len(line)-1])
	content, err := os.ReadFile(s.file())
	switch {
	case afresh || errors.Is(err, fs.ErrNotExist):
		s.state, err = bisect.New(line, s.query.Statistics)
	case err == nil:
		var before saved
		if err = json.Unmarshal(content, &before); err == nil && (before.Version != savedVersion || before.State == nil) {
			err = fmt.Errorf("it is of version %d, not %d", before.Version, savedVersion)
		}
		if err == nil {
			err = before.State.Validate()
		}
		if err != nil {
			err = fmt.Errorf("read %s: %w: --afresh begins anew", s.file(), err)
			break
		}
		s.state = before.State
		runs, _ := s.state.Runs()
		fmt.Fprintf(s.out, "it goes on after the %d runs that are known from before (--afresh forgets them)\n", runs)
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

func (s *search) file() string { return filepath.Join(s.folder, "state.json") }

// name is what is looked for.
func (s *search) name() string {
	if s.query.Spec == "" {
		return s.query.Target
	}
	return fmt.Sprintf("%q of %s", s.query.Spec, s.query.Target)
}

// before tells of a commit when it is its turn.
func (s *search) before(job bisect.Job, _ int) {
	if c := s.state.Commits[job.Commit]; c.ID != s.current {
		fmt.Fprintf(s.out, "[%v] %s: %s\n", time.Since(s.started).Round(time.Second), c, job.Why)
	}
}

// after keeps what is known, and tells of it.
func (s *search) after(commit int) error {
	t := s.state.Tallies[commit]
	line := fmt.Sprintf("%d of %d failed", t.Failures, t.Failures+t.Passes)
	switch next, more := s.state.Next(); {
	case t.Untestable != "":
		line = "left out: " + t.Untestable
	case t.Decision != sequential.Open:
		line += ": " + string(t.Decision)
		if commit == len(s.state.Commits)-1 && s.state.Rate > 0 {
			line += "\n" + s.state.Method()
		}
	case more && next.Commit == commit && s.state.Rate > 0:
		line += fmt.Sprintf(", %d passes to go", next.Runs)
	}
	if blank := t.Runs - t.Failures - t.Passes; blank > 0 && t.Decision == sequential.Open {
		line += fmt.Sprintf(", %d more said nothing", blank)
	}
	fmt.Fprintln(s.out, "    "+strings.ReplaceAll(line, "\n", "\n    "))
	content, err := json.MarshalIndent(saved{Version: savedVersion, Query: s.query, State: s.state}, "", " ")
	if err != nil {
		return err
	}
	return outfile.Replace(s.file(), content)
}

// Test runs the spec at a commit.
func (s *search) Test(ctx context.Context, c bisect.Commit, n int) (bisect.Result, error) {
	if s.current != c.ID {
		if err := s.tree.Switch(ctx, c.ID); err != nil {
			return bisect.Result{}, err
		}
		s.current = c.ID
	}
	var err error
	if s.workspace.Program, s.workspace.Name, err = s.program(s.tree.Root); err != nil {
		return bisect.Result{Untestable: err.Error()}, nil
	}
	request := bazel.Request{Targets: []string{s.query.Target}, Options: s.options(), Runs: n}
	s.seed += int64(n)
	result, err := s.workspace.Test(ctx, request)
	if err == nil && ctx.Err() == nil && broken(result) {
		fmt.Fprintf(s.out, "    bazel test ended with %d: once more, with another server\n", result.Exit)
		if err = s.workspace.Shutdown(ctx); err == nil {
			result, err = s.workspace.Test(ctx, request)
		}
	}
	switch {
	case ctx.Err() != nil:
		return bisect.Result{}, context.Cause(ctx)
	case err != nil:
		return bisect.Result{}, err
	case broken(result):
		return bisect.Result{}, fmt.Errorf("test %s: bazel test ended with %d:\n%s", c, result.Exit, strings.Join(result.Output, "\n"))
	case result.Exit == bazel.ExitBuildFailed || result.Exit == bazel.ExitCommandLine || result.Exit == bazel.ExitNoTests:
		return bisect.Result{Untestable: fmt.Sprintf("bazel test ended with %d: %s", result.Exit, reason(result.Output))}, nil
	}
	ones, cached := outcome.Of(result.Run, s.spec)
	if cached > 0 {
		return bisect.Result{}, fmt.Errorf("test %s: %d results came from a cache although none was to", c, cached)
	}
	if len(ones) == 0 {
		return bisect.Result{Untestable: "Bazel has no result of " + s.query.Target}, nil
	}
	tested := bisect.Result{Seconds: seconds(result.Run)}
	for _, one := range ones {
		tested.Outcomes = append(tested.Outcomes, bisect.Outcome{Kind: bisect.Kind(one.Kind), Why: one.Why})
	}
	return tested, nil
}

// broken says that it was not the commit that ended Bazel.
func broken(r *bazel.Result) bool {
	switch r.Exit {
	case bazel.ExitPassed, bazel.ExitTestsFailed:
		return r.Run == nil
	case bazel.ExitBuildFailed, bazel.ExitCommandLine, bazel.ExitNoTests:
		return false
	}
	return true
}

// reason is the line of Bazel's output that says why it did not build.
func reason(output []string) string {
	for _, line := range output {
		if strings.HasPrefix(line, "ERROR:") {
			return line
		}
	}
	if len(output) > 0 {
		return output[len(output)-1]
	}
	return "it says nothing"
}

// seconds is how long the runs of a build took, without the build: the next commit's batches
// are planned by it.
func seconds(r *runs.Run) float64 {
	first, last := 0.0, 0.0
	for i, shard := range r.Shards {
		if i == 0 || shard.Start < first {
			first = shard.Start
		}
		last = max(last, shard.Start+shard.Duration)
	}
	return max(last-first, 0.001)
}

// options of bazel test at each commit.
func (s *search) options() []string {
	options := []string{"--test_env=GO_TEST_WRAP_TESTV=1"} // rules_go names Go tests that passed only so
	if !s.query.WholeTarget && s.query.Spec != "" {
		// Every shard but the spec's own would have nothing to do.
		options = append(options, "--test_filter="+s.spec.Filter(), "--test_sharding_strategy=disabled")
	}
	plan := sample.Plan{Options: append(options, s.query.Options...), Random: s.query.Random, Places: []sample.Place{sample.Shared}}
	if s.query.Private {
		plan.Places = []sample.Place{sample.Private}
	}
	if s.query.Random {
		plan.Seed = s.seed
	}
	_, _, options = plan.Run(1)
	return options
}

// leave ends the server of the work tree. What is only needed to go on is removed where there is an
// answer.
func (s *search) leave(ctx context.Context, known bool) error {
	ctx, cancel := context.WithTimeout(ctx, cleanup)
	defer cancel()
	if s.workspace.Program == "" {
		return nil // no commit was tested, so no server was started
	}
	if !known {
		return s.workspace.Shutdown(ctx)
	}
	if err := s.workspace.Expunge(ctx); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(filepath.Join(s.folder, "base")), s.tree.Remove(ctx))
}

// describe says what the bisection came to.
func (s *search) describe(answer bisect.Answer, known bool) string {
	var b strings.Builder
	runs, took := s.state.Runs()
	switch {
	case !known:
		good, bad, left := s.state.Left()
		fmt.Fprintf(&b, "No answer yet: the first bad commit is one of %d after %s, up to %s.\nThe same command goes on from here (%s).\n", left, good, bad, s.file())
	case answer.Reason != "":
		fmt.Fprintf(&b, "No answer: %s.\n", answer.Reason)
		if s.query.Spec != "" && !s.query.WholeTarget {
			b.WriteString("The spec ran alone; --whole_target runs it beside the others of its target, --load beside busy processes.\n")
		}
	case len(answer.Candidates) == 1:
		fmt.Fprintf(&b, "The first bad commit of %s is\n  %s\nthe one before it, %s, is good. That is right with a probability of at least %s.\n",
			s.name(), answer.Candidates[0], answer.Good, sequential.Percent(answer.Confidence))
	default:
		fmt.Fprintf(&b, "The first bad commit of %s is one of these, of which only the last could be tested:\n", s.name())
		for _, c := range answer.Candidates {
			fmt.Fprintf(&b, "  %s\n", c)
		}
		fmt.Fprintf(&b, "%s is good. That is right with a probability of at least %s.\n", answer.Good, sequential.Percent(answer.Confidence))
	}
	if s.state.Rate > 0 {
		b.WriteString(s.state.Method() + "\n")
	}
	fmt.Fprintf(&b, "%d runs in %v of testing.\n", runs, (time.Duration(took * float64(time.Second))).Round(time.Second))
	return b.String()
}

func (s *search) writeJSON(w io.Writer, answer bisect.Answer, known bool) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	document := struct {
		Query query         `json:"query"`
		State *bisect.State `json:"state"`
		// Candidates are nil where there is no answer.
		Candidates []bisect.Commit `json:"candidates"`
		Confidence float64         `json:"confidence"`
		Reason     string          `json:"reason,omitempty"`
	}{s.query, s.state, answer.Candidates, answer.Confidence, answer.Reason}
	if !known {
		document.Reason = "it was ended before there was an answer"
	}
	return e.Encode(document)
}

func (s *search) writeMarkdown(w io.Writer, text string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## Bisection\n\n```\n%s```\n\n| commit | failed | runs | decision |\n|---|---|---|---|\n", strings.ReplaceAll(text, "```", "` ` `"))
	for i, t := range s.state.Tallies {
		decision := string(t.Decision)
		if t.Untestable != "" {
			decision = "left out"
		}
		if t.Calls > 0 {
			fmt.Fprintf(&b, "| `%s` | %d | %d | %s |\n", s.state.Commits[i].Short(), t.Failures, t.Failures+t.Passes, decision)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
