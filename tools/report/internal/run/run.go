// Package run is the model of one `bazel test`: its shards and their specs with verdicts,
// evidence and times, made from the build events and from what the tests left. It says
// nothing that was not read; what could not be read is in Run.Problems.
package run

import (
	"cmp"
	"time"

	"stormgate.internal/tools/report/internal/difference"
	"stormgate.internal/tools/report/internal/outputs"
	"stormgate.internal/tools/report/internal/testxml"
)

// Verdict says whose a result is.
type Verdict string

// The verdicts, of cases, shards and runs.
const (
	// Passed is for what ran and passed, in this build or in the one whose result was kept.
	Passed Verdict = "passed"
	// Product is a failure of what is tested.
	Product Verdict = "product"
	// Environment means that the environment did not stay the one that the test's key names,
	// so that its specs say nothing.
	Environment Verdict = "environment"
	// Infrastructure is a failure of what the test runs on.
	Infrastructure Verdict = "infrastructure"
	// Test is a failure of the test itself: its process died, it tested nothing, it passed
	// only at a later attempt.
	Test Verdict = "test"
	// Build is something that could not be built.
	Build Verdict = "build"
	// Interrupted is for what a signal or a person ended.
	Interrupted Verdict = "interrupted"
	// Skipped did not run, by its own word or by that of a filter.
	Skipped Verdict = "skipped"
	// Unknown is for what failed and left nothing that says why.
	Unknown Verdict = "unknown"
)

// Bad reports whether the verdict is neither passed nor skipped.
func (v Verdict) Bad() bool { return v != Passed && v != Skipped }

// Words are the verdict for people.
func (v Verdict) Words() string {
	switch v {
	case Environment:
		return "changed environment"
	case Test:
		return "the test itself"
	}
	return string(v)
}

// Run is a build with its tests.
type Run struct {
	// Invocation is Bazel's id of it, Bazel its version, Command the verb.
	Invocation, Bazel, Command string
	Workspace                  string
	// Patterns and Options are as they were typed.
	Patterns, Options []string
	Started           time.Time
	// Seconds is how long it took; as far as is known, if it was killed.
	Seconds float64
	// Exit is Bazel's name of the exit code, empty if it is not known.
	Exit     string
	ExitCode int
	Verdict  Verdict
	// Headline is the run in one sentence.
	Headline string
	Counts   Counts
	// Rerun runs again what failed; empty if nothing did.
	Rerun  string
	Shards []*Shard
	// Failures are all bad cases, those of the product first.
	Failures []*Failure
	Groups   []Group
	Builds   []BuildFailure
	// NotRun are tests that were to run and have no result.
	NotRun   []NotRun
	Work     []Work
	Misses   map[string]int
	Timeline Timeline
	Balances []Balance
	Chain    []Link
	// Slots says what the run would take with other numbers of slots.
	Slots   []WhatIf
	Cluster Cluster
	// Problems are what could not be read, Absent what no file of a run says.
	Problems []string
	Absent   []string
	// CriticalPath is Bazel's own, as text.
	CriticalPath string
}

// Counts of a run.
type Counts struct {
	Shards         int `json:"shards"`
	Ran            int `json:"ran"`
	Cached         int `json:"cached"`
	FailedShards   int `json:"failedShards"`
	Specs          int `json:"specs"`
	Passed         int `json:"passed"`
	Failed         int `json:"failed"`
	Skipped        int `json:"skipped"`
	Product        int `json:"product"`
	Environment    int `json:"environment"`
	Infrastructure int `json:"infrastructure"`
	Test           int `json:"test"`
}

// Shard is an attempt of a shard of a test; a test without shards is one.
type Shard struct {
	Index  int
	Target string
	// Shard counts from 1, Of is 1 for a test without shards.
	Shard, Of, Run, Attempt int
	Status                  string
	Verdict                 Verdict
	// Cached is empty, "action cache" or "disk or remote cache".
	Cached   string
	Strategy string
	// Start is in seconds since the run's start. It means nothing for a cached shard, whose
	// Duration is that of the run that was kept.
	Start, Duration float64
	Began           time.Time
	// Queued is for how long Bazel had it wait for resources before Start, in seconds.
	Queued float64
	Cases  []*Case
	// Lease is nil for a test without an environment.
	Lease *Lease
	// Rerun runs the whole shard's target again, or what the shard's log says.
	Rerun string
	// Program is a digest of the test's program; empty if it is not known.
	Program string
	// LogTail is the end of its log, of a shard that failed.
	LogTail Text
	// Why says why it ran or was cached.
	Why string
	// Final says that no later attempt followed.
	Final bool

	nameless bool // its test.xml could be read, and has no test case
}

// Name is the target with the shard, and run and attempt if there are more of them.
func (s *Shard) Name() string { return s.Target + s.Suffix() }

// Lease is what the shard's reports say of its lease. Times are in seconds.
type Lease struct {
	ID          string  `json:"id"`
	Environment string  `json:"environment"`
	Digest      string  `json:"digest"`
	Cluster     string  `json:"cluster"`
	Provider    string  `json:"provider"`
	Slot        int     `json:"slot"`
	Waited      float64 `json:"waited"`
	Exclusive   float64 `json:"exclusive"`
	Restarts    int     `json:"restarts"`
	// Verdict is the attestation's.
	Verdict string           `json:"verdict"`
	Changes []outputs.Change `json:"changes"`
}

// Case is a spec or another test case.
type Case struct {
	Name string
	// At is file:line, of a spec only.
	At       string
	Spec     bool
	Verdict  Verdict
	Result   testxml.Verdict
	Kind     string
	Message  string
	Details  string
	Output   string
	Began    time.Time
	Duration float64
	Attempts []Attempt
}

// Attempt is one try of a case that was tried more than once.
type Attempt struct {
	Number                int
	Result, Kind, Message string
	Details, Output       string
	Duration              float64
}

// Failure is a bad case with what explains it.
type Failure struct {
	ID    string
	Shard *Shard
	Case  *Case
	// Place is where it failed.
	Place string
	// Message has all of it; First says it in a line.
	Message, First string
	Difference     *difference.Difference
	Stack          Text
	Output         Text
	Slices         []Slice
	// Rerun runs this case again.
	Rerun string
	Group int
}

// Where tells it from others of its name: its place, else its shard. Every shard on an
// environment has an attestation, and no file has a place for one.
func (f *Failure) Where() string { return cmp.Or(f.Place, f.Shard.Name()) }

// Slice is the part of a log, of events or of objects that belongs to a case.
type Slice struct {
	// Kind is log, events or objects.
	Kind, Name string
	Text       Text
	// Own are substrings that mark lines as this case's.
	Own []string
	// Note says how the part was chosen.
	Note string
}

// Group are failures that look alike.
type Group struct {
	Number   int
	Verdict  Verdict
	Message  string
	Failures []*Failure
}

// BuildFailure is an action that failed.
type BuildFailure struct {
	Label, Mnemonic, Message string
	// First says in a line what is wrong: of what it wrote, if it wrote anything, since
	// Message is Bazel's own, which names a command.
	First  string
	Output Text
	// Same is set if one before it has the same label: it most likely follows from that.
	Same bool
}

// NotRun is a test without a result.
type NotRun struct{ Label, Reason string }

// Work is what a kind of action did. Times are in seconds since the run's start.
type Work struct {
	Mnemonic   string
	Actions    int
	Start, End float64
	CPU        float64
}
