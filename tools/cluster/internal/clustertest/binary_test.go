package clustertest

import (
	"strings"
	"testing"
)

// Promise: without the variable the error says which one is missing and what it
// is to name. How the file is found is tested in tools/runfiles.
func TestBinary(t *testing.T) {
	t.Setenv(BinaryEnv, "")
	got, err := Binary()
	if err == nil || !strings.Contains(err.Error(), BinaryEnv) || !strings.Contains(err.Error(), "tools/cluster/cmd/cluster") {
		t.Errorf("found %q, %v, want an error with %s and the way to build it", got, err, BinaryEnv)
	}
}
