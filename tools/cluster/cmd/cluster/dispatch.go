package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduling "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"stormgate.internal/tools/cluster/internal/boot"
	"stormgate.internal/tools/cluster/internal/controlplane"
	"stormgate.internal/tools/cluster/internal/node/process"
)

// parts are the programs that this binary is beside the cluster command. They
// are reached before any command line is parsed: each boot starts five of them,
// each container one.
var parts = map[string]func(args []string){
	"container-init":          func([]string) { process.ContainerInitMain() },
	"init":                    func([]string) { controlplane.EndBootGC(); os.Exit(boot.InitMain(defaults)) },
	"node":                    func([]string) { controlplane.EndBootGC(); os.Exit(cli.Run(newNodeCommand())) },
	"etcd":                    func(args []string) { begin(); etcdmain.Main(args) },
	"kube-apiserver":          upstream(newAPIServerCommand),
	"kube-controller-manager": upstream(controllermanager.NewControllerManagerCommand),
	"kube-scheduler":          upstream(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
}

// dispatch runs the part that the arguments name, by argv[0] or argv[1], and
// does not return if there is one.
func dispatch(args []string) {
	name, own := filepath.Base(args[0]), args
	if _, ok := parts[name]; !ok && len(args) > 1 {
		name, own = args[1], args[1:]
	}
	part, ok := parts[name]
	if !ok {
		return
	}
	nameProcess(name)
	// Only the naming needs the first thread; a main goroutine bound to it
	// would make each of its switches a switch of threads.
	runtime.UnlockOSThread()
	os.Args = own
	part(own)
	os.Exit(0)
}

// nameProcess sets what ps and top show, which for a program started through
// /proc/self/exe would be "exe". The kernel keeps 15 bytes. It is a convenience
// that nothing depends on, hence no error.
func nameProcess(name string) {
	_ = os.WriteFile("/proc/thread-self/comm", []byte(name), 0)
}

func upstream(command func() *cobra.Command) func([]string) {
	return func([]string) {
		begin()
		os.Exit(cli.Run(command()))
	}
}

// defaults are what the start hooks would make that newAPIServerCommand leaves out.
func defaults() boot.Defaults {
	d := boot.Defaults{
		ClusterRoles:        append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...),
		ClusterRoleBindings: append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...),
		PriorityClasses:     scheduling.SystemPriorityClasses(),
	}
	for _, roles := range bootstrappolicy.NamespaceRoles() {
		d.Roles = append(d.Roles, roles...)
	}
	for _, bindings := range bootstrappolicy.NamespaceRoleBindings() {
		d.RoleBindings = append(d.RoleBindings, bindings...)
	}
	return d
}

// begin is the start of a component that does nothing while it is held.
func begin() {
	awaitGate()
	controlplane.EndBootGC()
}

func awaitGate() {
	if err := controlplane.AwaitGate(); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}
