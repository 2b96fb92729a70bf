package clustertest

import (
	"fmt"

	"stormgate.internal/tools/runfiles"
)

// BinaryEnv names the cluster binary for tests and benchmarks: an absolute
// path, or the path of a runfile as $(rlocationpath) gives it.
const BinaryEnv = "STORMGATE_CLUSTER"

// Binary returns the cluster binary that BinaryEnv names. It is an error when the
// variable is not set or names no file.
func Binary() (string, error) {
	binary, err := runfiles.NamedBy(BinaryEnv)
	if err != nil {
		return "", fmt.Errorf("find cluster binary: %w; give it the path of a binary built from tools/cluster/cmd/cluster", err)
	}
	return binary, nil
}
