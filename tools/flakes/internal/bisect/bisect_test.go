package bisect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"stormgate.internal/tools/flakes/internal/sequential"
)

var usual = Options{Error: 0.05, Failures: 10, MostRuns: 1000, AtOnce: 32}

func line(n int) []Commit {
	var commits []Commit
	for i := range n {
		commits = append(commits, Commit{ID: fmt.Sprintf("%040x", i), Subject: fmt.Sprintf("commit %d", i)})
	}
	return commits
}

// history is a line of commits whose test fails at a rate that changes once.
type history struct {
	commits     []Commit
	first       int // the first bad one
	good, bad   float64
	untestable  map[int]bool
	blank       float64
	random      *rand.Rand
	runs, calls int
	broken      error
}

func (h *history) Test(_ context.Context, c Commit, runs int) (Result, error) {
	if h.broken != nil {
		return Result{}, h.broken
	}
	i := slices.Index(h.commits, c)
	h.calls++
	if h.untestable[i] {
		return Result{Untestable: "it does not build"}, nil
	}
	rate := h.good
	if i >= h.first {
		rate = h.bad
	}
	var r Result
	for range runs {
		h.runs++
		r.Seconds += 0.5
		switch x := h.random.Float64(); {
		case h.random.Float64() < h.blank:
			r.Outcomes = append(r.Outcomes, Outcome{Kind: Blank, Why: "no slot"})
		case x < rate:
			r.Outcomes = append(r.Outcomes, Outcome{Kind: Failed})
		default:
			r.Outcomes = append(r.Outcomes, Outcome{Kind: Passed})
		}
	}
	return r, nil
}

func search(t *testing.T, h *history, o Options) (*State, Answer, error) {
	t.Helper()
	s, err := New(h.commits, o)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.Search(t.Context(), h, func(Job, int) {}, func(int) error { return nil })
	return s, answer, err
}

// Promise: in simulated histories of all lengths and rates, with commits that can't be
// tested and runs that say nothing, the answer is wrong at most as often as stated.
func TestSearchErrs(t *testing.T) {
	const searches = 400
	for name, test := range map[string]struct {
		o         Options
		good, bad func(random *rand.Rand) float64
	}{
		"no failure at good":    {usual, func(*rand.Rand) float64 { return 0 }, func(r *rand.Rand) float64 { return 0.02 + 0.3*r.Float64() }},
		"stated rate":           {Options{Rate: 0.05, Error: 0.1, Failures: 1, MostRuns: 1, AtOnce: 8}, func(*rand.Rand) float64 { return 0 }, func(*rand.Rand) float64 { return 0.05 }},
		"rare failures at good": {Options{Good: 0.01, Error: 0.1, Failures: 20, MostRuns: 2000, AtOnce: 32}, func(*rand.Rand) float64 { return 0.01 }, func(*rand.Rand) float64 { return 0.1 }},
	} {
		t.Run(name, func(t *testing.T) {
			wrong, runs := 0, 0
			for seed := range uint64(searches) {
				random := rand.New(rand.NewPCG(seed, 16))
				n := 2 + random.IntN(120)
				h := &history{commits: line(n), first: 1 + random.IntN(n-1), good: test.good(random), bad: test.bad(random), untestable: map[int]bool{}, blank: 0.05, random: random}
				for i := 1; i < n-1; i++ {
					h.untestable[i] = random.Float64() < 0.15
				}
				_, answer, err := search(t, h, test.o)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				runs += h.runs
				if !slices.Contains(answer.Candidates, h.commits[h.first]) {
					wrong++
					continue
				}
				for _, c := range answer.Candidates[:len(answer.Candidates)-1] {
					if !h.untestable[slices.Index(h.commits, c)] {
						t.Errorf("seed %d: %s was testable, and the answer leaves it open: %+v", seed, c, answer)
					}
				}
			}
			most := test.o.Error*searches + 3*math.Sqrt(test.o.Error*(1-test.o.Error)*searches)
			t.Logf("%d of %d answers wrong, %d runs each", wrong, searches, runs/searches)
			if float64(wrong) > most {
				t.Errorf("%d of %d answers wrong, at most %.0f can be", wrong, searches, most)
			}
		})
	}
}

// Promise: a line of two commits needs the ends only, and a test that fails always is found
// in few runs.
func TestSearchShort(t *testing.T) {
	h := &history{commits: line(2), first: 1, bad: 1, random: rand.New(rand.NewPCG(1, 1))}
	s, answer, err := search(t, h, usual)
	if err != nil || len(answer.Candidates) != 1 || answer.Candidates[0] != h.commits[1] || answer.Good != h.commits[0] || answer.Confidence != 0.95 {
		t.Errorf("%+v, %v", answer, err)
	}
	if runs, _ := s.Runs(); runs > 60 {
		t.Errorf("%d runs", runs)
	}
	if s.Decisions() != 1 {
		t.Errorf("%d decisions", s.Decisions())
	}
}

// Promise: the search never decides more often than the union bound has room for.
func TestDecisions(t *testing.T) {
	for n := 2; n < 70; n++ {
		for first := 1; first < n; first++ {
			h := &history{commits: line(n), first: first, bad: 1, random: rand.New(rand.NewPCG(1, 1))}
			s, answer, err := search(t, h, Options{Rate: 0.9, Error: 0.05, Failures: 1, MostRuns: 1, AtOnce: 100})
			decided := 0
			for _, tally := range s.Tallies {
				if tally.Decision != sequential.Open {
					decided++
				}
			}
			if err != nil || decided > s.Decisions() || len(answer.Candidates) != 1 || answer.Candidates[0] != h.commits[first] {
				t.Fatalf("%d commits, first %d: %d decisions of %d, %+v, %v", n, first, decided, s.Decisions(), answer, err)
			}
		}
	}
}

// Promise: where there is no answer, the reason is said.
func TestNoAnswer(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	given := usual
	given.Rate = 0.2
	background := usual
	background.Good = 0.2
	for want, test := range map[string]struct {
		h *history
		o Options
	}{
		"passed 1000 times in a row: it fails at a rate below 0.30 %":  {&history{first: 5}, usual},
		"the good end, 000000000000 commit 0, fails as well":           {&history{first: 0, bad: 0.5}, usual},
		"the bad end, 000000000000 commit 4, can't be tested":          {&history{first: 1, bad: 0.5, untestable: map[int]bool{4: true}}, usual},
		"the good end, 000000000000 commit 0, can't be tested":         {&history{first: 1, bad: 0.5, untestable: map[int]bool{0: true}}, usual},
		"the bad end, 000000000000 commit 4, fails at a rate below 20": {&history{first: 5}, given},
		"can't be told from a rate of 20 %":                            {&history{first: 1, bad: 0.1}, background},
	} {
		test.h.commits, test.h.random = line(5), random
		_, answer, err := search(t, test.h, test.o)
		if err != nil || !strings.Contains(answer.Reason, want) || len(answer.Candidates) > 0 {
			t.Errorf("want %q: %+v, %v", want, answer, err)
		}
	}
}

// Promise: commits that can't be tested where the answer is are named with it.
func TestCandidates(t *testing.T) {
	h := &history{commits: line(9), first: 4, bad: 0.5, random: rand.New(rand.NewPCG(4, 4)), untestable: map[int]bool{3: true, 4: true}}
	_, answer, err := search(t, h, usual)
	if err != nil || !slices.Equal(answer.Candidates, h.commits[3:6]) || answer.Good != h.commits[2] {
		t.Errorf("%+v, %v", answer, err)
	}
}

// Promise: a search that was kept and read at any moment comes to the same answer, with the
// runs that it had.
func TestResume(t *testing.T) {
	interrupted := errors.New("interrupted")
	for calls := 1; calls < 12; calls++ {
		h := &history{commits: line(40), first: 23, bad: 0.2, random: rand.New(rand.NewPCG(5, uint64(calls)))}
		s, err := New(h.commits, usual)
		if err != nil {
			t.Fatal(err)
		}
		var kept []byte
		_, err = s.Search(t.Context(), h, func(Job, int) {}, func(int) error {
			if kept, err = json.Marshal(s); err != nil {
				return err
			}
			if h.calls == calls {
				return interrupted
			}
			return nil
		})
		if !errors.Is(err, interrupted) {
			t.Fatalf("after %d calls: %v", calls, err)
		}
		before := h.runs
		var again State
		if err := errors.Join(json.Unmarshal(kept, &again), again.Validate()); err != nil {
			t.Fatal(err)
		}
		answer, err := again.Search(t.Context(), h, func(Job, int) {}, func(int) error { return nil })
		runs, _ := again.Runs()
		if err != nil || len(answer.Candidates) != 1 || answer.Candidates[0] != h.commits[23] || runs != h.runs || before >= runs {
			t.Errorf("after %d calls: %+v, %v, %d runs of %d", calls, answer, err, runs, h.runs)
		}
	}
}

// Promise: runs that say nothing end the search where the commit can't help it, and leave
// the commit out where it can.
func TestBlank(t *testing.T) {
	h := &history{commits: line(5), first: 2, bad: 0.5, blank: 1, random: rand.New(rand.NewPCG(6, 6))}
	s, _, err := search(t, h, usual)
	var blank *BlankError
	if !errors.As(err, &blank) || blank.Why != "no slot" || !strings.Contains(err.Error(), "24 runs in a row") {
		t.Fatalf("%v", err)
	}
	h.blank = 0
	answer, err := s.Search(t.Context(), h, func(Job, int) {}, func(int) error { return nil })
	if err != nil || len(answer.Candidates) != 1 || answer.Candidates[0] != h.commits[2] {
		t.Errorf("afterwards: %+v, %v", answer, err)
	}
	s, err = New(line(3), usual)
	if err != nil {
		t.Fatal(err)
	}
	missing := slices.Repeat([]Outcome{{Kind: Missing, Why: "nothing matches"}}, blankLimit)
	if err := s.Apply(1, Result{Outcomes: missing}); err != nil || !strings.Contains(s.Tallies[1].Untestable, "nothing matches") {
		t.Errorf("%v, %+v", err, s.Tallies[1])
	}
}

// Promise: the end of the context, and an error of the tester, end the search.
func TestSearchEnds(t *testing.T) {
	h := &history{commits: line(5), first: 2, bad: 0.5, random: rand.New(rand.NewPCG(7, 7)), broken: errors.New("no Bazel")}
	if _, _, err := search(t, h, usual); !errors.Is(err, h.broken) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	late := errors.New("time is up")
	cancel(late)
	s, err := New(h.commits, usual)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Search(ctx, h, func(Job, int) {}, func(int) error { return nil }); !errors.Is(err, late) {
		t.Errorf("%v", err)
	}
}

// Promise: batches begin small, and are as long as asked for.
func TestBatch(t *testing.T) {
	s, err := New(line(3), Options{Error: 0.05, Failures: 10, MostRuns: 1000, AtOnce: 64})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		calls  int
		perRun float64
		want   int
	}{{0, 0, 8}, {1, 0, 16}, {5, 0, 64}, {70, 0, 64}, {5, 0.5, 40}, {5, 60, 1}} {
		s.Tallies[2].Calls, s.PerRun = test.calls, test.perRun
		if got := s.Batch(Job{Commit: 2, Runs: 1000}, 20); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
	if got := s.Batch(Job{Commit: 2, Runs: 0}, 20); got != 1 {
		t.Errorf("of no runs: %d", got)
	}
}

// Promise: the statistics are stated with their numbers.
func TestMethod(t *testing.T) {
	s, err := New(line(34), usual)
	if err != nil {
		t.Fatal(err)
	}
	s.Tallies[33] = Tally{Failures: 10, Passes: 190}
	s.decide(33)
	for _, part := range []string{"one failure proves a commit bad", "10 failures in 200 runs of the bad end, lower bound at 99 %", "at most 7 decisions", "0.57 % at most", "err with at most 5.0 %"} {
		if !strings.Contains(s.Method(), part) {
			t.Errorf("%q is not in: %s", part, s.Method())
		}
	}
	if s.Rate < 0.02 || s.Rate > 0.022 { // 10 of 200 at 99 %: 0.0209
		t.Errorf("rate %g", s.Rate)
	}
}

// Promise: options that make no sense are refused, and so is a state that is not whole.
func TestValidate(t *testing.T) {
	for _, change := range []func(*Options){
		func(o *Options) { o.Error = 0 }, func(o *Options) { o.Error = 0.5 }, func(o *Options) { o.Good = 1 }, func(o *Options) { o.Good, o.Rate = 0.2, 0.1 },
		func(o *Options) { o.Rate = 1.5 }, func(o *Options) { o.Failures = 0 }, func(o *Options) { o.MostRuns = 5 }, func(o *Options) { o.AtOnce = 0 },
	} {
		o := usual
		change(&o)
		if _, err := New(line(3), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if _, err := New(line(1), usual); err == nil {
		t.Error("one commit is accepted")
	}
	if (&State{Options: usual, Commits: line(3), Tallies: make([]Tally, 2)}).Validate() == nil {
		t.Error("a state with fewer tallies than commits is accepted")
	}
}
