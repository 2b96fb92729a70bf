// Package export writes a run in forms that other programs read: the trace of Perfetto and
// Chrome, JUnit, JSON, and a summary in Markdown for CI.
package export

import (
	"encoding/json"
	"fmt"
	"io"

	"stormgate.internal/tools/report/internal/run"
)

// traceEvent is one of the Trace Event Format. Times are in microseconds.
type traceEvent struct {
	Name     string         `json:"name"`
	Phase    string         `json:"ph"`
	Category string         `json:"cat,omitempty"`
	Time     int64          `json:"ts"`
	Duration int64          `json:"dur,omitempty"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	Scope    string         `json:"s,omitempty"`
	Args     map[string]any `json:"args,omitempty"`
}

// Trace writes the time axis as a trace: a group of lanes is a process, a lane a thread.
func Trace(w io.Writer, r *run.Run) error {
	events := []traceEvent{}
	processes := map[string]int{}
	for i, lane := range r.Timeline.Lanes {
		process, found := processes[lane.Group]
		if !found {
			process = len(processes) + 1
			processes[lane.Group] = process
			events = append(events,
				traceEvent{Name: "process_name", Phase: "M", Process: process, Args: map[string]any{"name": lane.Group}},
				traceEvent{Name: "process_sort_index", Phase: "M", Process: process, Args: map[string]any{"sort_index": process}})
		}
		events = append(events,
			traceEvent{Name: "thread_name", Phase: "M", Process: process, Thread: i + 1, Args: map[string]any{"name": lane.Name}},
			traceEvent{Name: "thread_sort_index", Phase: "M", Process: process, Thread: i + 1, Args: map[string]any{"sort_index": i + 1}})
		for _, s := range lane.Spans {
			e := traceEvent{
				Name: s.Label, Phase: "X", Category: s.Kind, Time: micros(s.Start), Duration: micros(s.End) - micros(s.Start), Process: process, Thread: i + 1,
				Args: map[string]any{},
			}
			if e.Duration <= 0 {
				e.Phase, e.Scope, e.Duration = "i", "t", 0
			}
			if s.Note != "" {
				e.Args["note"] = s.Note
			}
			if s.Verdict != "" {
				e.Args["verdict"] = s.Verdict
			}
			if s.Guess {
				e.Args["placed by order"] = true
			}
			events = append(events, e)
		}
	}
	return write(w, map[string]any{
		"displayTimeUnit": "ms",
		"otherData":       map[string]any{"invocation": r.Invocation, "started": r.Started},
		"traceEvents":     events,
	})
}

func micros(seconds float64) int64 { return int64(seconds * 1e6) }

func write(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	return nil
}

// document is the JSON export. Its version rises when a member changes its meaning.
type document struct {
	Version    int            `json:"version"`
	Invocation string         `json:"invocation"`
	Bazel      string         `json:"bazel"`
	Started    string         `json:"started"`
	Seconds    float64        `json:"seconds"`
	Exit       string         `json:"exit"`
	Verdict    run.Verdict    `json:"verdict"`
	Headline   string         `json:"headline"`
	Counts     run.Counts     `json:"counts"`
	Rerun      string         `json:"rerun,omitempty"`
	Failures   []failure      `json:"failures"`
	Shards     []shard        `json:"shards"`
	NotRun     []run.NotRun   `json:"notRun"`
	Balance    []run.Balance  `json:"balance"`
	Slots      []run.WhatIf   `json:"slots"`
	Cluster    map[string]any `json:"cluster"`
	Problems   []string       `json:"problems"`
	Absent     []string       `json:"absent"`
}

type failure struct {
	Target  string      `json:"target"`
	Shard   int         `json:"shard"`
	Name    string      `json:"name"`
	Verdict run.Verdict `json:"verdict"`
	Kind    string      `json:"kind"`
	Place   string      `json:"place"`
	Message string      `json:"message"`
	Rerun   string      `json:"rerun"`
	Group   int         `json:"group"`
}

type shard struct {
	Target   string      `json:"target"`
	Shard    int         `json:"shard"`
	Of       int         `json:"of"`
	Run      int         `json:"run"`
	Attempt  int         `json:"attempt"`
	Status   string      `json:"status"`
	Verdict  run.Verdict `json:"verdict"`
	Cached   string      `json:"cached,omitempty"`
	Why      string      `json:"why"`
	Start    float64     `json:"start"`
	Duration float64     `json:"duration"`
	Lease    *run.Lease  `json:"lease,omitempty"`
	Cases    []oneCase   `json:"cases"`
}

type oneCase struct {
	Name     string      `json:"name"`
	At       string      `json:"at,omitempty"`
	Verdict  run.Verdict `json:"verdict"`
	Kind     string      `json:"kind,omitempty"`
	Message  string      `json:"message,omitempty"`
	Duration float64     `json:"duration"`
}

// JSON writes all of a run but its logs.
func JSON(w io.Writer, r *run.Run) error {
	d := document{
		Version: 1, Invocation: r.Invocation, Bazel: r.Bazel, Started: r.Started.Format("2006-01-02T15:04:05.000Z07:00"), Seconds: r.Seconds,
		Exit: r.Exit, Verdict: r.Verdict, Headline: r.Headline, Counts: r.Counts, Rerun: r.Rerun,
		Failures: []failure{}, Shards: []shard{}, NotRun: r.NotRun, Balance: r.Balances, Slots: r.Slots,
		Cluster:  map[string]any{"boots": r.Cluster.Boots, "environments": r.Cluster.Environments, "pods": r.Cluster.Pods},
		Problems: r.Problems, Absent: r.Absent,
	}
	for _, f := range r.Failures {
		d.Failures = append(d.Failures, failure{
			Target: f.Shard.Target, Shard: f.Shard.Shard, Name: f.Case.Name, Verdict: f.Case.Verdict, Kind: f.Case.Kind,
			Place: f.Place, Message: f.Message, Rerun: f.Rerun, Group: f.Group,
		})
	}
	for _, s := range r.Shards {
		one := shard{
			Target: s.Target, Shard: s.Shard, Of: s.Of, Run: s.Run, Attempt: s.Attempt, Status: s.Status, Verdict: s.Verdict, Cached: s.Cached,
			Why: s.Why, Start: s.Start, Duration: s.Duration, Lease: s.Lease, Cases: []oneCase{},
		}
		for _, c := range s.Cases {
			one.Cases = append(one.Cases, oneCase{c.Name, c.At, c.Verdict, c.Kind, c.Message, c.Duration})
		}
		d.Shards = append(d.Shards, one)
	}
	return write(w, d)
}
