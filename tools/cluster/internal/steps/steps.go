// Package steps runs work that is a table: steps, and for each the steps it
// waits for. What does not wait for each other runs at the same time.
package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Step is one row of a table.
type Step struct {
	// Name is unique in its table. Required.
	Name string
	// Needs are the names of the steps that must have succeeded before Run is
	// called. Each of them is a row of the same table.
	Needs []string
	// Run does the work. It returns soon after its context ends, which it does
	// when another step fails. Required.
	Run func(context.Context) error
}

// Run runs all steps, each as soon as those that it needs have succeeded. It
// returns when no step runs any more.
//
// The error is that of the first step that failed. When ctx ends, the steps
// that run then return the error, since they know what they were waiting for;
// steps that have not begun never do. The cause of ctx is the error where no
// step returned one. A table that names an unknown need, has two steps of one
// name or a cycle is refused before any step runs.
func Run(ctx context.Context, table []Step) error {
	if err := check(table); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	done := make(map[string]chan struct{}, len(table))
	for _, step := range table {
		done[step.Name] = make(chan struct{})
	}
	for _, step := range table {
		group.Go(func() error {
			for _, need := range step.Needs {
				select {
				case <-done[need]:
				case <-ctx.Done():
					return nil
				}
			}
			// A select with both ready chooses at random.
			if ctx.Err() != nil {
				return nil
			}
			if err := step.Run(ctx); err != nil {
				return err
			}
			close(done[step.Name])
			return nil
		})
	}
	// errgroup ends its context when Wait returns, so look at the steps instead.
	if err := group.Wait(); err != nil {
		return err
	}
	for _, step := range table {
		select {
		case <-done[step.Name]:
		default:
			return context.Cause(ctx)
		}
	}
	return nil
}

// check refuses a table that could not be run to its end.
func check(table []Step) error {
	needs := make(map[string][]string, len(table))
	for _, step := range table {
		if _, twice := needs[step.Name]; twice {
			return fmt.Errorf("order steps: two have the name %q", step.Name)
		}
		needs[step.Name] = step.Needs
	}
	finished := map[string]bool{}
	var visit func(name string, path []string) error
	visit = func(name string, path []string) error {
		if i := slices.Index(path, name); i >= 0 {
			return fmt.Errorf("order steps: they wait for one another: %s", strings.Join(append(path[i:], name), ", "))
		}
		if finished[name] {
			return nil
		}
		for _, need := range needs[name] {
			if _, known := needs[need]; !known {
				return fmt.Errorf("order steps: %q needs %q, which is no step", name, need)
			}
			if err := visit(need, append(slices.Clip(path), name)); err != nil {
				return err
			}
		}
		finished[name] = true
		return nil
	}
	for _, step := range table {
		if err := visit(step.Name, nil); err != nil {
			return err
		}
	}
	return nil
}

// Mermaid draws the table as a Mermaid flowchart, with an arrow from each step
// to those that wait for it.
func Mermaid(table []Step) string {
	var drawing strings.Builder
	drawing.WriteString("flowchart TD\n")
	ids := make(map[string]string, len(table))
	for i, step := range table {
		ids[step.Name] = fmt.Sprintf("s%d", i)
		fmt.Fprintf(&drawing, "    s%d[%q]\n", i, step.Name)
	}
	for _, step := range table {
		for _, need := range step.Needs {
			fmt.Fprintf(&drawing, "    %s --> %s\n", ids[need], ids[step.Name])
		}
	}
	return drawing.String()
}
