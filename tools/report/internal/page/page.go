// Package page draws a run as one HTML file that needs nothing else: style, script and data
// are in it, and its content policy forbids the network. What a test wrote goes through
// html/template, as text.
package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"stormgate.internal/tools/report/internal/history"
	"stormgate.internal/tools/report/internal/run"
)

// MaxBytes is the largest page.
const MaxBytes = 2_000_000

//go:embed page.html.tmpl
var source string

//go:embed page.css
var style string

//go:embed page.js
var script string

// Content is what a page shows.
type Content struct {
	Run *run.Run
	// Records are earlier runs and this one, the oldest first; nil for no history.
	Records []history.Record
	// Notes are shown with what could not be read.
	Notes []string
}

// room is how much of each kind is shown. Each step of it has less.
type room struct {
	text                                 int // bytes of each log
	output                               int // bytes of a passed spec's output
	failures, rows, specs, strips, spans int
}

var rooms = []room{
	{48 << 10, 4 << 10, 400, 4000, 4000, 1000, 12000},
	{24 << 10, 1 << 10, 400, 4000, 4000, 1000, 12000},
	{12 << 10, 0, 300, 2000, 2000, 600, 8000},
	{6 << 10, 0, 200, 2000, 2000, 400, 6000},
	{3 << 10, 0, 200, 1000, 1000, 200, 4000},
	{2 << 10, 0, 100, 600, 500, 100, 2000},
	{1 << 10, 0, 50, 300, 200, 50, 1000},
	{512, 0, 20, 100, 50, 20, 300},
}

// Write writes the page with as much of the logs as MaxBytes has room for.
func Write(w io.Writer, c Content) error {
	var page bytes.Buffer
	for _, r := range rooms {
		page.Reset()
		if err := draw(&page, c, r); err != nil {
			return err
		}
		if page.Len() <= MaxBytes {
			_, err := w.Write(page.Bytes())
			return err
		}
	}
	return fmt.Errorf("draw page: with the least of each log it has %d bytes, more than %d", page.Len(), MaxBytes)
}

// view is what the template sees.
type view struct {
	*run.Run
	CSS   template.CSS
	JS    template.JS
	Data  any
	Notes []string
	room  room

	Detailed []*run.Failure
	Rows     []*run.Shard
	Specs    []specRow
	Repeats  []run.Repeated
	Records  []history.Record
	Strips   []history.Strip
	Trends   []history.Trend
	Cuts     []string

	Verdicts, Environments, Targets []string
}

type specRow struct {
	Shard *run.Shard
	Case  *run.Case
}

func draw(w io.Writer, c Content, r room) error {
	v := &view{Run: c.Run, CSS: template.CSS(style), JS: template.JS(script), Notes: c.Notes, Records: c.Records, room: r}
	v.fill()
	t, err := template.New("page").Funcs(v.functions()).Parse(source)
	if err != nil {
		return fmt.Errorf("draw page: %w", err)
	}
	if err := t.Execute(w, v); err != nil {
		return fmt.Errorf("draw page: %w", err)
	}
	return nil
}

// first returns at most n, and notes what it leaves out.
func first[T any](v *view, all []T, n int, what string) []T {
	if len(all) > n {
		v.Cuts = append(v.Cuts, fmt.Sprintf("%d of %d %s are left out, for the page's size: --json has all of them", len(all)-n, len(all), what))
		return all[:n]
	}
	return all
}

func (v *view) fill() {
	v.Detailed = first(v, v.Failures, v.room.failures, "failures")
	shards := slices.Clone(v.Shards)
	slices.SortStableFunc(shards, func(a, b *run.Shard) int {
		switch {
		case a.Verdict.Bad() != b.Verdict.Bad():
			return order(a.Verdict.Bad())
		case (a.Cached == "") != (b.Cached == ""):
			return order(a.Cached == "")
		}
		return 0
	})
	v.Rows = first(v, shards, v.room.rows, "shards")
	var specs []specRow
	environments, targets, verdicts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range shards {
		targets[s.Target] = true
		verdicts[string(s.Verdict)] = true
		if s.Lease != nil && s.Lease.Environment != "" {
			environments[s.Lease.Environment] = true
		}
		for _, c := range s.Cases {
			verdicts[string(c.Verdict)] = true
			specs = append(specs, specRow{s, c})
		}
	}
	slices.SortStableFunc(specs, func(a, b specRow) int {
		if a.Case.Verdict.Bad() != b.Case.Verdict.Bad() {
			return order(a.Case.Verdict.Bad())
		}
		return 0
	})
	v.Specs = first(v, specs, v.room.specs, "test cases")
	v.Verdicts, v.Environments, v.Targets = sorted(verdicts), sorted(environments), sorted(targets)
	v.Repeats = first(v, v.Run.Repeats(), v.room.strips, "repeated specs")
	if len(v.Records) > 1 {
		v.Strips = first(v, history.Strips(v.Records), v.room.strips, "specs of the history")
		v.Trends = history.Trends(v.Records)
	}
	v.Data = v.data()
}

func order(first bool) int {
	if first {
		return -1
	}
	return 1
}

func sorted(set map[string]bool) []string {
	var all []string
	for name := range set {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// data is what the script draws: the time axis, with as many spans as there is room for.
func (v *view) data() any {
	type lane struct {
		Group  string     `json:"group"`
		Name   string     `json:"name"`
		Folded bool       `json:"folded,omitempty"`
		Thin   bool       `json:"thin,omitempty"`
		Spans  []run.Span `json:"spans"`
	}
	left := v.room.spans
	lost := 0
	lanes := []lane{}
	for _, l := range v.Timeline.Lanes {
		n := min(left, len(l.Spans))
		left -= n
		lost += len(l.Spans) - n
		if n > 0 {
			lanes = append(lanes, lane{l.Group, l.Name, l.Folded, l.Thin, l.Spans[:n]})
		}
	}
	if lost > 0 {
		v.Cuts = append(v.Cuts, fmt.Sprintf("%d spans of the time axis are left out, for the page's size: --trace has all of them", lost))
	}
	return map[string]any{
		"seconds": v.Timeline.Seconds, "lanes": lanes, "invocation": v.Invocation, "started": v.Started,
	}
}

// Line is a line of a log; Own says that it names something of the spec's own.
type Line struct {
	Text string
	Own  bool
}

// shown is a Text as far as there is room.
type shown struct {
	Head []Line
	Note string
	Tail []Line
}

func (v *view) functions() template.FuncMap {
	return template.FuncMap{
		"show":     func(t run.Text) shown { return v.show(t, nil) },
		"showOwn":  func(s run.Slice) shown { return v.show(s.Text, s.Own) },
		"seconds":  seconds,
		"percent":  func(part, whole float64) string { return percent(part, whole) },
		"rate":     func(r float64) string { return fmt.Sprintf("%.3g %%", 100*r) },
		"symbol":   symbol,
		"words":    func(verdict any) string { return run.Verdict(fmt.Sprint(verdict)).Words() },
		"bad":      func(verdict any) bool { return run.Verdict(fmt.Sprint(verdict)).Bad() },
		"mib":      func(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) },
		"short":    func(digest string) string { return digest[:min(len(digest), 12)] },
		"first":    func(text string, n int) string { return firstRunes(text, n) },
		"join":     strings.Join,
		"add":      func(a, b int) int { return a + b },
		"largest":  func(of []run.WhatIf) float64 { return largest(of) },
		"strip":    strip,
		"ofStrip":  describeStrip,
		"spark":    spark,
		"env":      environmentOf,
		"output":   func(c *run.Case) string { return firstRunes(c.Output, v.room.output) },
		"outputed": func(c *run.Case) bool { return v.room.output > 0 && c.Output != "" && !c.Verdict.Bad() },
	}
}

func (v *view) show(t run.Text, own []string) shown {
	head, note, tail := t.Show(v.room.text)
	return shown{lines(head, own), note, lines(tail, own)}
}

// lines joins neighbours that are alike, so that a page has few elements.
func lines(text string, own []string) []Line {
	if text == "" {
		return nil
	}
	if len(own) == 0 {
		return []Line{{Text: text}}
	}
	var all []Line
	begin, at, before := 0, 0, false
	for line := range strings.Lines(text) {
		mine := slices.ContainsFunc(own, func(o string) bool { return strings.Contains(line, o) })
		if at > begin && mine != before {
			all = append(all, Line{text[begin:at], before})
			begin = at
		}
		at, before = at+len(line), mine
	}
	return append(all, Line{text[begin:], before})
}

func seconds(s float64) string {
	switch {
	case s < 0:
		return "–"
	case s < 0.0995:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 9.995:
		return fmt.Sprintf("%.2f s", s)
	case s < 120:
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%d min %02.0f s", int(s)/60, math.Mod(s, 60))
}

func percent(part, whole float64) string {
	if whole <= 0 {
		return "0"
	}
	return fmt.Sprintf("%.2f", min(100, max(0, 100*part/whole)))
}

// symbol stands beside a verdict's colour, for those who don't see it.
func symbol(verdict any) string {
	switch run.Verdict(fmt.Sprint(verdict)) {
	case run.Passed:
		return "✓"
	case run.Skipped:
		return "–"
	case run.Infrastructure:
		return "⚙"
	case run.Environment:
		return "⚠"
	case run.Interrupted:
		return "■"
	case run.Unknown:
		return "?"
	}
	return "✗"
}

func firstRunes(text string, n int) string {
	const note = 20 // bytes, about: what is left out for it is longer
	if len(text) <= n+note {
		return text
	}
	cut := n
	for cut > 0 && text[cut]&0xC0 == 0x80 {
		cut--
	}
	return fmt.Sprintf("%s… (%d more bytes)", text[:cut], len(text)-cut)
}

func largest(of []run.WhatIf) float64 {
	most := 0.0
	for _, w := range of {
		most = max(most, w.Seconds)
	}
	return most
}

func environmentOf(s *run.Shard) string {
	if s.Lease == nil {
		return ""
	}
	return s.Lease.Environment
}

// strip is a letter for each run, which the style makes a square of.
func strip(s history.Strip) []string {
	letters := make([]string, len(s.Results))
	for i, result := range s.Results {
		switch v := run.Verdict(result); {
		case result == "":
			letters[i] = "n"
		case v == run.Passed:
			letters[i] = "p"
		case v == run.Infrastructure || v == run.Environment || v == run.Interrupted:
			letters[i] = "i"
		default:
			letters[i] = "f"
		}
	}
	return letters
}

func describeStrip(s history.Strip) string {
	return fmt.Sprintf("%d executions, %d failed", s.Runs, s.Failures)
}

// point of a line chart, in percent of its width and height.
type point struct{ X, Y float64 }

// spark are the points of a trend.
func spark(t history.Trend) []point {
	most := 0.0
	for _, value := range t.Values {
		most = max(most, value)
	}
	var points []point
	for i, value := range t.Values {
		if value >= 0 && most > 0 {
			points = append(points, point{100 * (float64(i) + 0.5) / float64(len(t.Values)), 100 - 90*value/most})
		}
	}
	return points
}
