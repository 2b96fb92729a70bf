// Package bisect finds the commit since which a test fails now and then. What it knows is a
// State, which can be kept as JSON and gone on with.
//
// # Method
//
// The commits are one line, from one that is good to one that is bad. The test fails at a
// rate of at most Good up to some commit of the line, and at a rate of at least Rate from
// there on.
//
// First the bad end runs until it failed Failures times, or MostRuns times in all. Rate is the
// lower bound of Clopper and Pearson for what was seen, at a confidence of 1 - Error/5: the
// true rate of the bad end is below it with a probability of at most Error/5. Then the good
// end, and the middle of what is left again and again, run until Wald's test (package
// sequential) decides. A search among n commits takes at most log2(n) decisions. Each errs
// with a probability of at most (4/5 Error) / decisions, so all together, and the rate, err
// with at most Error (union bound).
//
// Commits that can't be tested are left out: what is halved is the list of the others, so
// they take no decisions. If some lie where the answer is, the answer is one of them or the commit
// after them.
package bisect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stormgate.internal/tools/flakes/internal/sequential"
)

// Commit is one of the line.
type Commit struct {
	ID      string `json:"id"`
	Subject string `json:"subject"`
}

// Short is what a person needs of the id.
func (c Commit) Short() string { return c.ID[:min(len(c.ID), 12)] }

// String is for messages.
func (c Commit) String() string {
	if c.Subject == "" {
		return c.Short()
	}
	return c.Short() + " " + c.Subject
}

// Options state the statistics.
type Options struct {
	// Good is the rate of failures that a good commit may have; 0 means that one failure
	// proves a commit bad.
	Good float64 `json:"good"`
	// Rate is the rate of failures that a bad commit has at least; 0 means that it is
	// measured at the bad end.
	Rate float64 `json:"rate"`
	// Error is the largest probability of a wrong answer.
	Error float64 `json:"error"`
	// Failures is how many the measurement waits for, MostRuns when it gives up.
	Failures int `json:"failures"`
	MostRuns int `json:"mostRuns"`
	// AtOnce is the most runs that are asked for in one call; at least 1.
	AtOnce int `json:"atOnce"`
}

// Validate says what is wrong with the options.
func (o Options) Validate() error {
	switch {
	case !(0 < o.Error && o.Error < 0.5):
		return fmt.Errorf("an error of %g: it has to be above 0 and below 0.5", o.Error)
	case !(0 <= o.Good && o.Good < 1):
		return fmt.Errorf("a rate of %g at good commits: it has to be 0 or more and below 1", o.Good)
	case o.Rate != 0 && !(o.Good < o.Rate && o.Rate <= 1):
		return fmt.Errorf("a rate of %g at bad commits: it has to be above %g, that of good ones, and at most 1", o.Rate, o.Good)
	case o.Failures < 1 || o.MostRuns < o.Failures:
		return fmt.Errorf("%d failures in %d runs: there have to be 1 failure or more, and no fewer runs", o.Failures, o.MostRuns)
	case o.AtOnce < 1:
		return fmt.Errorf("%d runs at once: it has to be 1 or more", o.AtOnce)
	}
	return nil
}

// Tally is what is known of a commit.
type Tally struct {
	// Failures and Passes are those up to the decision.
	Failures int                 `json:"failures"`
	Passes   int                 `json:"passes"`
	Decision sequential.Decision `json:"decision"`
	// Untestable is why it can't be tested; empty if it can.
	Untestable string `json:"untestable,omitempty"`
	// Blank counts the runs without a verdict since the last one with a verdict.
	Blank int `json:"blank,omitempty"`
	// Runs and Seconds are all that it took, Calls how often it was tested.
	Runs    int     `json:"runs"`
	Seconds float64 `json:"seconds"`
	Calls   int     `json:"calls"`
}

// State is a search. The zero value is none: see New.
type State struct {
	Options Options `json:"options"`
	// Commits are the line, the oldest first: the good end, and at last the bad one.
	Commits []Commit `json:"commits"`
	Tallies []Tally  `json:"tallies"`
	// Rate is Options.Rate or what was measured; 0 before that.
	Rate float64 `json:"rate"`
	// PerRun is how long a run takes, in seconds; 0 before one was measured.
	PerRun float64 `json:"perRun"`
}

// New is a search of which nothing is known.
func New(commits []Commit, o Options) (*State, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if len(commits) < 2 {
		return nil, errors.New("good and bad are the same commit: there is nothing between them")
	}
	return &State{Options: o, Commits: commits, Tallies: make([]Tally, len(commits)), Rate: o.Rate}, nil
}

// Validate says what is wrong with a state that was read.
func (s *State) Validate() error {
	if err := s.Options.Validate(); err != nil {
		return err
	}
	if len(s.Commits) < 2 || len(s.Tallies) != len(s.Commits) {
		return fmt.Errorf("it has %d commits and %d tallies", len(s.Commits), len(s.Tallies))
	}
	return nil
}

func (s *State) bad() int { return len(s.Commits) - 1 }

// rateError is the part of the error that is for the rate's bound.
func (s *State) rateError() float64 {
	if s.Options.Rate != 0 {
		return 0
	}
	return s.Options.Error / 5
}

// Decisions is the most that the search takes: the ends, and the halvings between them.
func (s *State) Decisions() int {
	decisions := 1
	if s.Options.Rate != 0 {
		decisions++ // the bad end is not measured, so it is tested
	}
	for left := len(s.Commits) - 2; left > 0; left /= 2 {
		decisions++
	}
	return decisions
}

// Test is that of each decision. It is for when the rate is known.
func (s *State) Test() sequential.Test {
	return sequential.Test{Good: s.Options.Good, Bad: s.Rate, Error: (s.Options.Error - s.rateError()) / float64(s.Decisions())}
}

// Job is what is to be tested next.
type Job struct {
	// Commit is an index of Commits.
	Commit int
	// Runs is how many are wanted: more may be needed after them, and fewer may do.
	Runs int
	// Why says it for people.
	Why string
}

// Next is what is to be tested next; false if nothing is, since Answer has one.
func (s *State) Next() (Job, bool) {
	bad, good := &s.Tallies[s.bad()], &s.Tallies[0]
	switch {
	case bad.Untestable != "" || good.Untestable != "":
		return Job{}, false
	case s.Rate == 0:
		if s.measured() {
			return Job{}, false // and it did not fail, or as rarely as a good one
		}
		return Job{Commit: s.bad(), Runs: s.Options.MostRuns - bad.Failures - bad.Passes, Why: "how often the bad end fails"}, true
	case s.Options.Rate != 0 && bad.Decision == sequential.Open:
		return s.job(s.bad(), "that the bad end fails"), true
	case bad.Decision == sequential.Good:
		return Job{}, false
	case good.Decision == sequential.Open:
		return s.job(0, "that the good end does not fail"), true
	case good.Decision == sequential.Bad:
		return Job{}, false
	}
	low, high := s.ends()
	var between []int
	for i := low + 1; i < high; i++ {
		if s.Tallies[i].Untestable == "" {
			between = append(between, i)
		}
	}
	if len(between) == 0 {
		return Job{}, false
	}
	return s.job(between[len(between)/2], fmt.Sprintf("the middle of %d commits", len(between))), true
}

func (s *State) job(commit int, why string) Job {
	t := s.Tallies[commit]
	return Job{Commit: commit, Runs: s.Test().PassesLeft(t.Failures, t.Passes), Why: why}
}

// measured says that the measurement of the bad end is over.
func (s *State) measured() bool {
	t := s.Tallies[s.bad()]
	return t.Failures >= s.Options.Failures || t.Failures+t.Passes >= s.Options.MostRuns
}

// ends are the newest commit that is good and the oldest that is bad, as far as is known.
func (s *State) ends() (low, high int) {
	high = s.bad()
	for i := range s.bad() {
		switch s.Tallies[i].Decision {
		case sequential.Good:
			low = i
		case sequential.Bad:
			return low, i
		}
	}
	return low, high
}

// Batch is how many runs of a job to ask for at once: few at first, since a bad commit may
// show at once, and then as many as take seconds.
func (s *State) Batch(j Job, seconds float64) int {
	n := min(j.Runs, s.Options.AtOnce)
	if calls := s.Tallies[j.Commit].Calls; calls < 16 {
		n = min(n, 8<<calls)
	}
	if s.PerRun > 0 {
		n = min(n, int(seconds/s.PerRun))
	}
	return max(n, 1)
}

// Kind is what a run says.
type Kind string

// The kinds.
const (
	Passed Kind = "passed"
	Failed Kind = "failed"
	// Blank is a run that says nothing of the spec, by no fault of the commit.
	Blank Kind = "blank"
	// Missing is a run in which the spec could not be seen, by the commit's fault: it has no
	// such spec, or fails otherwise.
	Missing Kind = "missing"
)

// Outcome is a run's.
type Outcome struct {
	Kind Kind
	// Why is for Blank and Missing.
	Why string
}

// Result is what testing a commit came to.
type Result struct {
	// Outcomes are in an order that does not depend on them.
	Outcomes []Outcome
	// Untestable is why the commit can't be tested, such as that it does not build.
	Untestable string
	// Seconds is how long the runs took, without a build.
	Seconds float64
}

// blankLimit is how many runs in a row may say nothing.
const blankLimit = 24

// BlankError says that runs say nothing, by no fault of the commit.
type BlankError struct {
	Commit Commit
	Runs   int
	Why    string
}

var _ error = (*BlankError)(nil)

// Error says which commit, and why.
func (e *BlankError) Error() string {
	return fmt.Sprintf("test %s: %d runs in a row said nothing of the spec, the last one because of this: %s", e.Commit, e.Runs, e.Why)
}

// NoSpecError says that the bad end, which is to show how the spec fails, does not have it.
type NoSpecError struct {
	Bad Commit
	Why string
}

var _ error = (*NoSpecError)(nil)

// Error says which commit, and what to do.
func (e *NoSpecError) Error() string {
	return fmt.Sprintf("the bad end %s does not have the spec: %s\n--spec is the full text of a spec, or the name of a Go test, as the table of a sample has it", e.Bad, e.Why)
}

// Apply takes a result in. The error is a *BlankError, and the commit then has another
// blankLimit of runs, or a *NoSpecError; the state is valid then as well.
func (s *State) Apply(commit int, r Result) error {
	t := &s.Tallies[commit]
	t.Calls++
	t.Runs += len(r.Outcomes)
	t.Seconds += r.Seconds
	if n := len(r.Outcomes); n > 0 && r.Seconds > 0 {
		s.PerRun = r.Seconds / float64(n)
	}
	if r.Untestable != "" {
		t.Untestable = r.Untestable
		return nil
	}
	for _, o := range r.Outcomes {
		if t.Decision != sequential.Open {
			break // what a batch has beyond the decision does not count
		}
		switch o.Kind {
		case Passed:
			t.Passes++
		case Failed:
			t.Failures++
		default:
			t.Blank++
			if t.Blank < blankLimit {
				continue
			}
			t.Blank = 0
			if o.Kind == Missing && commit == s.bad() {
				return &NoSpecError{Bad: s.Commits[commit], Why: o.Why}
			}
			if o.Kind == Missing {
				t.Untestable = fmt.Sprintf("%d runs in a row did not show the spec: %s", blankLimit, o.Why)
				return nil
			}
			return &BlankError{Commit: s.Commits[commit], Runs: blankLimit, Why: o.Why}
		}
		t.Blank = 0
		s.decide(commit)
	}
	return nil
}

// decide looks at a commit after each run that counts.
func (s *State) decide(commit int) {
	t := &s.Tallies[commit]
	if s.Rate != 0 {
		t.Decision = s.Test().Decide(t.Failures, t.Passes)
		return
	}
	if commit != s.bad() || !s.measured() {
		return
	}
	rate := sequential.LowerBound(t.Failures, t.Failures+t.Passes, 1-s.rateError())
	if rate <= s.Options.Good {
		t.Decision = sequential.Good // no rate can be told from that of good commits
		return
	}
	s.Rate, t.Decision = rate, sequential.Bad
}

// Answer is what a search came to.
type Answer struct {
	// Candidates are commits of which one is the first bad one, the oldest first. All but
	// the last could not be tested. None if Reason is set.
	Candidates []Commit
	// Good is the newest that is good.
	Good Commit
	// Confidence is the probability, at least, with which this answer is right.
	Confidence float64
	// Reason is why there is no answer.
	Reason string
}

// Answer is for when Next has nothing.
func (s *State) Answer() Answer {
	bad, good := s.Tallies[s.bad()], s.Tallies[0]
	runs := bad.Failures + bad.Passes
	switch {
	case bad.Untestable != "":
		return Answer{Reason: fmt.Sprintf("the bad end, %s, can't be tested: %s", s.Commits[s.bad()], bad.Untestable)}
	case good.Untestable != "":
		return Answer{Reason: fmt.Sprintf("the good end, %s, can't be tested: %s", s.Commits[0], good.Untestable)}
	case bad.Decision == sequential.Good && s.Options.Rate != 0:
		return Answer{Reason: fmt.Sprintf("the bad end, %s, fails at a rate below %s: %d failures in %d runs", s.Commits[s.bad()], sequential.Percent(s.Options.Rate), bad.Failures, runs)}
	case bad.Decision == sequential.Good && s.Options.Good > 0 && bad.Failures > 0:
		return Answer{Reason: fmt.Sprintf("%d failures in %d runs of the bad end, %s, can't be told from a rate of %s", bad.Failures, runs, s.Commits[s.bad()], sequential.Percent(s.Options.Good))}
	case bad.Decision == sequential.Good:
		return Answer{Reason: fmt.Sprintf("the bad end, %s, passed %d times in a row: it fails at a rate below %s (at 95 %%), or only beside what did not run here", s.Commits[s.bad()], bad.Passes, sequential.Percent(min(1, 3/float64(max(1, bad.Passes)))))}
	case good.Decision == sequential.Bad:
		return Answer{Reason: fmt.Sprintf("the good end, %s, fails as well: %d failures in %d runs", s.Commits[0], good.Failures, good.Failures+good.Passes)}
	}
	low, high := s.ends()
	return Answer{Candidates: slices.Clone(s.Commits[low+1 : high+1]), Good: s.Commits[low], Confidence: 1 - s.Options.Error}
}

// Left is how many commits the first bad one is among, as far as is known.
func (s *State) Left() (good, bad Commit, left int) {
	low, high := s.ends()
	return s.Commits[low], s.Commits[high], high - low
}

// Runs are all that the search took.
func (s *State) Runs() (runs int, seconds float64) {
	for _, t := range s.Tallies {
		runs += t.Runs
		seconds += t.Seconds
	}
	return runs, seconds
}

// Method states the statistics of this search.
func (s *State) Method() string {
	rate := fmt.Sprintf("%s or more, as was given", sequential.Percent(s.Rate))
	if s.Options.Rate == 0 {
		t := s.Tallies[s.bad()]
		rate = fmt.Sprintf("%s or more: %d failures in %d runs of the bad end, lower bound at %s (Clopper and Pearson)",
			sequential.Percent(s.Rate), t.Failures, t.Failures+t.Passes, sequential.Percent(1-s.rateError()))
	}
	test := s.Test()
	good := "0, so that one failure proves a commit bad"
	if s.Options.Good > 0 {
		good = sequential.Percent(s.Options.Good) + " or less"
	}
	return fmt.Sprintf(`Good commits fail at a rate of %s; bad ones of %s.
Each of at most %d decisions (sequential probability ratio test, Wald) errs with a probability of %s at most; %d passes in a row are good.
All together, the rate included, err with at most %s (union bound).`,
		good, rate, s.Decisions(), sequential.Percent(test.Error), test.PassesLeft(0, 0), sequential.Percent(s.Options.Error))
}

// Tester tests a commit by so many runs.
type Tester interface {
	Test(ctx context.Context, c Commit, runs int) (Result, error)
}

// Batches take this long, in seconds: what is learnt is kept after each.
const batchSeconds = 20

// Search goes on until there is an answer. It calls kept after each result, and before is
// told of each call. An error leaves a state that can be gone on with.
func (s *State) Search(ctx context.Context, tester Tester, before func(j Job, runs int), kept func(commit int) error) (Answer, error) {
	for {
		job, more := s.Next()
		if !more {
			return s.Answer(), nil
		}
		if err := ctx.Err(); err != nil {
			return Answer{}, context.Cause(ctx)
		}
		runs := s.Batch(job, batchSeconds)
		before(job, runs)
		result, err := tester.Test(ctx, s.Commits[job.Commit], runs)
		if err != nil {
			return Answer{}, err
		}
		err = s.Apply(job.Commit, result)
		if err := errors.Join(err, kept(job.Commit)); err != nil {
			return Answer{}, err
		}
	}
}
