package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stormgate.internal/tools/flakes/internal/bazel"
	"stormgate.internal/tools/flakes/internal/busy"
	"stormgate.internal/tools/flakes/internal/sample"
	"stormgate.internal/tools/internal/outfile"
	"stormgate.internal/tools/report/runs"
)

const (
	// defaultRuns prove that a spec which never fails does so in at most 10 % of runs.
	defaultRuns = 30
	// defaultPages is where pages of runs that failed go, in the workspace, whose git
	// ignores bazel-*.
	defaultPages = "bazel-flakes"
	// nothing as the name of a folder says that nothing is kept.
	nothing = "none"
)

// Exit codes beside 0, 1 (it can't be done) and 2 (wrong command line).
const (
	exitFlaky       = 3   // a spec failed, or a bisection has no answer
	exitInterrupted = 130 // as of a program that SIGINT ended
)

type flags struct {
	workspace, bazel string
	options          []string
	runs             int
	limit            time.Duration
	load             int
	seed             int64
	random           bool
	shared, private  bool
	history, pages   string
	json, markdown   string

	bisect                    bool
	good, bad, spec, message  string
	wholeTarget, afresh       bool
	goodRate, rate, mostError float64
	failures, mostRuns        int
	atOnce                    int
	dir                       string
}

// usageError is a wrong command line.
type usageError struct{ error }

// endError is an end that has been told of, with an exit code of its own.
type endError struct{ code int }

var _ error = (*endError)(nil)

// Error is for whoever calls the command as a function.
func (e *endError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func command(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "flakes [flags] TARGETS...",
		Short: "How often tests fail that fail now and then, and since which commit",
		Long: `Runs the targets again and again, and prints how often each of their specs failed, and
which rate of failures so many runs exclude. With --bisect it finds the first commit at
which a spec of one target fails now and then.

Exit code 0: no spec failed; the first bad commit was found. 1: it can't be done. 2: wrong
command line. 3: a spec failed; the commit was not found. 130: interrupted. All but 2 come
after what is known until then is printed.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return &usageError{err}
			}
			return f.execute(cmd.Context(), stdout, stderr, args)
		},
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	p := cmd.Flags()
	p.StringVar(&f.workspace, "workspace", "", "the workspace (default: $BUILD_WORKSPACE_DIRECTORY, else the current folder)")
	p.StringVar(&f.bazel, "bazel", "", "the program that is run as Bazel (default: tools/bazel of the workspace, else bazelisk or bazel)")
	p.StringArrayVar(&f.options, "bazel_option", nil, "an option for each bazel test; repeatable")
	p.IntVar(&f.runs, "runs", 0, fmt.Sprintf("how often (default: %d, or with --for no limit)", defaultRuns))
	p.DurationVar(&f.limit, "for", 0, "how long to begin new runs, such as 8h; of --bisect, when it ends")
	p.IntVar(&f.load, "load", 0, "busy processes beside the tests")
	p.Int64Var(&f.seed, "seed", 0, "seed of the first run; each has the next number (default: with --random one that is drawn, else the seed is left alone)")
	p.BoolVar(&f.random, "random", false, "run specs, and Go tests, in a random order")
	p.BoolVar(&f.shared, "shared", false, "on the shared cluster (the default); with --private on both, in turns")
	p.BoolVar(&f.private, "private", false, "with a private cluster for each shard")
	p.StringVar(&f.history, "history", "", "folder of records, as report's --history; 'none' keeps none (default: stormgate/history in the user's cache)")
	p.StringVar(&f.pages, "pages", "", "folder for a page of each run that failed; 'none' for none (default: "+defaultPages+" in the workspace)")
	p.StringVar(&f.json, "json", "", "also write all as JSON to this file; '-' is standard output")
	p.StringVar(&f.markdown, "markdown", "", "also write a summary in Markdown")
	p.BoolVar(&f.bisect, "bisect", false, "find the first commit at which the spec fails now and then")
	p.StringVar(&f.good, "good", "", "bisect: a revision at which it does not fail")
	p.StringVar(&f.bad, "bad", "HEAD", "bisect: a revision at which it does")
	p.StringVar(&f.spec, "spec", "", "bisect: the full text of the spec, or the name of the Go test (default: any failure of the target)")
	p.StringVar(&f.message, "message", "", "bisect: regular expression for the failures that count (default: all)")
	p.BoolVar(&f.wholeTarget, "whole_target", false, "bisect: run all specs of the target, not the one alone")
	p.Float64Var(&f.goodRate, "good_rate", 0, "bisect: rate of failures, from 0 to 1, that a good commit may have")
	p.Float64Var(&f.rate, "rate", 0, "bisect: rate of failures that a bad commit has at least (default: measured at --bad)")
	p.Float64Var(&f.mostError, "error", 0.05, "bisect: the largest probability of a wrong answer")
	p.IntVar(&f.failures, "failures", 10, "bisect: failures that the measurement at --bad waits for")
	p.IntVar(&f.mostRuns, "most_runs", 1000, "bisect: runs after which that gives up")
	p.IntVar(&f.atOnce, "at_once", 32, "bisect: the most runs in one bazel test; with --random it is 1")
	p.BoolVar(&f.afresh, "afresh", false, "bisect: forget what an earlier one of the same kind found out")
	p.StringVar(&f.dir, "dir", "", "bisect: folder for what it knows and its work tree (default: stormgate/flakes in the user's cache)")
	return cmd
}

// check says what is wrong with the command line.
func (f *flags) check(cmd *cobra.Command, targets []string) error {
	if len(targets) == 0 {
		return errors.New("name the targets to run, such as //e2e/...")
	}
	for _, t := range targets {
		if t := strings.TrimPrefix(t, "-"); !strings.HasPrefix(t, "//") && !strings.HasPrefix(t, "@") {
			return fmt.Errorf("%s: write it from the top of the workspace on, as //package:target", t)
		}
	}
	switch {
	case f.runs < 0 || f.limit < 0 || f.load < 0:
		return errors.New("--runs, --for and --load can't be negative")
	case f.load > 1000:
		return fmt.Errorf("--load=%d: at most 1000", f.load)
	case f.seed < 0 || f.seed > sample.MaxSeed:
		return fmt.Errorf("--seed=%d: it has to be from 1 to %d", f.seed, sample.MaxSeed)
	case f.bisect && f.shared && f.private:
		return errors.New("--bisect needs one kind of cluster: --shared or --private")
	case f.bisect && f.seed != 0 && !f.random:
		return errors.New("--seed has an effect with --bisect only if --random is there too")
	}
	of := map[bool][]string{
		true:  {"good", "bad", "spec", "message", "whole_target", "good_rate", "rate", "error", "failures", "most_runs", "at_once", "afresh", "dir"},
		false: {"runs", "history", "pages"},
	}
	for _, name := range of[!f.bisect] {
		if cmd.Flags().Changed(name) {
			if f.bisect {
				return fmt.Errorf("--%s has no effect with --bisect", name)
			}
			return fmt.Errorf("--%s has an effect with --bisect only", name)
		}
	}
	if f.bisect {
		return f.checkBisect(targets)
	}
	return nil
}

func (f *flags) checkBisect(targets []string) error {
	if len(targets) != 1 || strings.HasPrefix(targets[0], "-") || strings.HasSuffix(targets[0], "...") || strings.HasSuffix(targets[0], ":all") || strings.Contains(targets[0], "*") {
		return errors.New("--bisect needs one target, not several and no pattern")
	}
	if f.good == "" {
		return errors.New("--bisect needs --good, a revision at which the spec does not fail")
	}
	if _, err := regexp.Compile(f.message); err != nil {
		return fmt.Errorf("--message: %w", err)
	}
	return f.statistics().Validate()
}

func (f *flags) execute(ctx context.Context, stdout, stderr io.Writer, targets []string) (err error) {
	if f.workspace == "" {
		f.workspace = os.Getenv("BUILD_WORKSPACE_DIRECTORY")
	}
	if f.workspace, err = filepath.Abs(outfile.Place(f.workspace)); err != nil {
		return err
	}
	if f.random && f.seed == 0 {
		f.seed = 1 + rand.Int64N(999_999)
	}
	if f.load > 0 {
		load, err := busy.Start(f.load)
		if err != nil {
			return err
		}
		defer func() {
			if stopped := load.Stop(); stopped != nil {
				fmt.Fprintln(stderr, "flakes:", stopped)
			}
		}()
	}
	if f.bisect {
		return f.executeBisect(ctx, stdout, stderr, label(targets[0]))
	}
	return f.executeSample(ctx, stdout, stderr, targets)
}

// program is what is run as Bazel in a workspace, and how a person calls it there.
func (f *flags) program(root string) (program, name string, err error) {
	if strings.Contains(f.bazel, "/") {
		return outfile.Place(f.bazel), f.bazel, nil
	}
	if f.bazel != "" {
		return f.bazel, f.bazel, nil // on PATH
	}
	return bazel.Find(root)
}

// places are where the tests run.
func (f *flags) places() []sample.Place {
	switch {
	case f.shared && f.private:
		return []sample.Place{sample.Shared, sample.Private}
	case f.private:
		return []sample.Place{sample.Private}
	}
	return []sample.Place{sample.Shared}
}

func (f *flags) executeSample(ctx context.Context, stdout, stderr io.Writer, targets []string) error {
	program, name, err := f.program(f.workspace)
	if err != nil {
		return err
	}
	history, err := f.cacheFolder(f.history, "history")
	if err != nil {
		return err
	}
	plan := sample.Plan{
		Targets: targets, Options: f.options, Runs: f.runs, For: f.limit, Places: f.places(), Seed: f.seed, Random: f.random, Load: f.load,
	}
	if plan.Runs == 0 && plan.For == 0 {
		plan.Runs = defaultRuns
	}
	w := &bazel.Workspace{Root: f.workspace, Program: program, Name: name, Waiting: waiting(stderr)}
	taken, failed := sample.Take(ctx, plan, w, sample.KeepRecord(history, f.pageWriter()), stderr)
	said := stdout
	if f.json == "-" || f.markdown == "-" {
		said = stderr // one document alone
	}
	err = errors.Join(taken.WriteTable(said), f.export(stdout, taken.WriteJSON, taken.WriteMarkdown))
	if failed != nil || err != nil {
		return errors.Join(failed, err)
	}
	switch {
	case taken.Ended != "": // not by an error, which has been returned
		fmt.Fprintln(stderr, "flakes: interrupted; the table has what was known until then")
		return &endError{exitInterrupted}
	case taken.Failed():
		return &endError{exitFlaky}
	}
	return nil
}

// waiting tells that a run lasts.
func waiting(w io.Writer) func(time.Duration, string) {
	return func(since time.Duration, line string) {
		fmt.Fprintf(w, "    %v so far: %s\n", since.Round(time.Second), line)
	}
}

// cacheFolder is a folder that was named, or the default in the user's cache; empty for
// "none".
func (f *flags) cacheFolder(named, name string) (string, error) {
	switch named {
	case nothing:
		return "", nil
	case "":
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("%w: name a folder by --history, or with --bisect by --dir", err)
		}
		return filepath.Join(cache, "stormgate", name), nil
	}
	return outfile.Place(named), nil
}

// pageWriter draws the page of a run that failed.
func (f *flags) pageWriter() func(int, *runs.Run) (string, error) {
	if f.pages == nothing {
		return nil
	}
	folder := filepath.Join(f.workspace, defaultPages)
	if f.pages != "" {
		folder = outfile.Place(f.pages)
	}
	return func(number int, r *runs.Run) (string, error) {
		var html bytes.Buffer
		if err := runs.WritePage(&html, r); err != nil {
			return "", err
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", err
		}
		name := filepath.Join(folder, fmt.Sprintf("%s-run-%04d.html", r.Started.UTC().Format("20060102T150405"), number))
		return name, outfile.Replace(name, html.Bytes())
	}
}

// export writes the forms that were asked for.
func (f *flags) export(stdout io.Writer, asJSON, asMarkdown func(io.Writer) error) error {
	for _, e := range []struct {
		file  string
		write func(io.Writer) error
	}{{f.json, asJSON}, {f.markdown, asMarkdown}} {
		if e.file == "" {
			continue
		}
		var out bytes.Buffer
		if err := e.write(&out); err != nil {
			return err
		}
		if e.file == "-" {
			if _, err := stdout.Write(out.Bytes()); err != nil {
				return err
			}
			continue
		}
		if err := outfile.Replace(outfile.Place(e.file), out.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
