package steps

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

// log records the order in which steps end.
type log struct {
	mu    sync.Mutex
	names []string
}

func (l *log) step(name string, needs ...string) Step {
	return Step{Name: name, Needs: needs, Run: func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.names = append(l.names, name)
		return nil
	}}
}

// Promise: a step runs after all that it needs, wherever they stand in the table.
func TestOrder(t *testing.T) {
	var l log
	table := []Step{l.step("roof", "walls", "beams"), l.step("walls", "floor"), l.step("beams"), l.step("floor")}
	if err := Run(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	at := func(name string) int { return slices.Index(l.names, name) }
	if len(l.names) != 4 || at("floor") > at("walls") || at("walls") > at("roof") || at("beams") > at("roof") {
		t.Errorf("order = %v", l.names)
	}
}

// Promise: steps that do not wait for each other run at the same time.
func TestOverlap(t *testing.T) {
	there, back := make(chan struct{}), make(chan struct{})
	table := []Step{
		{Name: "caller", Run: func(context.Context) error { close(there); <-back; return nil }},
		{Name: "called", Run: func(context.Context) error { <-there; close(back); return nil }},
	}
	if err := Run(t.Context(), table); err != nil {
		t.Fatal(err)
	}
}

// Promise: a failure ends the steps that run, keeps back those that wait, and is what is returned.
func TestFailureCancels(t *testing.T) {
	var l log
	cause := errors.New("no bricks")
	running := make(chan struct{})
	table := []Step{
		{Name: "garden", Run: func(ctx context.Context) error {
			close(running)
			<-ctx.Done()
			return ctx.Err()
		}},
		{Name: "walls", Run: func(context.Context) error { <-running; return cause }},
		l.step("roof", "walls"),
	}
	if err := Run(t.Context(), table); !errors.Is(err, cause) {
		t.Errorf("error = %v, want %v", err, cause)
	}
	if len(l.names) != 0 {
		t.Errorf("%v ran after what it needs had failed", l.names)
	}
}

// Promise: at the end of the context the step that runs gives the error. It knows what it waited for,
// and steps that wait for it do not.
func TestEndIsExplainedByTheStepThatRuns(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	explained := errors.New("etcd did not answer")
	table := []Step{{Name: "etcd", Run: func(ctx context.Context) error {
		cancel(errors.New("deadline"))
		<-ctx.Done()
		return explained
	}}}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		table = append(table, new(log).step(name, "etcd"))
	}
	if err := Run(ctx, table); !errors.Is(err, explained) {
		t.Errorf("error = %v, want %v", err, explained)
	}
}

// Promise: steps that the end of the context kept from running are an error, its cause.
func TestEndWithoutAnExplanation(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("deadline")
	var l log
	table := []Step{
		{Name: "etcd", Run: func(context.Context) error { cancel(cause); return nil }},
		l.step("server", "etcd"),
	}
	if err := Run(ctx, table); !errors.Is(err, cause) || len(l.names) != 0 {
		t.Errorf("error = %v, want %v; ran %v", err, cause, l.names)
	}
}

func TestTablesThatCannotEndAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		table func(*log) []Step
		words []string
	}{
		"unknown need":   {func(l *log) []Step { return []Step{l.step("a"), l.step("b", "a", "c")} }, []string{`"b"`, `"c"`}},
		"cycle":          {func(l *log) []Step { return []Step{l.step("x"), l.step("a", "x", "b"), l.step("b", "a")} }, []string{"a, b, a"}},
		"need of itself": {func(l *log) []Step { return []Step{l.step("a", "a")} }, []string{"a, a"}},
		"same name":      {func(l *log) []Step { return []Step{l.step("a"), l.step("a")} }, []string{`"a"`}},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			err := Run(t.Context(), test.table(&l))
			if err == nil || len(l.names) != 0 {
				t.Fatalf("error = %v; ran %v", err, l.names)
			}
			for _, word := range test.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not mention %s", err, word)
				}
			}
		})
	}
}

func TestMermaid(t *testing.T) {
	var l log
	want := "flowchart TD\n    s0[\"walls\"]\n    s1[\"roof\"]\n    s0 --> s1\n"
	if got := Mermaid([]Step{l.step("walls"), l.step("roof", "walls")}); got != want {
		t.Errorf("drawing:\n%s\nwant:\n%s", got, want)
	}
}
