package sample

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stormgate.internal/tools/flakes/internal/bazel"
	"stormgate.internal/tools/flakes/internal/fakebazel"
	"stormgate.internal/tools/report/runs"
)

func TestMain(m *testing.M) { fakebazel.Main(m) }

func workspace(t *testing.T, b fakebazel.Behaviour) (*fakebazel.Fake, *bazel.Workspace) {
	t.Helper()
	fake, dir := fakebazel.New(t), t.TempDir()
	fake.Behave(dir, b)
	return fake, &bazel.Workspace{Root: dir, Program: fake.Program, Name: "bazel"}
}

func keepNothing(int, *runs.Run) (string, error) { return "", nil }

var flaky = fakebazel.Behaviour{Targets: []fakebazel.Target{
	{Label: "//e2e:a_test", Specs: []fakebazel.Spec{{Name: "holds"}, {Name: "breaks at a seed", Seed: 43}}}, {Label: "//pkg:plain_test"},
}}

// Promise: each run has a seed and an order of its own, which its failure's command repeats.
func TestTake(t *testing.T) {
	fake, w := workspace(t, flaky)
	var progress bytes.Buffer
	plan := Plan{Targets: []string{"//..."}, Options: []string{"--jobs=2"}, Runs: 4, Seed: 41, Random: true, Places: []Place{Shared, Private}}
	s, err := Take(t.Context(), plan, w, keepNothing, &progress)
	if err != nil || !s.Failed() || len(s.Runs) != 4 || len(s.Failures) != 1 || s.Ended != "" {
		t.Fatalf("%+v, %v", s, err)
	}
	f := s.Failures[0]
	if f.Run != 3 || f.Seed != 43 || f.Spec != "breaks at a seed" || !f.Counted || f.Place != Shared ||
		f.Again != "bazel test //e2e:a_test --test_filter='^breaks at a seed$' --test_arg=-test.shuffle=43" {
		t.Errorf("%+v", f)
	}
	for i, call := range fake.Calls() {
		if slices.Contains(call.Arguments, privateOption) != (i%2 == 1) || !slices.Contains(call.Arguments, "--jobs=2") {
			t.Errorf("run %d: %q", i+1, call.Arguments)
		}
	}
	for _, part := range []string{
		"4 runs of //..., seeds from 41, random order, shared and private clusters\n", "run 3 of 4  seed 43  shared ", "2 passed, 1 FAILED\n", "//e2e:a_test breaks at a seed: the count is wrong\n", "=43\n",
	} {
		if !strings.Contains(progress.String(), part) {
			t.Errorf("progress lacks %q:\n%s", part, progress.String())
		}
	}
	rows := s.Rows()
	want := []Row{
		{Target: "//e2e:a_test", Spec: "breaks at a seed", Place: Shared, Runs: 2, Failures: 1, Flips: 1, PassRate: 0.5, FlipRate: 1, P50: 0.01, P95: 0.01, Strip: ".F"},
		{Target: "//e2e:a_test", Spec: "holds", Place: Shared, Runs: 2, PassRate: 1, P50: 0.01, P95: 0.01, Bound: 1, Strip: ".."},
		{Target: "//pkg:plain_test", Place: Shared, Runs: 2, PassRate: 1, P50: 0.01, P95: 0.01, Bound: 1, Strip: ".."},
	}
	want[0].Bound = rows[0].Bound
	if len(rows) != 6 || !slices.Equal(rows[:3], want) || rows[0].Bound < 0.9 || rows[3].Place != Private || rows[3].Failures != 0 {
		t.Errorf("rows %+v", rows)
	}
}

// Promise: without a random order the seed goes by Bazel's own variable, and without a seed
// nothing is changed.
func TestSeeds(t *testing.T) {
	if seed, place, options := (Plan{Seed: 7}).Run(3); seed != 9 || place != Shared || !slices.Equal(options, []string{"--test_env=TEST_RANDOM_SEED=9"}) {
		t.Errorf("%d, %s, %q", seed, place, options)
	}
	if seed, _, options := (Plan{}).Run(3); seed != 0 || len(options) > 0 {
		t.Errorf("%d, %q", seed, options)
	}
}

// Promise: all forms have the table, and the summary has commands and no Markdown of others.
func TestExports(t *testing.T) {
	_, w := workspace(t, fakebazel.Behaviour{Targets: []fakebazel.Target{{Label: "//e2e:a_test", Specs: []fakebazel.Spec{{Name: "a | b", Rate: 1, Message: "# no heading"}, {Name: "c"}}}}})
	s, err := Take(t.Context(), Plan{Targets: []string{"//..."}, Runs: 30, Load: 4}, w, keepNothing, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	var table, markdown, document bytes.Buffer
	if err := errors.Join(s.WriteTable(&table), s.WriteMarkdown(&markdown), s.WriteJSON(&document)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"   30     30      0 %     0.00     0.00    100 %  //e2e:a_test a | b  FFFF", "   30      0      0 %     0.01     0.01     10 %  //e2e:a_test c\n", "3/N"} {
		if !strings.Contains(table.String(), part) {
			t.Errorf("no %q in\n%s", part, table.String())
		}
	}
	for _, part := range []string{`| //e2e:a\_test a \| b | shared | 30 | 30 |`, "4 busy processes", "### Run 1: ", "bazel test //e2e:a_test --test_filter='^a \\| b$'", "\n\\# no heading\n"} {
		if !strings.Contains(markdown.String(), part) {
			t.Errorf("no %q in\n%s", part, markdown.String())
		}
	}
	var read struct {
		Load  int
		Runs  []struct{ Failed int }
		Specs []struct {
			Spec  string
			Bound float64
		}
	}
	if err := json.Unmarshal(document.Bytes(), &read); err != nil || read.Load != 4 || len(read.Runs) != 30 || read.Runs[0].Failed != 1 || len(read.Specs) != 2 || read.Specs[1].Bound != 0.1 {
		t.Errorf("%+v, %v", read, err)
	}
}

// Promise: many specs that never fail are counted, with the weakest bound.
func TestTableCounts(t *testing.T) {
	var target fakebazel.Target
	target.Label = "//e2e:a_test"
	for i := range shown + 4 {
		target.Specs = append(target.Specs, fakebazel.Spec{Name: "spec " + string(rune('a'+i))})
	}
	_, w := workspace(t, fakebazel.Behaviour{Targets: []fakebazel.Target{target}})
	s, err := Take(t.Context(), Plan{Targets: []string{"//..."}, Runs: 6}, w, keepNothing, &bytes.Buffer{})
	var table bytes.Buffer
	if err := errors.Join(err, s.WriteTable(&table)); err != nil || !strings.Contains(table.String(), "and 4 more that never failed (each at most 50 %)") {
		t.Errorf("%v\n%s", err, table.String())
	}
}

// Promise: what the infrastructure or a changed environment did is not held against a spec,
// and runs that say nothing at all end the sample.
func TestNotCounted(t *testing.T) {
	_, w := workspace(t, fakebazel.Behaviour{Targets: []fakebazel.Target{{Label: "//e2e:a_test", Specs: []fakebazel.Spec{{Name: "one", Rate: 1, Kind: "infrastructure"}}}}})
	var progress bytes.Buffer
	s, err := Take(t.Context(), Plan{Targets: []string{"//..."}, Runs: 30}, w, keepNothing, &progress)
	if err == nil || !strings.Contains(err.Error(), "5 runs in a row said nothing") || len(s.Runs) != 5 || s.Failed() {
		t.Fatalf("%+v, %v", s, err)
	}
	if rows := s.Rows(); len(rows) != 1 || rows[0].Runs != 0 || rows[0].Strip != "iiiii" {
		t.Errorf("%+v", rows)
	}
	if !strings.Contains(progress.String(), "0 passed, 1 not counted (1 shard: the infrastructure failed") {
		t.Error(progress.String())
	}
}

// Promise: a run that is none ends the sample, with the reason.
func TestTakeFails(t *testing.T) {
	for want, b := range map[string]fakebazel.Behaviour{
		"run 1: it does not build:\nERROR: //a does not compile": {Broken: "//a does not compile"},
		"run 1: bazel test ended with 37:\nFATAL":                {Exit: 37},
		"run 1: no test was found":                               {},
		"run 1: 1 of 1 shards came from a cache":                 {Cached: true, Targets: []fakebazel.Target{{Label: "//e2e:a_test"}}},
	} {
		_, w := workspace(t, b)
		s, err := Take(t.Context(), Plan{Targets: []string{"//..."}, Runs: 2}, w, keepNothing, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), want) || s.Ended == "" || len(s.Runs) > 0 {
			t.Errorf("want %q: %v", want, err)
		}
	}
	_, w := workspace(t, flaky)
	full := errors.New("disk full")
	if _, err := Take(t.Context(), Plan{Targets: []string{"//..."}, Runs: 2}, w, func(int, *runs.Run) (string, error) { return "", full }, &bytes.Buffer{}); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

// Promise: an interruption keeps what is known, the run in which it came included.
func TestInterrupted(t *testing.T) {
	fake, w := workspace(t, flaky)
	ctx, cancel := context.WithCancel(t.Context())
	keep := func(number int, _ *runs.Run) (string, error) {
		if number == 2 { // from here on a run only ends by a signal
			hangs := flaky
			hangs.Hang = true
			fake.Behave(w.Root, hangs)
			go func() {
				fake.Hangs()
				cancel()
			}()
		}
		return "", nil
	}
	s, err := Take(ctx, Plan{Targets: []string{"//..."}, Runs: 30}, w, keep, &bytes.Buffer{})
	if err != nil || len(s.Runs) != 3 || s.Ended != "interrupted" || s.Runs[2].Counted != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	if rows := s.Rows(); len(rows) != 3 || rows[0].Runs != 3 {
		t.Errorf("%+v", rows)
	}
}

// Promise: a time limit ends after the run in which it comes.
func TestFor(t *testing.T) {
	_, w := workspace(t, flaky)
	s, err := Take(t.Context(), Plan{Targets: []string{"//..."}, For: time.Nanosecond, Runs: 9}, w, keepNothing, &bytes.Buffer{})
	if err != nil || len(s.Runs) > 1 {
		t.Errorf("%d runs, %v", len(s.Runs), err)
	}
}

// Promise: each run has a record as report keeps them, and each one that failed a page.
func TestKeepRecord(t *testing.T) {
	_, w := workspace(t, flaky)
	history, pages := t.TempDir(), t.TempDir()
	keep := KeepRecord(history, func(number int, r *runs.Run) (string, error) {
		name := filepath.Join(pages, "page.html")
		file, err := os.Create(name)
		if err != nil {
			return "", err
		}
		return name, errors.Join(runs.WritePage(file, r), file.Close())
	})
	s, err := Take(t.Context(), Plan{Targets: []string{"//..."}, Runs: 2, Seed: 42, Random: true}, w, keep, &bytes.Buffer{})
	if err != nil || s.Runs[0].Page != "" || s.Runs[1].Page != filepath.Join(pages, "page.html") {
		t.Fatalf("%+v, %v", s, err)
	}
	kept, err := os.ReadDir(history)
	if err != nil || len(kept) != 2 {
		t.Errorf("%v, %v", kept, err)
	}
	content, err := os.ReadFile(filepath.Join(history, kept[1].Name()))
	if err != nil || !strings.Contains(string(content), "-test.shuffle=43") {
		t.Errorf("the record has no seed: %v, %s", err, content)
	}
}
