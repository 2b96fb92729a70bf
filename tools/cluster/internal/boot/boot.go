// Package boot turns the multi-call binary into a cluster: a launcher on the
// host's side, and process 1 of namespaces of the cluster's own, which starts
// the control plane and the node and ends when any of them does.
//
//	launcher (Run)             host: holds DIR, its sockets and its lock
//	 └ init (InitMain)         pid 1 in its own user, net, mount, pid, uts, ipc namespaces
//	    ├ etcd, kube-apiserver, kube-controller-manager, kube-scheduler
//	    └ node                 kubelet, containers, service proxy, DNS
//
// Nothing of a cluster outlives it, however it ends: init's death makes the
// kernel kill all below it and drop the mounts; the launcher's death closes a
// pipe that init reads, and init removes the files and exits.
package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"stormgate.internal/tools/cluster/api"
)

// DefaultDataLimit is the default of Options.DataLimit, in bytes.
const DefaultDataLimit = 4 << 30

// Fixed addresses, the same in every cluster: each has a network of its own.
const (
	NodeName    = "node-1"
	NodeIP      = "10.0.0.1"
	ServiceCIDR = "10.96.0.0/16"
	// ServerName is in the API server's certificate, whatever address a client dials.
	ServerName = "kubernetes.default.svc"
	// serviceIP is the first address of ServiceCIDR, which Kubernetes gives to
	// the service default/kubernetes.
	serviceIP = "10.96.0.1"
)

// Options configure Run.
type Options struct {
	// Dir is the cluster's directory on the host, an absolute path short enough
	// for unix sockets below it. It is made, mode 0700, when absent, and must
	// be the caller's own and closed to others when present. Required.
	Dir string
	// ImagesFile is a JSON list of images that the node knows from the start. Optional.
	ImagesFile string
	// KeepLogs leaves Dir/logs and Dir/boot.json behind.
	KeepLogs bool
	// Deadline bounds the boot. Default api.DefaultDeadline.
	Deadline time.Duration
	// DataLimit is the size in bytes of each of the two in-memory file systems,
	// the control plane's and the node's. Memory is used as they fill. Default 4 GiB.
	DataLimit int64
	// Expose also serves the API on a free port of the host's loopback and writes
	// Dir/kubeconfig, an administrator's, for programs that can't dial a unix
	// socket. Other users of the machine reach the port, but not past its TLS.
	Expose bool
	// Control is the connection on which whoever started this program has the control
	// interface and credentials, see api.ControlFlag. Run closes it. Optional: without it
	// nobody but the cluster itself can change what is not changed through the API.
	Control *os.File
	// OnEvent gets each event, in order, from one goroutine. Optional.
	OnEvent func(api.Event)
	// Log is for people. Default slog.Default().
	Log *slog.Logger
	// Executable is the multi-call binary. Default /proc/self/exe.
	Executable string
}

func (o *Options) setDefaults() error {
	if o.Deadline == 0 {
		o.Deadline = api.DefaultDeadline
	}
	if o.DataLimit == 0 {
		o.DataLimit = DefaultDataLimit
	}
	if o.Deadline < 0 || o.DataLimit < 0 {
		return fmt.Errorf("boot cluster: deadline %s and data limit %d must be positive", o.Deadline, o.DataLimit)
	}
	if o.OnEvent == nil {
		o.OnEvent = func(api.Event) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Executable == "" {
		o.Executable = "/proc/self/exe"
	}
	return nil
}

// Run boots a cluster and keeps it until ctx ends; then it takes everything
// down, within two seconds, and returns nil. When the boot fails or a component
// dies it returns an *api.Failure, after the same clean-up and an event of it.
func Run(ctx context.Context, options Options) error {
	if err := options.setDefaults(); err != nil {
		return err
	}
	err := runIn(ctx, options)
	if err == nil {
		return nil
	}
	var failure *api.Failure
	if !errors.As(err, &failure) {
		failure = &api.Failure{Component: "launcher", Message: err.Error()}
	}
	options.OnEvent(api.Event{Kind: api.EventFailed, Failure: failure})
	return failure
}

// runIn has left nothing behind when it returns.
func runIn(ctx context.Context, options Options) error {
	started, err := processStart()
	if err != nil {
		return err
	}
	dir, err := openDirectory(options.Dir)
	if err != nil {
		return err
	}
	defer dir.close()
	dir.paths.KeepLogs = options.KeepLogs
	l := &launcher{options: options, dir: dir, started: started, booted: make(chan struct{})}
	err = l.run(ctx)
	if removeErr := dir.paths.remove(); removeErr != nil {
		options.Log.Warn("clean up cluster directory", "error", removeErr)
	}
	return err
}
