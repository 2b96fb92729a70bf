// Package runfiles finds the files that Bazel puts beside a program or test.
//
// A runfile path is what $(rlocationpath) gives, such as "_main/e2e/suite.json".
package runfiles

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Variables in which Bazel names the runfiles directory, the surest first.
var variables = []string{"RUNFILES_DIR", "TEST_SRCDIR"}

// Root returns the runfiles directory of this process: what RUNFILES_DIR names,
// else what TEST_SRCDIR names, else "PROGRAM.runfiles" beside the program.
func Root() (string, error) {
	if found := roots(); len(found) > 0 {
		return filepath.Abs(found[0])
	}
	return "", fmt.Errorf("find the runfiles directory: neither %s is set; run this through bazel", strings.Join(variables, " nor "))
}

// File returns the absolute path of a regular file. The path is absolute, a
// runfile path, or relative to the working directory. The error names every place
// where the file could have been.
func File(path string) (string, error) {
	candidates := candidatesFor(path)
	for _, candidate := range candidates {
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() {
			return filepath.Abs(candidate)
		}
	}
	return "", fmt.Errorf("no such file at any of %q", candidates)
}

// NamedBy returns the absolute path of the file that an environment variable
// names, as File takes it. The error names the variable. It is an error if the
// variable is not set.
func NamedBy(variable string) (string, error) {
	path := os.Getenv(variable)
	if path == "" {
		return "", fmt.Errorf("%s is not set", variable)
	}
	file, err := File(path)
	if err != nil {
		return "", fmt.Errorf("%s=%s: %w", variable, path, err)
	}
	return file, nil
}

// Program returns the absolute path of the program that an environment variable
// names: a file as File takes it, or the name of a program on the PATH. If the
// variable is not set, it is the program of that name on the PATH.
func Program(variable, name string) (string, error) {
	named := cmp.Or(os.Getenv(variable), name)
	file, err := File(named)
	if err == nil {
		return file, nil
	}
	if path, lookErr := exec.LookPath(named); lookErr == nil {
		return filepath.Abs(path)
	}
	return "", fmt.Errorf("find %s: no program %q on the PATH, and %w; set %s", name, named, err, variable)
}

// candidatesFor lists where a file may be, the surest place first.
func candidatesFor(path string) []string {
	if filepath.IsAbs(path) {
		return []string{path}
	}
	path = filepath.FromSlash(path)
	var candidates []string
	for _, root := range roots() {
		candidates = append(candidates, filepath.Join(root, path))
	}
	// "bazel run" sets neither variable. It starts a program in runfiles/_main.
	return append(candidates, filepath.Join("..", path), path)
}

// roots lists the runfiles directories of this process, the surest first.
func roots() []string {
	var found []string
	for _, variable := range variables {
		if dir := os.Getenv(variable); dir != "" {
			found = append(found, dir)
		}
	}
	program, err := os.Executable()
	if err != nil {
		return found
	}
	const suffix = ".runfiles"
	if i := strings.LastIndex(program, suffix+"/"); i >= 0 {
		return append(found, program[:i+len(suffix)])
	}
	if info, err := os.Stat(program + suffix); err == nil && info.IsDir() {
		return append(found, program+suffix)
	}
	return found
}
