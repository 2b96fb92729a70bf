package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mutant is a way to break the gateway, and the specs or tests that have to notice it.
type mutant struct {
	// name is unique: lower-case words with dashes between them.
	name string
	// promise is what the mutant breaks, with the place in the contract.
	promise string
	// scenario is the file in e2e that makes the promise, without _test.go. It is empty for
	// promises that no scenario makes.
	scenario string
	// test is in place of scenario: the label of a test of the gateway's own, such as
	// //gateway/server:server_test.
	test string
	// specs is a regular expression over the texts of those specs of the scenario, or the
	// names of those functions of the test, that are run.
	specs string
	// edits are made together, since some promises are kept in more than one place.
	edits []edit
}

// edit replaces a text that a file has exactly once.
type edit struct {
	file              string // from the top of the repository
	text, replacement string
}

// target is the label of what notices it.
func (m mutant) target() string {
	if m.test != "" {
		return m.test
	}
	return targetOf(m.scenario)
}

// source is what testxml.Case.File is for cases of the target: the file of a scenario,
// or the label of another test.
func (m mutant) source() string {
	if m.test != "" {
		return m.test
	}
	return "e2e/" + m.scenario + "_test.go"
}

func targetOf(scenario string) string { return "//e2e:" + scenario + "_test" }

// catalog is all mutants, by what they break.
func catalog() []mutant {
	return slices.Concat(dedupMutants, stormMutants, kubernetesMutants, interfaceMutants, metricsMutants, senderMutants, securityMutants, lossMutants)
}

// choose returns those of the catalog whose names match.
func choose(all []mutant, only string) ([]mutant, error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return nil, fmt.Errorf("read --only: %w", err)
	}
	chosen := slices.DeleteFunc(slices.Clone(all), func(m mutant) bool { return !wanted.MatchString(m.name) })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no mutant's name matches --only=%s", only)
	}
	return chosen, nil
}

// apply makes the edits in a copy of the repository. It changes nothing if one of
// them does not fit. The function that it returns puts everything back.
func (m mutant) apply(root string) (restore func() error, err error) {
	files := map[string][]edit{}
	for _, e := range m.edits {
		files[e.file] = append(files[e.file], e)
	}
	before, after := map[string][]byte{}, map[string][]byte{}
	for file, edits := range files {
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return nil, fmt.Errorf("mutant %s: %w", m.name, err)
		}
		mutated, err := rewrite(string(content), edits)
		if err != nil {
			return nil, fmt.Errorf("mutant %s: %s %w", m.name, file, err)
		}
		before[file], after[file] = content, []byte(mutated)
	}
	restore = func() error { return writeFiles(root, before) }
	if err := writeFiles(root, after); err != nil {
		return nil, errors.Join(fmt.Errorf("mutant %s: %w", m.name, err), restore())
	}
	return restore, nil
}

// rewrite makes edits of one file, each where the file as it was has the text.
func rewrite(content string, edits []edit) (string, error) {
	at := func(e edit) int { return strings.Index(content, e.text) }
	for _, e := range edits {
		if e.text == "" || e.text == e.replacement {
			return "", fmt.Errorf("stays as it is with %q in place of %q", e.replacement, e.text)
		}
		if n := strings.Count(content, e.text); n != 1 {
			return "", fmt.Errorf("has this text %d times, not once (bring the mutant up to date):\n%s", n, e.text)
		}
	}
	edits = slices.SortedFunc(slices.Values(edits), func(a, b edit) int { return at(a) - at(b) })
	var out strings.Builder
	end := 0
	for _, e := range edits {
		if at(e) < end {
			return "", fmt.Errorf("has edits that overlap, one of them of:\n%s", e.text)
		}
		out.WriteString(content[end:at(e)])
		out.WriteString(e.replacement)
		end = at(e) + len(e.text)
	}
	out.WriteString(content[end:])
	return out.String(), nil
}

func writeFiles(root string, contents map[string][]byte) error {
	var failures []error
	for file, content := range contents {
		failures = append(failures, os.WriteFile(filepath.Join(root, file), content, 0o666))
	}
	return errors.Join(failures...)
}
