package history

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"stormgate.internal/tools/report/internal/run"
)

// Strip is a spec over all runs.
type Strip struct {
	Target, Name string
	// Results has an entry for each run, the oldest first: the verdict, or empty where the
	// spec did not run. A spec that ran more than once in a run has its worst there.
	Results []string
	// Runs counts executions, Failures those that failed, Flips how often a result was
	// another than the one before.
	Runs, Failures, Flips int
	// PassRate and FlipRate are between 0 and 1.
	PassRate, FlipRate float64
	// P50 and P95 are seconds of executions that passed; 0 if none did.
	P50, P95 float64
	// Bound is the highest rate of failures that is compatible with what was seen, at 95 %
	// confidence: 3/N where N runs had no failure.
	Bound float64
}

// Flaky reports whether it went from one result to the other and back. With a single flip it
// broke, or was mended.
func (s Strip) Flaky() bool { return s.Flips > 1 }

// Trend is a measure over runs.
type Trend struct {
	Name string
	// Values has an entry for each run, the oldest first; -1 where there is none.
	Values   []float64
	P50, P95 float64
}

// counted are the verdicts that say something of a spec: what the infrastructure or a
// changed environment did is no execution of it.
func counted(verdict string) bool {
	switch run.Verdict(verdict) {
	case run.Passed, run.Product, run.Test:
		return true
	}
	return false
}

// Strips are those of all specs of the records: flaky ones first, then by rate of failure.
func Strips(records []Record) []Strip {
	type key struct{ target, name string }
	by := map[key]*Strip{}
	times := map[key][]float64{}
	last := map[key]string{}
	for i, r := range records {
		for _, spec := range r.Specs {
			k := key{spec.Target, spec.Name}
			s := by[k]
			if s == nil {
				s = &Strip{Target: spec.Target, Name: spec.Name, Results: make([]string, len(records))}
				by[k] = s
			}
			if now := s.Results[i]; now == "" || now == string(run.Passed) {
				s.Results[i] = spec.Verdict
			}
			if !counted(spec.Verdict) {
				continue
			}
			s.Runs++
			result := "failed"
			if spec.Verdict == string(run.Passed) {
				result = "passed"
				times[k] = append(times[k], spec.Seconds)
			} else {
				s.Failures++
			}
			if last[k] != "" && last[k] != result {
				s.Flips++
			}
			last[k] = result
		}
	}
	strips := make([]Strip, 0, len(by))
	for k, s := range by {
		if s.Runs > 0 {
			s.PassRate = float64(s.Runs-s.Failures) / float64(s.Runs)
			s.Bound = Bound(s.Failures, s.Runs)
		}
		if s.Runs > 1 {
			s.FlipRate = float64(s.Flips) / float64(s.Runs-1)
		}
		s.P50, s.P95 = Percentile(times[k], 0.5), Percentile(times[k], 0.95)
		strips = append(strips, *s)
	}
	slices.SortFunc(strips, func(a, b Strip) int {
		return cmp.Or(cmp.Compare(order(b), order(a)), cmp.Compare(a.PassRate, b.PassRate), strings.Compare(a.Target, b.Target), strings.Compare(a.Name, b.Name))
	})
	return strips
}

func order(s Strip) int {
	switch {
	case s.Flaky():
		return 2
	case s.Failures > 0:
		return 1
	}
	return 0
}

// Trends are the runs' time, and that of their clusters' boots.
func Trends(records []Record) []Trend {
	whole, boot := Trend{Name: "whole run, s"}, Trend{Name: "boot of a cluster, s"}
	var wholes, boots []float64
	for _, r := range records {
		value := -1.0
		if r.Seconds > 0 {
			value = r.Seconds
			wholes = append(wholes, value)
		}
		whole.Values = append(whole.Values, value)
		boot.Values = append(boot.Values, -1)
		if len(r.Boots) > 0 {
			m := Percentile(r.Boots, 0.5)
			boot.Values[len(boot.Values)-1] = m
			boots = append(boots, m)
		}
	}
	whole.P50, whole.P95 = Percentile(wholes, 0.5), Percentile(wholes, 0.95)
	boot.P50, boot.P95 = Percentile(boots, 0.5), Percentile(boots, 0.95)
	return []Trend{whole, boot}
}

// Percentile is by nearest rank; 0 of nothing.
func Percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(max(int(math.Ceil(p*float64(len(sorted))))-1, 0), len(sorted)-1)]
}

// Bound is the upper end of the one-sided 95 % interval of a rate of failures, of which k
// were seen in n runs (Clopper and Pearson, 1934). Without a failure it is the rule of
// three, 3/n, which is a little above the exact bound. It is 1 without runs.
func Bound(k, n int) float64 {
	switch {
	case n <= 0 || k >= n:
		return 1
	case k <= 0:
		return min(1, 3/float64(n))
	}
	// The rate at which k failures or fewer have a probability of 5 %.
	low, high := float64(k)/float64(n), 1.0
	for range 60 {
		middle := (low + high) / 2
		if atMost(k, n, middle) > 0.05 {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// atMost is the probability of at most k failures in n runs at a rate between 0 and 1.
func atMost(k, n int, rate float64) float64 {
	sum, term := 0.0, float64(n)*math.Log1p(-rate)
	for i := 0; i <= k; i++ {
		sum += math.Exp(term)
		term += math.Log(float64(n-i)) - math.Log(float64(i+1)) + math.Log(rate) - math.Log1p(-rate)
	}
	return sum
}
