// Command cluster is a whole Kubernetes cluster in one binary: etcd, the
// control plane and a node, and the launcher that runs them in namespaces of
// their own, without root and without containers.
//
//	cluster up     a cluster for a person, until Ctrl-C
//	cluster run    a cluster for a program, until its standard input ends
//
// The binary also is each of its parts (etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, node), when called by their name or
// with it as first argument: one binary is a third of the size of five.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

// The launcher and its parts are dispatched on the process's first thread, so
// that the name they set is the process's.
func init() { runtime.LockOSThread() }

func main() {
	dispatch(os.Args)
	if err := newRootCommand().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "cluster",
		Short:         "Run a small, real Kubernetes cluster without containers",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newUpCommand(), newRunCommand())
	return root
}
