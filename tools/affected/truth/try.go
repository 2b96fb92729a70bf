package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"stormgate.internal/tools/affected/truth/internal/bazel"
	"stormgate.internal/tools/affected/truth/internal/catalog"
	"stormgate.internal/tools/affected/truth/internal/gittree"
)

// ground is a workspace with its changes, each of which is a branch.
type ground interface {
	// ends returns the files before and after a change.
	ends(i int) (base, head gittree.Tree)
	// start is the branch that a change starts from.
	start(i int) string
	// present makes a change's files those of the work tree.
	present(ctx context.Context, i int, c catalog.Change) error
	// find finds out the truth for a change.
	find(ctx context.Context, i int, c catalog.Change) (finding, error)
}

// trial is one run of this program.
type trial struct {
	options
	changes   []catalog.Change
	ground    ground
	workspace *bazel.Workspace
	truths    *truths
}

// newTrial makes the workspace, the small one or a copy of this repository.
func newTrial(ctx context.Context, out io.Writer, o options, own bool) (*trial, error) {
	t := &trial{options: o}
	if own {
		t.changes = ownChanges()
		undone, err := lastCommits(ctx, o.repository)
		if err != nil {
			return nil, err
		}
		t.changes = append(t.changes, undone...)
		made, err := newOwn(ctx, o, t.changes)
		if err != nil {
			return nil, err
		}
		t.ground, t.workspace = made, &made.Workspace
	} else {
		t.changes = catalog.Changes()
		made, err := newSmall(ctx, o, t.changes)
		if err != nil {
			return nil, err
		}
		t.ground, t.workspace = made, &made.Workspace
	}
	version, err := t.workspace.Version(ctx)
	if err != nil {
		return nil, err
	}
	fingerprint, err := fingerprintOf(version, o.repository)
	if err != nil {
		return nil, err
	}
	known, word, err := openTruths(o.dir, fingerprint)
	if word != "" {
		fmt.Fprintln(out, word)
	}
	t.truths = known
	return t, err
}

// all tries the changes whose kind and name match.
func (t *trial) all(ctx context.Context, out io.Writer, only *regexp.Regexp) ([]outcome, error) {
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
		defer cancel()
		if err := t.workspace.Shutdown(ending); err != nil {
			fmt.Fprintln(out, err)
		}
	}()
	var outcomes []outcome
	for i, c := range t.changes {
		if !only.MatchString(c.Kind + ": " + c.Name) {
			continue
		}
		started := time.Now()
		result := t.one(ctx, i, c)
		if ctx.Err() != nil {
			return outcomes, context.Cause(ctx)
		}
		outcomes = append(outcomes, result)
		printOutcome(out, result, time.Since(started))
	}
	return outcomes, nil
}

// one compares what affected says of a change with the truth.
func (t *trial) one(ctx context.Context, i int, c catalog.Change) (o outcome) {
	o = outcome{kind: c.Kind, name: c.Name, setup: c.Setup != nil}
	name := t.truths.name(t.ground.ends(i))
	f, known := t.truths.known[name]
	if o.remembered = known && !t.again; !o.remembered {
		if f, o.err = t.ground.find(ctx, i, c); o.err != nil {
			return o
		}
		if o.err = t.truths.remember(name, f); o.err != nil {
			return o
		}
	}
	head := branchOf(i)
	if c.Uncommitted {
		head = "worktree"
		if o.err = t.ground.present(ctx, i, c); o.err != nil {
			return o
		}
	}
	answer, err := ask(ctx, t.affected, t.workspace.Root, filepath.Join(t.dir, "index"), t.ground.start(i), head)
	if err != nil {
		o.err = err
		return o
	}
	truth, cutOff := f.Truth, map[string]bool{}
	if c.Elsewhere != "" {
		tests := c.ElsewhereTests
		if tests == nil {
			tests = f.Tests
		}
		truth = maps.Clone(truth)
		if truth == nil {
			truth = map[string]string{}
		}
		for _, label := range tests {
			truth[label] = c.Elsewhere
		}
	}
	for _, label := range f.CutOff {
		cutOff[label] = true
	}
	return compare(o, truth, cutOff, answer)
}

func printOutcome(out io.Writer, o outcome, took time.Duration) {
	verdict := "passed"
	detail := ""
	switch {
	case o.err != nil:
		verdict, detail = "FAILED", "\n  "+strings.ReplaceAll(o.err.Error(), "\n", "\n  ")
	case len(o.missed) > 0:
		verdict, detail = "FAILED", "\n  missed "+strings.Join(o.missed, "\n  missed ")
	}
	fmt.Fprintf(out, "%s %s: %s: selected %d, truth %d, beyond %d (%.1f s)%s\n", verdict, o.kind, o.name, o.selected, o.truth, len(o.beyond), took.Seconds(), detail)
}
