// Package boottest tests the cluster binary as its users run it: that it boots,
// and that nothing of it is left however it ends.
package boottest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/gomega/gbytes"

	"stormgate.internal/tools/cluster/internal/clustertest"
)

const (
	// bootTimeout is long, since several clusters may boot on a busy machine.
	bootTimeout = 2 * time.Minute
	// goneTimeout is more than the two seconds that are promised, of which an
	// unloaded machine needs a tenth: these tests share theirs with others, and
	// the benchmark measures.
	goneTimeout = 10 * time.Second
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == helperArgument {
		if err := helperMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "test helper:", err)
			os.Exit(9)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == podArgument {
		if err := podMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "pod:", err)
			os.Exit(9)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// binary finds the cluster binary, or builds it where none is given, as in a
// plain `go test`.
var binary = sync.OnceValues(func() (string, error) {
	if os.Getenv(clustertest.BinaryEnv) != "" {
		return clustertest.Binary()
	}
	version, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes").Output()
	if err != nil {
		return "", fmt.Errorf("%s is not set and the binary can't be built: find version of Kubernetes: %w", clustertest.BinaryEnv, err)
	}
	// One place for all runs: linking 140 MB is worth keeping.
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "stormgate", "cluster-for-tests")
	build := exec.Command("go", "build", "-o", path,
		"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion="+strings.TrimSpace(string(version)),
		"stormgate.internal/tools/cluster/cmd/cluster")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cluster binary: %w: %s", err, out)
	}
	return path, nil
})

func clusterBinary(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// newDir names a directory for a cluster that does not exist yet. It is short:
// t.TempDir's in a build sandbox is too long for a unix socket.
func newDir(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp("", "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	return filepath.Join(parent, "c")
}

// start boots a cluster; its log is shown when the test fails.
func start(t *testing.T, cmd *exec.Cmd, dir string) *clustertest.Cluster {
	t.Helper()
	log := gbytes.NewBuffer()
	cluster, err := clustertest.StartCommand(cmd, dir, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cluster.Kill()
		if t.Failed() {
			t.Logf("cluster's log:\n%s", log.Contents())
		}
	})
	return cluster
}

func run(t *testing.T, args ...string) *clustertest.Cluster {
	t.Helper()
	dir := newDir(t)
	return start(t, exec.Command(clusterBinary(t), append([]string{"run", "--dir=" + dir}, args...)...), dir)
}

func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, fmt.Errorf("nothing after %s", d))
	t.Cleanup(cancel)
	return ctx
}

func await(t *testing.T, cluster *clustertest.Cluster, kind string) {
	t.Helper()
	if _, err := cluster.Await(deadline(t, bootTimeout), kind); err != nil {
		t.Fatal(err)
	}
}

func tree(t *testing.T, cluster *clustertest.Cluster) []clustertest.Process {
	t.Helper()
	processes, err := clustertest.Tree(cluster.PID())
	if err != nil {
		t.Fatal(err)
	}
	return processes
}

// expectNothingLeft checks processes, mounts, and the directory with its sockets.
func expectNothingLeft(t *testing.T, processes []clustertest.Process, dir string) {
	t.Helper()
	took, err := clustertest.AwaitGone(deadline(t, goneTimeout), processes, dir)
	if err != nil {
		t.Errorf("after %s: %v", took, err)
	}
	t.Logf("%d processes were gone after %s", len(processes), took)
	if entries, err := os.ReadDir(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there: %v, %v", dir, entries, err)
	}
}
