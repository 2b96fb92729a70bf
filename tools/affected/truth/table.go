package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// mostBeyond is how many of all selections may be beyond truth, in percent (issue's
// and README's promise).
const mostBeyond = 5

// total is a row of the table.
type total struct {
	kind                                               string
	changes, selected, truth, missed, beyond, ofCutOff int
}

func (t *total) add(o outcome) {
	t.changes++
	t.selected += o.selected
	t.truth += o.truth
	t.missed += len(o.missed)
	t.beyond += len(o.beyond)
	for _, b := range o.beyond {
		if b.cutOff {
			t.ofCutOff++
		}
	}
}

// report prints the table, what was missed and what was beyond truth, and the last
// line. It returns an error if a promise is not kept. Whole says that all changes of both
// workspaces were tried, over which there may be so many selections beyond truth.
func report(out io.Writer, outcomes []outcome, whole bool) error {
	var rows []total
	all, plain, onSetups := total{kind: "all"}, total{kind: "without set-ups"}, total{kind: "on set-ups"}
	var took []time.Duration
	passed, failed, remembered := 0, 0, 0
	for _, o := range outcomes {
		if o.err != nil || len(o.missed) > 0 {
			failed++
		} else {
			passed++
		}
		if o.err != nil {
			continue
		}
		i := slices.IndexFunc(rows, func(t total) bool { return t.kind == o.kind })
		if i < 0 {
			i = len(rows)
			rows = append(rows, total{kind: o.kind})
		}
		rows[i].add(o)
		all.add(o)
		if o.setup {
			onSetups.add(o)
		} else {
			plain.add(o)
		}
		took = append(took, o.took)
		if o.remembered {
			remembered++
		}
	}
	fmt.Fprintln(out, "\nSelected beyond truth:")
	for _, o := range outcomes {
		for _, line := range beyondLines(o) {
			fmt.Fprintln(out, line)
		}
	}
	fmt.Fprintf(out, "\n| kind | changes | selected | truth | missed | beyond | of them by cut-off |\n|---|---|---|---|---|---|---|\n")
	for _, t := range append(rows, plain, onSetups, all) {
		fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %d | %d |\n", t.kind, t.changes, t.selected, t.truth, t.missed, t.beyond, t.ofCutOff)
	}
	if len(took) > 0 {
		slices.Sort(took)
		fmt.Fprintf(out, "\naffected took %.2f s in the median, %.2f s at most; the truth was known for %d of %d changes\n", took[len(took)/2].Seconds(), took[len(took)-1].Seconds(), remembered, len(outcomes))
	}
	for _, o := range outcomes {
		switch {
		case o.err != nil:
			fmt.Fprintf(out, "FAILED %s: %s: %v\n", o.kind, o.name, o.err)
		case len(o.missed) > 0:
			fmt.Fprintf(out, "FAILED %s: %s: missed %s\n", o.kind, o.name, strings.Join(o.missed, ", "))
		}
	}
	for _, t := range []total{plain, onSetups} {
		if t.selected > 0 {
			fmt.Fprintf(out, "%s: beyond truth are %.1f %% of the selections, without those cut off %.1f %%\n", t.kind, percent(t.beyond, t.selected), percent(t.beyond-t.ofCutOff, t.selected))
		}
	}
	switch {
	case !whole:
	case all.beyond*100 > all.selected*mostBeyond:
		failed++
		fmt.Fprintf(out, "FAILED %d of %d selections are beyond truth, more than %d %%\n", all.beyond, all.selected, mostBeyond)
	default:
		passed++
		fmt.Fprintf(out, "passed %d of %d selections are beyond truth, at most %d %%\n", all.beyond, all.selected, mostBeyond)
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return fmt.Errorf("%d of %d promises are not kept", failed, passed+failed)
	}
	return nil
}

func percent(part, whole int) float64 { return 100 * float64(part) / float64(whole) }

// beyondLines lists what was selected beyond truth. Tests whose reason is the same but
// for their own name are one line: a change that widens has hundreds.
func beyondLines(o outcome) []string {
	type group struct {
		first beyond
		more  int
	}
	var groups []*group
	byReason := map[string]*group{}
	for _, b := range o.beyond {
		reason := strings.TrimPrefix(b.reason, b.test)
		if i := strings.LastIndex(reason, " <- "); i >= 0 {
			reason = reason[i:]
		}
		if g, ok := byReason[reason]; ok {
			g.more++
			continue
		}
		g := &group{first: b}
		byReason[reason] = g
		groups = append(groups, g)
	}
	var lines []string
	for _, g := range groups {
		line := fmt.Sprintf("  %s: %s: %s", o.kind, o.name, g.first.reason)
		if g.first.cutOff {
			line += " (cut off)"
		}
		if g.more > 0 {
			line += fmt.Sprintf(", and %d more tests for the same change", g.more)
		}
		lines = append(lines, line)
	}
	return lines
}
