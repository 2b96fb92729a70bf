package clustertest

import (
	"fmt"
	"os"
	"path/filepath"
)

// BinaryEnv names the cluster binary for tests and benchmarks: an absolute
// path, or the path of a runfile as $(rlocationpath) gives it.
const BinaryEnv = "STORMGATE_CLUSTER"

// Binary finds the cluster binary that BinaryEnv names. It is an error when the
// variable is not set or names no file.
func Binary() (string, error) {
	name := os.Getenv(BinaryEnv)
	if name == "" {
		return "", fmt.Errorf("find cluster binary: %s is not set; give it the path of a binary built from tools/cluster/cmd/cluster", BinaryEnv)
	}
	candidates := []string{name}
	if !filepath.IsAbs(name) {
		// `bazel run` sets no variable but starts programs in runfiles/_main.
		candidates = []string{filepath.Join("..", name)}
		for _, root := range []string{os.Getenv("RUNFILES_DIR"), os.Getenv("TEST_SRCDIR")} {
			if root != "" {
				candidates = append(candidates, filepath.Join(root, name))
			}
		}
	}
	for _, candidate := range candidates {
		if _, err := os.Stat(candidate); err == nil {
			return filepath.Abs(candidate)
		}
	}
	return "", fmt.Errorf("find cluster binary: %s=%s: no such file at any of %q", BinaryEnv, name, candidates)
}
