// Package runs is the reading half of //tools/report for other tools: it loads what a
// `bazel test` left, keeps records of runs, and says what many of them show. The types are
// those of report's own packages, so that a record that one tool keeps is a record for the
// other.
package runs

import (
	"io"

	"stormgate.internal/tools/report/internal/history"
	"stormgate.internal/tools/report/internal/page"
	"stormgate.internal/tools/report/internal/run"
)

// What a run consists of.
type (
	Run     = run.Run
	Shard   = run.Shard
	Case    = run.Case
	Failure = run.Failure
	Verdict = run.Verdict
	Options = run.Options
)

// The verdicts.
const (
	Passed         = run.Passed
	Product        = run.Product
	Environment    = run.Environment
	Infrastructure = run.Infrastructure
	Test           = run.Test
	Build          = run.Build
	Interrupted    = run.Interrupted
	Skipped        = run.Skipped
	Unknown        = run.Unknown
)

// What is kept of runs, and what many of them show.
type (
	Record = history.Record
	Spec   = history.Spec
	Strip  = history.Strip
)

// Load makes the model of the run whose build events are in the file.
func Load(events string, options Options) (*Run, error) { return run.Load(events, options) }

// RecordOf is a run in short.
func RecordOf(r *Run) Record { return history.Of(r) }

// Save adds a record to a folder, as report's --history does.
func Save(folder string, r Record) error { return history.Save(folder, r) }

// Strips are those of all specs of the records, the oldest record first: flaky ones first,
// then by rate of failure.
func Strips(records []Record) []Strip { return history.Strips(records) }

// WritePage draws a run as one HTML file of at most 2 MB.
func WritePage(w io.Writer, r *Run) error { return page.Write(w, page.Content{Run: r}) }
