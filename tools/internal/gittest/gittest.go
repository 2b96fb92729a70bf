// Package gittest gives tests git.
package gittest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// ProgramVariable names the git that the build declares, by its path in the runfiles.
const ProgramVariable = "GIT_PROGRAM"

// Main runs tests with that git first on PATH, since nothing undeclared is there. Outside
// Bazel it is the machine's. It does not return.
func Main(m *testing.M) {
	code, err := Run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gittest:", err)
		code = 1
	}
	os.Exit(code)
}

// Run is Main for tests that have more to do: it returns what m.Run does.
func Run(m *testing.M) (int, error) {
	program := os.Getenv(ProgramVariable)
	if program == "" {
		return m.Run(), nil
	}
	program = filepath.Join(os.Getenv("TEST_SRCDIR"), program)
	dir, err := os.MkdirTemp("", "git")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	// Not a link: the program finds its libraries from where it is.
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\"\n", program)
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755); err != nil {
		return 0, err
	}
	if err := os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		return 0, err
	}
	return m.Run(), nil
}
