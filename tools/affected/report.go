package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

func short(commit string) string {
	if len(commit) > 12 {
		return commit[:12]
	}
	return commit
}

// heading says what was compared.
func heading(d *document) string {
	base := d.Base.Name + " (" + short(d.Base.Commit)
	if d.Base.Commit != d.Base.Given {
		base = "the merge base with " + d.Base.Name + " (" + short(d.Base.Commit)
	}
	head := d.Head.Name
	if head == worktree {
		head = "the work tree (" + short(d.Head.Commit)
		if d.Head.Dirty {
			head += " and changes to it"
		}
	} else {
		head += " (" + short(d.Head.Commit)
	}
	return fmt.Sprintf("%s: %s between %s) and %s)", plural(len(d.Changes), "changed file", "changed files"), plural(len(d.Tests), "test", "tests")+" of "+fmt.Sprint(d.Total), base, head)
}

func textReport(d *document) string {
	var b strings.Builder
	fmt.Fprintln(&b, heading(d))
	for _, e := range d.Explanations {
		fmt.Fprintf(&b, "explain: %s\n", e.Reason)
	}
	for _, w := range d.Widened {
		fmt.Fprintf(&b, "widened: %s: %s\n", w.Scope, w.Why)
	}
	for _, e := range d.Everything {
		fmt.Fprintf(&b, "everything: %s: %s\n", e.Path, e.Why)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, u := range d.Unused {
		fmt.Fprintf(&b, "affects no test: %s: %s\n", u.Path, u.Why)
	}
	for _, r := range d.Removed {
		fmt.Fprintf(&b, "removed: %s\n", r)
	}
	for _, t := range d.Tests {
		fmt.Fprintln(&b, t.Reason)
	}
	return b.String()
}

// github writes a summary in Markdown, and outputs of the step.
func (t *tool) github(d *document) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### Affected tests\n\n%s\n\n", escape(heading(d)))
	if len(d.Everything) > 0 {
		fmt.Fprint(&b, "Everything counts as affected:\n\n")
		for _, e := range d.Everything {
			fmt.Fprintf(&b, "- `%s`: %s\n", e.Path, escape(e.Why))
		}
		b.WriteString("\n")
	}
	for _, w := range d.Widened {
		fmt.Fprintf(&b, "- widened: `%s`: %s\n", w.Scope, escape(w.Why))
	}
	if len(d.Tests) > 0 {
		fmt.Fprint(&b, "\n| test | because of |\n|---|---|\n")
		for _, test := range d.Tests {
			reason := strings.TrimPrefix(test.Reason, test.Label+" <- ")
			fmt.Fprintf(&b, "| `%s` | %s |\n", test.Label, escape(reason))
		}
	}
	for _, u := range d.Unused {
		fmt.Fprintf(&b, "\n`%s` affects no test: %s\n", u.Path, escape(u.Why))
	}
	if _, err := io.WriteString(t.stdout, b.String()); err != nil {
		return err
	}
	if err := appendTo(os.Getenv("GITHUB_STEP_SUMMARY"), b.String()); err != nil {
		return err
	}
	var labels []string
	for _, test := range d.Tests {
		labels = append(labels, test.Label)
	}
	// Labels have no line breaks.
	return appendTo(os.Getenv("GITHUB_OUTPUT"), fmt.Sprintf("count=%d\neverything=%t\ntests=%s\n", len(labels), len(d.Everything) > 0, strings.Join(labels, " ")))
}

func escape(text string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "\n", " ").Replace(text)
}

func appendTo(file, text string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close() // The first error says what is wrong.
		return fmt.Errorf("write the summary: %w", err)
	}
	return f.Close()
}
