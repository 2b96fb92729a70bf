package sample

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"stormgate.internal/tools/flakes/internal/sequential"
	"stormgate.internal/tools/report/runs"
)

// Row is a spec, or a test without specs, over all runs of a place.
type Row struct {
	Target string `json:"target"`
	Spec   string `json:"spec,omitempty"`
	Place  Place  `json:"place"`
	// Runs counts executions that say something, Failures those that failed, Flips how often
	// a result was another than the one before.
	Runs     int     `json:"runs"`
	Failures int     `json:"failures"`
	Flips    int     `json:"flips"`
	PassRate float64 `json:"passRate"`
	FlipRate float64 `json:"flipRate"`
	// P50 and P95 are seconds of executions that passed.
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	// Bound is the highest rate of failures that is compatible with this, at 95 %.
	Bound float64 `json:"bound"`
	// Strip has a letter for each run of the place, the oldest first: '.' passed, 'F' failed,
	// 'i' infrastructure, 'e' changed environment, '?' something else, ' ' did not run.
	Strip string `json:"strip"`
}

// Rows are those of all specs, place by place: flaky ones first, then by rate of failure.
func (s *Sample) Rows() []Row {
	rows := []Row{} // an empty list in JSON
	places := s.Plan.Places
	if len(places) == 0 {
		places = []Place{Shared}
	}
	for _, place := range places {
		var records []runs.Record
		for _, r := range s.Runs {
			if r.Place == place {
				records = append(records, r.record)
			}
		}
		for _, strip := range runs.Strips(records) {
			rows = append(rows, Row{
				Target: strip.Target, Spec: strip.Name, Place: place, Runs: strip.Runs, Failures: strip.Failures, Flips: strip.Flips,
				PassRate: strip.PassRate, FlipRate: strip.FlipRate, P50: strip.P50, P95: strip.P95, Bound: strip.Bound, Strip: letters(strip.Results),
			})
		}
	}
	return rows
}

func letters(results []string) string {
	var b strings.Builder
	for _, r := range results {
		switch runs.Verdict(r) {
		case "":
			b.WriteByte(' ')
		case runs.Passed:
			b.WriteByte('.')
		case runs.Product, runs.Test:
			b.WriteByte('F')
		case runs.Infrastructure:
			b.WriteByte('i')
		case runs.Environment:
			b.WriteByte('e')
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}

// shown is how many rows without a failure a terminal gets of each place.
const shown = 15

// stripShown is how many of the last runs a terminal gets of each row.
const stripShown = 40

// WriteTable writes the rows for a terminal. Rows without a failure beyond a few are
// counted.
func (s *Sample) WriteTable(w io.Writer) error {
	var b strings.Builder
	rows := s.Rows()
	if len(rows) == 0 {
		b.WriteString("no spec came to a result\n")
	}
	place, clean, left, worst := Place(""), 0, 0, 0.0
	more := func() {
		if left > 0 {
			fmt.Fprintf(&b, "and %d more that never failed (each at most %s)\n", left, sequential.Percent(worst))
		}
	}
	for _, r := range rows {
		if r.Place != place {
			more()
			place, clean, left, worst = r.Place, 0, 0, 0
			heading := ""
			if len(s.Plan.Places) > 1 {
				heading = ", " + string(place) + " clusters"
			}
			fmt.Fprintf(&b, "\n%5s %6s %8s %8s %8s %8s  %s\n", "runs", "failed", "flips", "p50 s", "p95 s", "at most", "spec"+heading)
		}
		if r.Failures == 0 {
			if clean++; clean > shown {
				left++
				worst = max(worst, r.Bound)
				continue
			}
		}
		strip := r.Strip
		if r.Failures > 0 || strings.Trim(strip, ".") != "" {
			strip = "  " + strip[max(0, len(strip)-stripShown):]
		} else {
			strip = ""
		}
		fmt.Fprintf(&b, "%5d %6d %8s %8.2f %8.2f %8s  %s%s\n", r.Runs, r.Failures, sequential.Percent(r.FlipRate), r.P50, r.P95, sequential.Percent(r.Bound), cut(name(r.Target, r.Spec), 120), strip)
	}
	more()
	fmt.Fprintf(&b, "\n\"at most\" is the highest rate of failures that agrees with so many runs, at 95 %%: 3/N without a failure, else Clopper's and Pearson's.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes all for programs.
func (s *Sample) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		*Sample
		Specs []Row `json:"specs"`
	}{s, s.Rows()})
}

// markdownFailures is how many failures a summary has.
const markdownFailures = 50

// WriteMarkdown writes a summary, such as CI shows one.
func (s *Sample) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## Flakes\n\n%s. %d of them in %.0f s.\n\n", mark(s.Plan.describe()), len(s.Runs), s.Seconds)
	if s.Ended != "" {
		fmt.Fprintf(&b, "It ended before all runs were done: %s\n\n", mark(cut(s.Ended, 300)))
	}
	b.WriteString("| spec | clusters | runs | failed | pass rate | flip rate | p50 s | p95 s | at most (95 %) | results |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range s.Rows() {
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %s | %s | %.2f | %.2f | %s | `%s` |\n", mark(name(r.Target, r.Spec)), r.Place, r.Runs, r.Failures,
			sequential.Percent(r.PassRate), sequential.Percent(r.FlipRate), r.P50, r.P95, sequential.Percent(r.Bound), strings.ReplaceAll(r.Strip, " ", "_"))
	}
	listed := 0
	for _, f := range s.Failures {
		if !f.Counted {
			continue
		}
		if listed++; listed > markdownFailures {
			continue
		}
		fmt.Fprintf(&b, "\n### Run %d: %s\n\n%s\n\n```sh\n%s\n```\n", f.Run, mark(name(f.Target, f.Spec)), mark(cut(f.Message, 300)), strings.ReplaceAll(f.Again, "```", "` ` `"))
	}
	if listed > markdownFailures {
		fmt.Fprintf(&b, "\nand %d more failures\n", listed-markdownFailures)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// mark keeps text from being Markdown.
func mark(text string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "`", "\\`", "*", "\\*", "_", "\\_", "<", "&lt;", "[", "\\[", "#", "\\#", "\n", " ").Replace(text)
}
