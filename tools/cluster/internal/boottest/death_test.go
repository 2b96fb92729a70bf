package boottest

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/clustertest"
)

func kill(t *testing.T, processes []clustertest.Process, name string) {
	t.Helper()
	process, err := clustertest.Find(processes, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Promise: whichever process of a cluster is killed, the cluster ends with an event that names it.
func TestDeathOfAPart(t *testing.T) {
	for _, name := range []string{"init", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "node"} {
		t.Run(name, func(t *testing.T) {
			cluster := run(t)
			await(t, cluster, api.EventReady)
			processes := tree(t, cluster)
			kill(t, processes, name)
			event, err := cluster.Await(deadline(t, bootTimeout), api.EventFailed)
			if err != nil {
				t.Fatal(err)
			}
			if event.Component != name || !strings.Contains(event.Message, "killed") {
				t.Errorf("failure = %+v, want one of %s that was killed", event.Failure, name)
			}
			if name == "kube-apiserver" && len(event.LogTail) == 0 {
				t.Error("the failure has no tail of the log")
			}
			var exit *exec.ExitError
			if err := cluster.Wait(deadline(t, bootTimeout)); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("launcher ended with %v, want exit status 1", err)
			}
			expectNothingLeft(t, processes, cluster.Dir)
		})
	}
}

// Promise: a launcher that is killed takes all with it, files included, at whatever moment: before
// there is a component, between them, and when all is up.
func TestDeathOfTheLauncher(t *testing.T) {
	for _, moment := range []string{"namespaces", "etcd", api.EventAPI, api.EventReady} {
		t.Run(moment, func(t *testing.T) {
			cluster := run(t)
			await(t, cluster, moment)
			processes := tree(t, cluster)
			cluster.Kill()
			expectNothingLeft(t, processes, cluster.Dir)
		})
	}
}

// Promise: signals end a cluster in good order, at whatever moment.
func TestSignals(t *testing.T) {
	for name, test := range map[string]struct {
		signal syscall.Signal
		moment string
	}{
		"SIGTERM while booting":       {syscall.SIGTERM, "etcd"},
		"SIGINT when the API answers": {syscall.SIGINT, api.EventAPI},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := run(t)
			await(t, cluster, test.moment)
			processes := tree(t, cluster)
			if err := cluster.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			if err := cluster.Wait(deadline(t, bootTimeout)); err != nil {
				t.Errorf("launcher ended with %v", err)
			}
			expectNothingLeft(t, processes, cluster.Dir)
		})
	}
}

// Promise: standard input that is closed from the start is an order to end, not a hang.
func TestClosedInput(t *testing.T) {
	cluster := run(t)
	if err := cluster.CloseInput(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Wait(deadline(t, bootTimeout)); err != nil {
		t.Errorf("launcher ended with %v", err)
	}
	expectNothingLeft(t, nil, cluster.Dir)
}
