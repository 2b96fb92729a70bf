// Package process is a container runtime in which a container is a process of
// this machine: no daemon, no layers, no privilege beyond what a user
// namespace gives.
//
// A pod sandbox is a network namespace (made by a Network), a UTS and an IPC
// namespace; a container is a process in its own mount and process namespaces
// that joins those of its pod. The root file system of a container is an empty
// tmpfs on which the files of its image are mounted read-only. A Runtime
// speaks the Container Runtime Interface to a kubelet in the same program and
// keeps all its state in memory.
//
// Limits of memory are enforced by looking at /proc, see memoryWatch. What is
// not enforced, because no cgroup is touched and no filter loaded: limits of CPU
// time, seccomp and AppArmor profiles named RuntimeDefault.
package process

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/history"
	"stormgate.internal/tools/cluster/internal/image"
	"stormgate.internal/tools/cluster/internal/node/process/containerinit"
)

// Options configures New.
type Options struct {
	// Root is the directory for the runtime's files (a few small ones per
	// pod, and the pods' shared memory), preferably on a tmpfs. It is made
	// when missing and should be empty. Required.
	Root string
	// HostRoot has in it what pods see as the file system of their node: a path below
	// it is opened for a container only if no symbolic link leads there, since
	// pods can make such that lead out. It must be free of links itself. Root/host
	// when empty.
	HostRoot string
	// NodeShm returns the directory of the shared memory of those pods in a namespace
	// that have the node's. HostRoot/dev/shm when nil, made when missing.
	NodeShm func(namespace string) (string, error)
	// Images is what containers can run; it may change at any time. Required.
	Images *image.Table
	// Network gives each pod its network namespace. Required.
	Network Network
	// ContainerInit is the program that becomes each container's: an executable
	// whose main calls containerinit.Main. Nil means this very program, which
	// must then do so (see ContainerInitMain) and whose package initialisation
	// each start of a container pays for.
	ContainerInit []byte
	// StreamAddr is where exec, attach and port-forward sessions are served to
	// the kubelet; "127.0.0.1:0" when empty.
	StreamAddr string
	// Logger receives what no call returns; slog.Default() when nil.
	Logger *slog.Logger
}

// Runtime implements the runtime and the image service of the Container
// Runtime Interface. Its methods may be called concurrently.
type Runtime struct {
	options Options
	log     *slog.Logger
	ids     idMaps
	rootDir string // mount point of all containers' roots, each in its own mount namespace
	init    string // path of the container init
	events  broadcaster
	lives   *history.Log[api.Life]
	memory  *memoryWatch
	streams *streamServer
	// listenPatience is the constant of that name but in tests.
	listenPatience time.Duration
	running        sync.WaitGroup // containers and exec sessions; grows under mu and only while not closed

	mu         sync.Mutex
	closed     bool
	sandboxes  map[string]*sandbox
	containers map[string]*container
	ended      map[string]time.Time // when End was called last, by namespace
}

var (
	_ cri.RuntimeService      = (*Runtime)(nil)
	_ cri.ImageManagerService = (*Runtime)(nil)
)

// ContainerInitMain is the entry of a container's first process. The main
// function of a program that makes a Runtime without Options.ContainerInit must
// call it first thing when its first argument is "container-init"; it does not
// return.
func ContainerInitMain() {
	containerinit.Main()
}

// New returns a runtime without pods that serves streaming sessions at once.
// The caller must Close it.
func New(options Options) (*Runtime, error) {
	switch {
	case options.Root == "":
		return nil, errors.New("process runtime: Root is not set")
	case options.Images == nil:
		return nil, errors.New("process runtime: Images is not set")
	case options.Network == nil:
		return nil, errors.New("process runtime: Network is not set")
	}
	if options.StreamAddr == "" {
		options.StreamAddr = "127.0.0.1:0"
	}
	if options.HostRoot == "" {
		options.HostRoot = filepath.Join(options.Root, "host")
	}
	r := &Runtime{
		options:    options,
		log:        options.Logger,
		rootDir:    filepath.Join(options.Root, "rootfs"),
		sandboxes:  map[string]*sandbox{},
		containers: map[string]*container{},
		ended:      map[string]time.Time{},
		lives:      history.New[api.Life](livesKept),
		memory:     newMemoryWatch(),

		listenPatience: listenPatience,
	}
	if r.log == nil {
		r.log = slog.Default()
	}
	if r.options.NodeShm == nil {
		r.options.NodeShm = func(string) (string, error) {
			shm := filepath.Join(options.HostRoot, "dev/shm")
			return shm, os.MkdirAll(shm, 0o755)
		}
	}
	for _, dir := range []string{r.rootDir, r.sandboxesDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make runtime directory: %w", err)
		}
	}
	var err error
	if r.ids, err = readIDMaps(); err != nil {
		return nil, err
	}
	if r.init, err = placeInit(options.Root, options.ContainerInit); err != nil {
		return nil, err
	}
	if r.streams, err = serveStreams(options.StreamAddr, r); err != nil {
		return nil, err
	}
	return r, nil
}

// Close kills all containers, releases the pods' networks and ends all
// streaming and event sessions. Nothing can be started afterwards. It waits
// until every container is gone or ctx ends, whose error it then returns.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	var ids []string
	for id := range r.sandboxes {
		ids = append(ids, id)
	}
	r.mu.Unlock()

	failures := make(chan error, len(ids))
	for _, id := range ids {
		go func() { failures <- r.RemovePodSandbox(ctx, id) }()
	}
	var errs []error
	for range ids {
		errs = append(errs, <-failures)
	}
	r.events.close()
	errs = append(errs, r.streams.close())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.running.Wait()
	return nil
}

// Version answers what the kubelet insists on: the API's version, not ours.
func (r *Runtime) Version(context.Context, string) (*rt.VersionResponse, error) {
	return &rt.VersionResponse{Version: "0.1.0", RuntimeName: "process", RuntimeVersion: "1.0.0", RuntimeApiVersion: "v1"}, nil
}

// Status reports the runtime and its network as ready until Close.
func (r *Runtime) Status(context.Context, bool) (*rt.StatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	condition := func(kind string) *rt.RuntimeCondition {
		c := &rt.RuntimeCondition{Type: kind, Status: !r.closed}
		if r.closed {
			c.Reason = "Closed"
		}
		return c
	}
	return &rt.StatusResponse{
		Status: &rt.RuntimeStatus{Conditions: []*rt.RuntimeCondition{condition(rt.RuntimeReady), condition(rt.NetworkReady)}},
		RuntimeHandlers: []*rt.RuntimeHandler{{
			Features: &rt.RuntimeHandlerFeatures{RecursiveReadOnlyMounts: true},
		}},
		// Group memberships come from the pod alone, so both policies hold.
		Features: &rt.RuntimeFeatures{SupplementalGroupsPolicy: true, MountOptions: true},
	}, nil
}

// RuntimeConfig names a cgroup driver because it must; no cgroup is touched.
func (r *Runtime) RuntimeConfig(context.Context) (*rt.RuntimeConfigResponse, error) {
	return &rt.RuntimeConfigResponse{Linux: &rt.LinuxRuntimeConfiguration{CgroupDriver: rt.CgroupDriver_CGROUPFS}}, nil
}

// UpdateRuntimeConfig accepts the node's pod CIDR, which is the Network's business.
func (r *Runtime) UpdateRuntimeConfig(context.Context, *rt.RuntimeConfig) error { return nil }

// CheckpointContainer is not implemented.
func (r *Runtime) CheckpointContainer(context.Context, *rt.CheckpointContainerRequest) error {
	return status.Error(codes.Unimplemented, "containers of the process runtime cannot be checkpointed")
}

// CheckpointPod is not implemented.
func (r *Runtime) CheckpointPod(context.Context, *rt.CheckpointPodRequest) error {
	return status.Error(codes.Unimplemented, "pods of the process runtime cannot be checkpointed")
}

// RestorePod is not implemented.
func (r *Runtime) RestorePod(context.Context, *rt.RestorePodRequest) (*rt.RestorePodResponse, error) {
	return nil, status.Error(codes.Unimplemented, "pods of the process runtime cannot be restored")
}

// newID returns 256 random bits as hexadecimal, the form of ids that tools for
// containers expect.
func newID() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}

func errClosed() error { return status.Error(codes.Unavailable, "the process runtime is closed") }
