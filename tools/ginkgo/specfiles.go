package ginkgo

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// specsFolder is where writeSpecFiles writes, inside the test's outputs.
const specsFolder = "specs"

// writeSpecFiles writes a file for each spec or other node that failed: its whole
// output, all failures, and its time, by which its lines in other logs are found.
func (r *run) writeSpecFiles() error {
	if r.bazel.outputsDir == "" {
		return nil
	}
	var errs []error
	used := map[string]int{}
	for _, c := range r.results.cases() {
		inLog := !c.isSpec() && strings.TrimSpace(c.Details) == c.Message // the digest has it all
		if !c.bad() || c.Kind == kindLost || inLog {
			continue
		}
		folder := filepath.Join(r.bazel.outputsDir, specsFolder)
		errs = append(errs, os.MkdirAll(folder, 0o755))
		name := fileName(c.Name)
		used[name]++
		if n := used[name]; n > 1 {
			name = fmt.Sprintf("%s-%d", name, n)
		}
		errs = append(errs, os.WriteFile(filepath.Join(folder, name+".txt"), []byte(c.describe()), 0o644))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write files of failed specs: %w", err)
	}
	return nil
}

// describe is all that is known of a case.
func (c testCase) describe() string {
	at := c.At
	if c.isSpec() {
		at = c.Spec.Leaf
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n", c.Name)
	if at.File != "" {
		fmt.Fprintf(&text, "at:     %s\n", at.location())
	}
	if !c.Began.IsZero() {
		fmt.Fprintf(&text, "began:  %s\ntook:   %s s\n", c.Began.UTC().Format(time.RFC3339Nano), seconds(c.Duration))
	}
	fmt.Fprintf(&text, "result: %s\n\n%s\n", c.Kind, c.Details)
	if c.Output != "" {
		fmt.Fprintf(&text, "\noutput:\n%s\n", c.Output)
	}
	return printable(text.String())
}

var notInFileNames = regexp.MustCompile(`[^A-Za-z0-9._]+`)

// fileName is text as the name of a file that a shell takes without quotes.
func fileName(text string) string {
	name := strings.Trim(notInFileNames.ReplaceAllString(text, "-"), "-.")
	if len(name) > 120 {
		name = strings.TrimRight(name[:120], "-.")
	}
	return cmp.Or(name, "spec")
}
