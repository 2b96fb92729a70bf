// Package sample runs tests again and again, and keeps count of what their specs do.
package sample

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"stormgate.internal/tools/flakes/internal/bazel"
	"stormgate.internal/tools/flakes/internal/outcome"
	"stormgate.internal/tools/report/runs"
)

// Place is which cluster the tests have.
type Place string

// The places.
const (
	Shared  Place = "shared"
	Private Place = "private"
)

// privateOption has each shard boot a cluster of its own, from the same action keys.
const privateOption = "--strategy=ClusterUp=sandboxed"

// Plan is what to run.
type Plan struct {
	Targets []string
	// Options are Bazel's, for each run.
	Options []string
	// Runs is how many; 0 for no limit.
	Runs int
	// For is how long to begin new runs; 0 for no limit.
	For time.Duration
	// Places are taken in turns; default Shared.
	Places []Place
	// Seed is that of the first run, and each has the next number; 0 leaves seeds alone.
	Seed int64
	// Random has specs, and Go tests, run in a random order by that seed.
	Random bool
	// Load is the number of busy processes, for what is printed.
	Load int
}

// MaxSeed is the largest that a Plan may begin with, so that Bazel's variable can hold all.
const MaxSeed = math.MaxInt32 - 1_000_000

// Run is one of the plan's, number counting from 1: its seed, its place, and Bazel's options
// for it.
func (p Plan) Run(number int) (seed int64, place Place, options []string) {
	place = Shared
	if len(p.Places) > 0 {
		place = p.Places[(number-1)%len(p.Places)]
	}
	options = slices.Clone(p.Options)
	if place == Private {
		options = append(options, privateOption)
	}
	if p.Seed != 0 {
		seed = p.Seed + int64(number-1)
		if p.Random {
			// Of Ginkgo suites it is order and seed, of Go tests the order.
			options = append(options, fmt.Sprintf("--test_arg=-test.shuffle=%d", seed))
		} else {
			options = append(options, fmt.Sprintf("--test_env=TEST_RANDOM_SEED=%d", seed))
		}
	}
	return seed, place, options
}

// describe says what the plan is, in a line.
func (p Plan) describe() string {
	var parts []string
	switch {
	case p.Runs > 0 && p.For > 0:
		parts = append(parts, fmt.Sprintf("%d runs, or as many as begin within %v", p.Runs, p.For))
	case p.For > 0:
		parts = append(parts, fmt.Sprintf("runs for %v", p.For))
	default:
		parts = append(parts, fmt.Sprintf("%d runs", p.Runs))
	}
	parts[0] += " of " + strings.Join(p.Targets, " ")
	if p.Seed != 0 {
		parts = append(parts, fmt.Sprintf("seeds from %d", p.Seed))
	}
	if p.Random {
		parts = append(parts, "random order")
	}
	if p.Load > 0 {
		parts = append(parts, fmt.Sprintf("%d busy processes", p.Load))
	}
	if len(p.Places) > 0 {
		var names []string
		for _, place := range p.Places {
			names = append(names, string(place))
		}
		parts = append(parts, strings.Join(names, " and ")+" clusters")
	}
	return strings.Join(parts, ", ")
}

// Sample is what came of a plan.
type Sample struct {
	Plan    Plan      `json:"-"`
	Targets []string  `json:"targets"`
	Options []string  `json:"options,omitempty"`
	Load    int       `json:"load"`
	Random  bool      `json:"random"`
	Started time.Time `json:"started"`
	// Seconds is how long all took.
	Seconds  float64   `json:"seconds"`
	Runs     []Run     `json:"runs"`
	Failures []Failure `json:"failures"`
	// Ended says why there are fewer runs than planned; empty if there are not.
	Ended string `json:"ended,omitempty"`
}

// Run is one of a sample.
type Run struct {
	Number     int          `json:"number"`
	Invocation string       `json:"invocation"`
	Seed       int64        `json:"seed,omitempty"`
	Place      Place        `json:"place"`
	Seconds    float64      `json:"seconds"`
	Verdict    runs.Verdict `json:"verdict"`
	Headline   string       `json:"headline"`
	// Counted is how many executions of specs, or of tests without specs, say something;
	// Failed is how many of them failed.
	Counted int `json:"counted"`
	Failed  int `json:"failed"`
	// Uncounted is how many were ended by something else.
	Uncounted int `json:"uncounted"`
	// Page has all of this run, where it was kept.
	Page string `json:"page,omitempty"`

	record runs.Record
}

// Failure is of one spec in one run.
type Failure struct {
	Run     int          `json:"run"`
	Seed    int64        `json:"seed,omitempty"`
	Place   Place        `json:"place"`
	Target  string       `json:"target"`
	Spec    string       `json:"spec,omitempty"`
	Verdict runs.Verdict `json:"verdict"`
	// Counted says that it is held against the spec.
	Counted bool   `json:"counted"`
	At      string `json:"at,omitempty"`
	Message string `json:"message"`
	// Again is the command that runs it again, with its seed.
	Again string `json:"again"`
}

// Tester runs tests.
type Tester interface {
	Test(ctx context.Context, r bazel.Request) (*bazel.Result, error)
}

// Keeper keeps a run while the files that its tests left are there: the next run writes
// over them. It returns the page that it wrote, or an empty name.
type Keeper func(number int, r *runs.Run) (page string, err error)

// fruitless is how many runs in a row may say nothing of any spec.
const fruitless = 5

// Take carries the plan out, and writes a line for each run. What was seen until then is
// returned with any error; the end of ctx is none, but Sample.Ended says it.
func Take(ctx context.Context, plan Plan, tester Tester, keep Keeper, progress io.Writer) (*Sample, error) {
	s := &Sample{Plan: plan, Targets: plan.Targets, Options: plan.Options, Load: plan.Load, Random: plan.Random, Started: time.Now().UTC()}
	defer func() { s.Seconds = time.Since(s.Started).Seconds() }()
	fmt.Fprintln(progress, plan.describe())
	empty := 0
	for number := 1; plan.Runs == 0 || number <= plan.Runs; number++ {
		if plan.For > 0 && time.Since(s.Started) >= plan.For {
			break
		}
		if ctx.Err() != nil {
			s.Ended = "interrupted"
			break
		}
		seed, place, options := plan.Run(number)
		result, err := tester.Test(ctx, bazel.Request{Targets: plan.Targets, Options: options, Runs: 1})
		if err != nil && ctx.Err() != nil {
			s.Ended = "interrupted"
			break
		}
		if err == nil {
			err = usable(ctx, result)
		}
		if err != nil {
			s.Ended = err.Error()
			return s, fmt.Errorf("run %d: %w", number, err)
		}
		if result.Run == nil { // interrupted before anything was known
			s.Ended = "interrupted"
			break
		}
		run := s.add(number, seed, place, result)
		if run.Page, err = keep(number, result.Run); err != nil {
			s.Ended = err.Error()
			return s, fmt.Errorf("run %d: %w", number, err)
		}
		s.tell(progress, run)
		if run.Counted > 0 {
			empty = 0
			continue
		}
		if empty++; empty == fruitless && ctx.Err() == nil {
			err := fmt.Errorf("%d runs in a row said nothing of any spec, the last one: %s", fruitless, run.Headline)
			s.Ended = err.Error()
			return s, fmt.Errorf("run %d: %w", number, err)
		}
	}
	if ctx.Err() != nil {
		s.Ended = "interrupted"
	}
	return s, nil
}

// usable says why a run is none.
func usable(ctx context.Context, result *bazel.Result) error {
	tail := strings.Join(result.Output, "\n")
	switch {
	case ctx.Err() != nil:
		return nil
	case result.Exit == bazel.ExitBuildFailed:
		return fmt.Errorf("it does not build:\n%s", tail)
	case result.Exit == bazel.ExitNoTests || result.Run != nil && len(result.Run.Shards) == 0:
		return fmt.Errorf("no test was found:\n%s", tail)
	case result.Exit != bazel.ExitPassed && result.Exit != bazel.ExitTestsFailed || result.Run == nil:
		return fmt.Errorf("bazel test ended with %d:\n%s", result.Exit, tail)
	case result.Run.Counts.Cached > 0:
		return fmt.Errorf("%d of %d shards came from a cache although none was to: such a run repeats nothing", result.Run.Counts.Cached, result.Run.Counts.Shards)
	}
	return nil
}

// add takes a run in.
func (s *Sample) add(number int, seed int64, place Place, result *bazel.Result) *Run {
	r := result.Run
	run := Run{
		Number: number, Invocation: r.Invocation, Seed: seed, Place: place, Seconds: result.Elapsed.Seconds(), Verdict: r.Verdict, Headline: r.Headline,
		record: outcome.Record(r),
	}
	for _, spec := range run.record.Specs {
		switch verdict := runs.Verdict(spec.Verdict); {
		case !outcome.Counts(verdict):
			run.Uncounted++
		case verdict != runs.Passed:
			run.Failed++
			run.Counted++
		default:
			run.Counted++
		}
	}
	for _, f := range r.Failures {
		failure := Failure{
			Run: number, Seed: seed, Place: place, Target: f.Shard.Target, Verdict: f.Case.Verdict,
			At: f.Place, Message: strings.TrimSpace(f.First), Again: f.Rerun,
		}
		if f.Case.Spec {
			failure.Spec = f.Case.Name
		}
		failure.Counted = slices.ContainsFunc(run.record.Specs, func(spec runs.Spec) bool {
			return spec.Target == failure.Target && spec.Name == failure.Spec && spec.Verdict != string(runs.Passed) && outcome.Counts(runs.Verdict(spec.Verdict))
		})
		s.Failures = append(s.Failures, failure)
	}
	s.Runs = append(s.Runs, run)
	return &s.Runs[len(s.Runs)-1]
}

// tell writes a line for a run, and three for each of its failures.
func (s *Sample) tell(w io.Writer, r *Run) {
	line := fmt.Sprintf("run %d", r.Number)
	if s.Plan.Runs > 0 {
		line += fmt.Sprintf(" of %d", s.Plan.Runs)
	}
	if r.Seed != 0 {
		line += fmt.Sprintf("  seed %d", r.Seed)
	}
	if len(s.Plan.Places) > 1 {
		line += "  " + string(r.Place)
	}
	line += fmt.Sprintf("  %.1f s  %d passed", r.Seconds, r.Counted-r.Failed)
	if r.Failed > 0 {
		line += fmt.Sprintf(", %d FAILED", r.Failed)
	}
	if r.Uncounted > 0 || r.Verdict.Bad() && r.Failed == 0 {
		line += fmt.Sprintf(", %d not counted (%s)", r.Uncounted, r.Headline)
	}
	fmt.Fprintln(w, line)
	for _, f := range s.Failures {
		if f.Run != r.Number || !f.Counted {
			continue
		}
		fmt.Fprintf(w, "    %s: %s\n    %s\n", name(f.Target, f.Spec), cut(f.Message, 160), f.Again)
	}
	if r.Page != "" {
		fmt.Fprintf(w, "    %s\n", r.Page)
	}
}

// name is a row's for people.
func name(target, spec string) string {
	if spec == outcome.Whole {
		return target
	}
	return target + " " + spec
}

// cut returns at most so many runes of the first line.
func cut(text string, limit int) string {
	text, _, _ = strings.Cut(text, "\n")
	if letters := []rune(text); len(letters) > limit {
		return string(letters[:limit-1]) + "…"
	}
	return text
}

// Failed says that a failure is held against a spec.
func (s *Sample) Failed() bool {
	return slices.ContainsFunc(s.Runs, func(r Run) bool { return r.Failed > 0 })
}

// KeepRecord adds the run to a folder of records, as report's --history does, and draws a
// page of it where it did not pass. Either folder may be empty: then that is left out.
func KeepRecord(history string, page func(number int, r *runs.Run) (string, error)) Keeper {
	return func(number int, r *runs.Run) (name string, err error) {
		if history != "" {
			if err := runs.Save(history, runs.RecordOf(r)); err != nil {
				return "", err
			}
		}
		if page == nil || !r.Verdict.Bad() || r.Verdict == runs.Interrupted {
			return "", nil
		}
		if name, err = page(number, r); err != nil {
			return "", fmt.Errorf("draw the page of a run that failed: %w", err)
		}
		return name, nil
	}
}
