package ginkgo

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

// coverMode is testing's, a variable for tests.
var coverMode = testing.CoverMode

// writeCoverage writes the coverage profile of this process if it was built for
// one and asked for it. Only testing.M's Run writes profiles, at its end, so it is
// called with a selection that has no Go test. Without that call a suite's coverage is
// empty: specs are no Go tests, and nothing else calls Run. After an interruption there
// is no profile, since specs may still be running.
func (r *run) writeCoverage() {
	profile := flag.Lookup("test.coverprofile")
	if r.options.M == nil || coverMode() == "" || profile == nil || profile.Value.String() == "" || r.interruptedBy() != "" {
		return
	}
	err := errors.Join(
		flag.Set("test.run", "^$"),
		flag.Set("test.bench", "^$"), // keeps it from warning that there is nothing to run
		// rules_go sets it from pieces of --test_filter, of which Run ends the process
		// if one is no regular expression.
		flag.Set("test.skip", ""),
		// Run would begin that log now, without the files and variables that specs have
		// read, and cmd/go would take the result from its cache when those change.
		flag.Set("test.testlogfile", ""),
	)
	if err == nil {
		err = r.measured()
	}
	if err != nil {
		r.results.problem("coverage", fmt.Errorf("write %s: %w", profile.Value, err))
	}
}

// measured calls Run and lets through what it prints about coverage: its verdict
// on no tests at all would stand under that on the specs.
func (r *run) measured() error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		lines := bufio.NewScanner(reader)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "coverage:") {
				fmt.Fprintln(r.out, lines.Text())
			}
		}
		_, _ = io.Copy(io.Discard, reader) // a line too long: never block Run
	}()
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout = writer
	code := r.options.M.Run()
	os.Stdout, os.Stderr = stdout, stderr // with go test -json, Run makes one of both
	_ = writer.Close()
	<-printed
	_ = reader.Close()
	if code != 0 {
		return fmt.Errorf("testing.M's Run returned %d", code)
	}
	return nil
}
