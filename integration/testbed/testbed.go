// Package testbed runs the gateway and Redis as processes, sends alerts to
// gateways, and knows which objects must exist after that. Benchmarks and tests
// of the whole use it; where the API server comes from is their business.
package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Variables that name the programs: an absolute path, the path of a runfile, or
// the name of a program on the PATH.
const (
	GatewayVariable = "STORMGATE_GATEWAY"
	RedisVariable   = "STORMGATE_REDIS_SERVER"
)

// Program finds the program that the variable names, else one on the PATH that
// is called so.
func Program(variable, name string) (string, error) {
	named := os.Getenv(variable)
	if named == "" {
		named = name
	}
	candidates := []string{named}
	if !filepath.IsAbs(named) {
		// `bazel run` starts programs in runfiles/_main, tests in a package below.
		candidates = append(candidates, filepath.Join("..", named))
		for _, root := range []string{os.Getenv("RUNFILES_DIR"), os.Getenv("TEST_SRCDIR")} {
			if root != "" {
				candidates = append(candidates, filepath.Join(root, named))
			}
		}
	}
	for _, candidate := range candidates {
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() {
			return filepath.Abs(candidate)
		}
	}
	if path, err := exec.LookPath(named); err == nil {
		return filepath.Abs(path)
	}
	return "", fmt.Errorf("find %s: no program %q on the PATH or at any of %q (set %s)", name, named, candidates, variable)
}
