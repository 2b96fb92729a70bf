// Package runfiles finds the files that Bazel puts beside a program or test.
package runfiles

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Root is the runfiles directory that Bazel names to this process:
// RUNFILES_DIR, else TEST_SRCDIR, else "PROGRAM.runfiles" beside the program.
func Root() (string, error) {
	for _, name := range []string{"RUNFILES_DIR", "TEST_SRCDIR"} {
		if dir := os.Getenv(name); dir != "" {
			return filepath.Abs(dir)
		}
	}
	program, err := os.Executable()
	if err == nil {
		if strings.Contains(program, ".runfiles/") {
			return program[:strings.LastIndex(program, ".runfiles/")+len(".runfiles")], nil
		}
		if info, statErr := os.Stat(program + ".runfiles"); statErr == nil && info.IsDir() {
			return program + ".runfiles", nil
		}
	}
	return "", fmt.Errorf("no runfiles directory: neither RUNFILES_DIR nor TEST_SRCDIR is set; run this through bazel")
}
