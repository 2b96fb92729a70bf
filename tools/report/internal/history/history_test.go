package history

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stormgate.internal/tools/report/internal/run"
	"stormgate.internal/tools/report/internal/runtest"
)

// Promise: what is kept of a run comes back, the oldest first, and a file that is no record
// is named.
func TestSave(t *testing.T) {
	r, err := run.Load(runtest.Write(t, t.TempDir(), nil), run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "history")
	if records, problems, err := Load(folder, 10); len(records)+len(problems) > 0 || err != nil {
		t.Errorf("before the first: %v, %v, %v", records, problems, err)
	}
	later := Of(r)
	earlier := later
	earlier.Invocation, earlier.Started = "../x", later.Started.Add(-time.Hour)
	for _, record := range []Record{later, earlier, later} {
		if err := Save(folder, record); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "0.json"), []byte(`{"version":99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	records, problems, err := Load(folder, 10)
	if err != nil || len(records) != 2 || records[0].Invocation != "../x" || len(problems) != 1 || !strings.Contains(problems[0], "version 99") {
		t.Errorf("%+v, %q, %v", records, problems, err)
	}
	if before := Before(records, later); before == nil || before.Invocation != "../x" {
		t.Errorf("before: %+v", before)
	}
	if before := Before(records, earlier); before != nil {
		t.Errorf("before the first: %+v", before)
	}
	if newest, _, _ := Load(folder, 1); len(newest) != 1 || newest[0].Invocation != later.Invocation {
		t.Errorf("newest: %+v", newest)
	}
}

// Promise: a cached result is no execution.
func TestOf(t *testing.T) {
	r, err := run.Load(runtest.Write(t, t.TempDir(), nil), run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	record := Of(r)
	if slices.ContainsFunc(record.Specs, func(s Spec) bool { return s.Target == "//e2e:cached_test" }) {
		t.Errorf("specs: %+v", record.Specs)
	}
	if !slices.ContainsFunc(record.Shards, func(s Shard) bool { return s.Target == "//e2e:cached_test" && s.Cached }) {
		t.Errorf("shards: %+v", record.Shards)
	}
}

func records(results string) []Record {
	var all []Record
	for i, letter := range results {
		r := Record{Seconds: float64(i + 1)}
		verdict := map[rune]string{'p': "passed", 'f': "product", 'i': "infrastructure"}[letter]
		if verdict != "" {
			r.Specs = []Spec{{"//a:b", "spec", verdict, float64(i)}}
		}
		all = append(all, r)
	}
	return all
}

// Promise: rates count executions that say something of the spec, and nothing else.
func TestStrips(t *testing.T) {
	for results, want := range map[string]Strip{
		"pppp":   {Runs: 4, PassRate: 1, P50: 1, P95: 3, Bound: 0.75},
		"pfpf":   {Runs: 4, Failures: 2, Flips: 3, PassRate: 0.5, FlipRate: 1, P50: 0, P95: 2},
		"p.ip":   {Runs: 2, PassRate: 1, P50: 0, P95: 3, Bound: 1},
		"pppfff": {Runs: 6, Failures: 3, Flips: 1, PassRate: 0.5, FlipRate: 0.2, P50: 1, P95: 2},
		"i":      {},
	} {
		strips := Strips(records(results))
		if len(strips) != 1 {
			t.Fatalf("%s: %+v", results, strips)
		}
		got := strips[0]
		if got.Runs != want.Runs || got.Failures != want.Failures || got.Flips != want.Flips || got.PassRate != want.PassRate || got.FlipRate != want.FlipRate ||
			got.P50 != want.P50 || got.P95 != want.P95 || want.Bound > 0 && got.Bound != want.Bound {
			t.Errorf("%s: %+v", results, got)
		}
	}
}

// Promise: what broke, or was mended, is not called flaky.
func TestFlaky(t *testing.T) {
	for results, want := range map[string]bool{
		"pppp": false, "ffff": false, "pppf": false, "pppfff": false, "fffpp": false, "ppfip": true, "pfffp": true, "fpf": true, "pipp": false,
	} {
		if got := Strips(records(results))[0].Flaky(); got != want {
			t.Errorf("%s: flaky is %v", results, got)
		}
	}
}

// Promise: the bound is the rule of three without a failure, and Clopper's and Pearson's with
// some (values of their table, one-sided 95 %).
func TestBound(t *testing.T) {
	for _, test := range []struct {
		k, n int
		want float64
	}{{0, 30, 0.1}, {0, 2, 1}, {1, 10, 0.3942}, {5, 20, 0.4556}, {10, 10, 1}, {0, 0, 1}, {3, 1000, 0.00773}} {
		if got := Bound(test.k, test.n); math.Abs(got-test.want) > 0.0001 {
			t.Errorf("%d of %d: %.5f, want %.5f", test.k, test.n, got, test.want)
		}
	}
}

// Promise: a run without a boot leaves a gap, not a zero.
func TestTrends(t *testing.T) {
	all := records("ppp")
	all[1].Boots = []float64{2, 4, 3}
	trends := Trends(all)
	if !slices.Equal(trends[0].Values, []float64{1, 2, 3}) || trends[0].P50 != 2 || !slices.Equal(trends[1].Values, []float64{-1, 3, -1}) {
		t.Errorf("%+v", trends)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"shards":[{"target":"//a:b"}],"specs":[{"verdict":"passed"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		for _, s := range Strips([]Record{r, r}) {
			if s.Bound < 0 || s.Bound > 1 || s.Failures > s.Runs {
				t.Errorf("%+v", s)
			}
		}
	})
}
