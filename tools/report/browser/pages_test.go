package browser

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stormgate.internal/tools/report/internal/history"
	"stormgate.internal/tools/report/internal/page"
	"stormgate.internal/tools/report/internal/run"
	"stormgate.internal/tools/report/internal/runtest"
)

// pages are what is looked at: makers by what is on them.
var pages = map[string]func(t *testing.T) page.Content{
	"failures": failures,
	"history":  withHistory,
	"long":     long,
	"nothing": func(*testing.T) page.Content {
		return page.Content{Run: &run.Run{Verdict: run.Skipped, Headline: "no test ran"}}
	},
}

// failures is the small run that has each kind of end.
func failures(t *testing.T) page.Content {
	t.Helper()
	dir := t.TempDir()
	r, err := run.Load(runtest.Write(t, dir, nil), run.Options{WorkerLogs: []string{filepath.Join(dir, "worker.log")}})
	if err != nil {
		t.Fatal(err)
	}
	return page.Content{Run: r}
}

// historyRuns is how many runs a history has.
const historyRuns = 30

func withHistory(t *testing.T) page.Content {
	t.Helper()
	c := failures(t)
	for i := range historyRuns {
		record := history.Of(c.Run)
		record.Invocation, record.Started = fmt.Sprint(i), c.Run.Started.Add(time.Duration(i-historyRuns+1)*time.Hour)
		for j := range record.Specs {
			if s := &record.Specs[j]; i%7 == j%7 {
				s.Verdict = string(run.Product)
			}
		}
		c.Records = append(c.Records, record)
	}
	return c
}

// long has much of everything, in words that no line breaks in.
func long(t *testing.T) page.Content {
	t.Helper()
	c := withHistory(t)
	word := strings.Repeat("a-name-without-a-space/", 12)
	text := run.NewText(strings.Repeat("a line of a long log "+word+"\n", 200))
	for i := range 40 {
		f := *c.Run.Failures[i%4]
		shown := *f.Case
		shown.Name = fmt.Sprintf("%s %d %s", shown.Name, i, word)
		f.Case, f.ID = &shown, fmt.Sprintf("long-%d", i)
		f.Output, f.Stack = text, text
		f.Slices = []run.Slice{{Kind: "log", Name: "calm/" + word, Text: text, Own: []string{"long"}}}
		c.Run.Failures = append(c.Run.Failures, &f)
	}
	s := c.Run.Shards[0]
	for i := range 100 {
		s.Cases = append(s.Cases, &run.Case{Name: fmt.Sprintf("spec %d %s", i, word), Spec: true, Verdict: run.Passed, Output: word})
	}
	c.Run.Patterns = append(c.Run.Patterns, "//"+word)
	return c
}

// draw writes a page to a file. Edit changes it before; nil changes nothing.
func draw(t *testing.T, c page.Content, edit func(string) string) string {
	t.Helper()
	var html bytes.Buffer
	if err := page.Write(&html, c); err != nil {
		t.Fatal(err)
	}
	if html.Len() > page.MaxBytes {
		t.Errorf("the page has %d bytes, more than %d", html.Len(), page.MaxBytes)
	}
	text := html.String()
	if edit != nil {
		text = edit(text)
		if text == html.String() {
			t.Fatal("the edit changed nothing")
		}
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
