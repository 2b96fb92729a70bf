package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// selection is what affected chose.
type selection struct {
	// reasons are by test.
	reasons map[string]string
	// always are the tests that Bazel runs whatever changed: affected lists them, but
	// says nothing of their keys.
	always map[string]bool
	// took is how long it took.
	took time.Duration
}

// answer is what is read of affected's JSON, version 1.
type answer struct {
	Version int
	Tests   []struct{ Label, State, Reason string }
	Removed []string
}

// answerVersion is the version of the JSON that is understood here.
const answerVersion = 1

func readAnswer(text []byte) (selection, error) {
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return selection{}, fmt.Errorf("read affected's JSON: %w in %q", err, text)
	}
	if a.Version != answerVersion {
		return selection{}, fmt.Errorf("affected's JSON has version %d, want %d: this program must follow", a.Version, answerVersion)
	}
	s := selection{reasons: map[string]string{}, always: map[string]bool{}}
	for _, t := range a.Tests {
		s.reasons[t.Label] = t.Reason
		if t.State == "always" {
			s.always[t.Label] = true
		}
	}
	for _, label := range a.Removed {
		s.reasons[label] = label + " is removed"
	}
	return s, nil
}

// ask runs affected in a workspace.
func ask(ctx context.Context, program, workspace, index, base, head string) (selection, error) {
	cmd := exec.CommandContext(ctx, program, "--repository="+workspace, "--base="+base, "--head="+head, "--output=json", "--index="+index)
	cmd.Dir = workspace
	cmd.WaitDelay = 10 * time.Second
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	started := time.Now()
	if err := cmd.Run(); err != nil {
		return selection{}, fmt.Errorf("affected --base=%s --head=%s: %w\n%s", base, head, err, bytes.TrimSpace(log.Bytes()))
	}
	took := time.Since(started)
	s, err := readAnswer(out.Bytes())
	s.took = took
	return s, err
}

// outcome is how affected's answer compares with the truth, for one change.
type outcome struct {
	kind, name string
	// setup says that the change starts from a set-up of its own.
	setup    bool
	selected int
	truth    int
	missed   []string
	beyond   []beyond
	took     time.Duration
	// remembered says that the truth was found out in an earlier run.
	remembered bool
	err        error
}

// beyond is a test that was selected although its key is the same.
type beyond struct {
	test, reason string
	// cutOff says that an input of it did change before an action on the way wrote the
	// same output as before, which can't be known without executing the action.
	cutOff bool
}

// compare compares. Tests in cutOff have other keys in the action graph, but no other
// inputs. A test that always runs counts as selected if it belongs to the truth, and
// else not at all.
func compare(o outcome, truth map[string]string, cutOff map[string]bool, s selection) outcome {
	o.truth, o.took = len(truth), s.took
	for _, test := range sorted(truth) {
		if _, ok := s.reasons[test]; !ok {
			o.missed = append(o.missed, test+" ("+truth[test]+")")
		}
	}
	for _, test := range sorted(s.reasons) {
		_, ok := truth[test]
		if !ok && s.always[test] {
			continue
		}
		o.selected++
		if !ok {
			o.beyond = append(o.beyond, beyond{test: test, reason: s.reasons[test], cutOff: cutOff[test]})
		}
	}
	return o
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
