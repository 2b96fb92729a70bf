package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/internal/node/process/containerinit"
)

// sandbox is a pod's surroundings. Fields without a remark do not change after
// RunPodSandbox.
type sandbox struct {
	id      string
	config  *rt.PodSandboxConfig
	created time.Time
	dir     string // the pod's files, see writePodFiles
	ip      string

	network  Attachment // nil in the node's network
	uts, ipc *os.File   // nil in the node's namespaces
	pause    *process   // first process of a shared process namespace, nil without one

	// live ends when the sandbox stops; what hangs on it (port forwards) then ends.
	live context.Context
	end  context.CancelFunc

	warnUser sync.Once // about a user that could not be honoured
	release  sync.Once // of namespaces and network
	released error     // what release met, valid after it

	// Guarded by Runtime.mu.
	ready  bool
	memory int64 // limit of all containers together in bytes, 0 for none; see podMemoryLimit
}

// pod names the pod in errors and logs.
func (s *sandbox) pod() string { return podName(s.config) }

func podName(config *rt.PodSandboxConfig) string {
	return config.GetMetadata().GetNamespace() + "/" + config.GetMetadata().GetName()
}

func namespaces(config *rt.PodSandboxConfig) *rt.NamespaceOption {
	return config.GetLinux().GetSecurityContext().GetNamespaceOptions()
}

// RunPodSandbox makes a pod's namespaces and files. What the runtime cannot do
// for a pod is refused here with an error that names the pod.
func (r *Runtime) RunPodSandbox(_ context.Context, config *rt.PodSandboxConfig, handler string) (string, error) {
	if err := validateSandbox(config, handler); err != nil {
		return "", status.Error(codes.InvalidArgument, err.Error())
	}
	if err := r.refuseEnded(config); err != nil {
		return "", err
	}
	live, end := context.WithCancel(context.Background())
	s := &sandbox{id: newID(), config: config, created: time.Now(), live: live, end: end, ready: true}
	s.memory = config.GetLinux().GetResources().GetMemoryLimitInBytes()
	if err := r.prepare(s); err != nil {
		return "", errors.Join(fmt.Errorf("run sandbox of pod %s: %w", s.pod(), err), s.close())
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return "", errors.Join(errClosed(), s.close())
	}
	if r.isEnded(config) { // meanwhile
		r.mu.Unlock()
		return "", errors.Join(errEnded(config), s.close())
	}
	r.sandboxes[s.id] = s
	r.emitSandbox(s, rt.ContainerEventType_CONTAINER_CREATED_EVENT)
	r.emitSandbox(s, rt.ContainerEventType_CONTAINER_STARTED_EVENT)
	r.mu.Unlock()
	return s.id, nil
}

func validateSandbox(config *rt.PodSandboxConfig, handler string) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("pod %s: %s", podName(config), fmt.Sprintf(format, args...))
	}
	ns := namespaces(config)
	if handler != "" {
		return refuse("runtime class handler %q does not exist; the process runtime has only the default one", handler)
	}
	if err := checkSysctls(config); err != nil {
		return refuse("%v", err)
	}
	if ns.GetUsernsOptions() != nil && ns.GetUsernsOptions().GetMode() == rt.NamespaceMode_POD {
		return refuse("hostUsers: false is not supported, all pods share the cluster's user namespace")
	}
	if ns.GetPid() == rt.NamespaceMode_NODE {
		// Through it a pod would reach the files and memory of all other pods and of the
		// cluster, whose root is the machine's, and no end of its containers could be told.
		return refuse("hostPID: true is not supported; use shareProcessNamespace: true for the pod's own containers")
	}
	if ns.GetNetwork() != rt.NamespaceMode_NODE {
		for _, m := range config.GetPortMappings() {
			if m.GetHostPort() != 0 {
				return refuse("hostPort %d is not supported; use a Service or hostNetwork: true", m.GetHostPort())
			}
		}
	}
	return nil
}

// prepare makes everything a sandbox consists of. What was made before an
// error is the caller's to close.
func (r *Runtime) prepare(s *sandbox) error {
	if dir := s.config.GetLogDirectory(); dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make log directory: %w", err)
		}
	}
	var err error
	ns := namespaces(s.config)
	if ns.GetNetwork() == rt.NamespaceMode_NODE {
		s.ip = r.options.Network.HostIP()
	} else {
		network, err := r.options.Network.Setup(s.id)
		if err != nil {
			return fmt.Errorf("set up network: %w", err)
		}
		s.network, s.ip = network, network.IP()
		// A pod in the node's network keeps the node's host name.
		if s.uts, err = newUTS(s.config.GetHostname()); err != nil {
			return err
		}
	}
	if ns.GetIpc() != rt.NamespaceMode_NODE {
		if s.ipc, err = newIPC(); err != nil {
			return err
		}
	}
	if err := s.setSysctls(); err != nil {
		return err
	}
	if ns.GetPid() == rt.NamespaceMode_POD {
		if s.pause, err = r.startPause(); err != nil {
			return fmt.Errorf("make shared process namespace: %w", err)
		}
	}
	return r.writePodFiles(s)
}

// StopPodSandbox kills the pod's containers and releases its network. A
// sandbox that is stopped or unknown is no error.
func (r *Runtime) StopPodSandbox(ctx context.Context, id string) error {
	r.mu.Lock()
	s := r.sandboxes[id]
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	wasReady, err := r.halt(ctx, s)
	if err != nil {
		return err
	}
	return r.release(s, wasReady)
}

// halt kills all processes of the pod and waits for their end. None starts in it any
// more, also after an error. It reports whether the sandbox was ready.
func (r *Runtime) halt(ctx context.Context, s *sandbox) (wasReady bool, err error) {
	r.mu.Lock()
	wasReady = s.ready
	s.ready = false
	var containers []*container
	for _, c := range r.containers {
		if c.sandbox == s && !c.idle() {
			c.ordered = true
			containers = append(containers, c)
		}
	}
	r.mu.Unlock()

	failures := make(chan error, len(containers))
	for _, c := range containers {
		go func() { failures <- c.kill(ctx) }()
	}
	var errs []error
	for range containers {
		errs = append(errs, <-failures)
	}
	if err := errors.Join(errs...); err != nil {
		return wasReady, fmt.Errorf("stop sandbox of pod %s: %w", s.pod(), err)
	}
	if s.pause != nil {
		if err := s.pause.kill(); err != nil {
			return wasReady, fmt.Errorf("stop sandbox of pod %s: kill the holder of its process namespace: %w", s.pod(), err)
		}
		<-s.pause.done
	}
	return wasReady, nil
}

// release gives back what the sandbox has beside processes and, if it was ready
// before, tells of its end.
func (r *Runtime) release(s *sandbox, wasReady bool) error {
	err := s.close()
	if wasReady {
		r.mu.Lock()
		r.emitSandbox(s, rt.ContainerEventType_CONTAINER_STOPPED_EVENT)
		r.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("stop sandbox of pod %s: %w", s.pod(), err)
	}
	return nil
}

// close gives back what the kernel and the network lent. It is called when no
// container of the pod is left; repeated calls return the first one's result.
func (s *sandbox) close() error {
	s.release.Do(func() {
		s.end()
		var errs []error
		if s.pause != nil {
			errs = append(errs, s.pause.kill())
			<-s.pause.done
		}
		for _, ns := range []*os.File{s.uts, s.ipc} {
			if ns != nil {
				errs = append(errs, ns.Close())
			}
		}
		if s.network != nil {
			if err := s.network.Close(); err != nil {
				errs = append(errs, fmt.Errorf("release network: %w", err))
			}
		}
		if s.dir != "" {
			errs = append(errs, s.unmountShm())
			if err := os.RemoveAll(s.dir); err != nil {
				errs = append(errs, fmt.Errorf("remove files: %w", err))
			}
		}
		s.released = errors.Join(errs...)
	})
	return s.released
}

// RemovePodSandbox stops the sandbox and forgets it and its containers. An
// unknown sandbox is no error.
func (r *Runtime) RemovePodSandbox(ctx context.Context, id string) error {
	if err := r.StopPodSandbox(ctx, id); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sandboxes[id]
	if s == nil {
		return nil
	}
	for _, c := range r.containers {
		if c.sandbox == s {
			r.forget(c)
		}
	}
	r.emitSandbox(s, rt.ContainerEventType_CONTAINER_DELETED_EVENT)
	delete(r.sandboxes, id)
	return nil
}

// networkNamespace returns a descriptor of the pod's network namespace that
// the caller closes, or nil for a pod in the node's network.
func (r *Runtime) networkNamespace(id string) (*sandbox, *os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.sandbox(id)
	switch {
	case err != nil:
		return nil, nil, err
	case !s.ready:
		return nil, nil, status.Errorf(codes.FailedPrecondition, "pod %s has been stopped", s.pod())
	case s.network == nil:
		return s, nil, nil
	}
	// Under the lock: a sandbox that is ready has not begun to close.
	ns, err := duplicate(s.network.NetNS())
	return s, ns, err
}

// UpdatePodSandboxResources remembers the resources, of which only the limit of
// memory is enforced.
func (r *Runtime) UpdatePodSandboxResources(_ context.Context, request *rt.UpdatePodSandboxResourcesRequest) (*rt.UpdatePodSandboxResourcesResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.sandbox(request.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	if request.GetResources() != nil {
		s.memory = request.GetResources().GetMemoryLimitInBytes()
	}
	return &rt.UpdatePodSandboxResourcesResponse{}, nil
}

// sandbox returns the sandbox with the id. The caller holds r.mu.
func (r *Runtime) sandbox(id string) (*sandbox, error) {
	if s := r.sandboxes[id]; s != nil {
		return s, nil
	}
	return nil, status.Errorf(codes.NotFound, "pod sandbox %q does not exist", id)
}

// startPause starts the process that holds a process namespace for a pod, in an
// empty root of its own so that the node's cannot be reached through it.
func (r *Runtime) startPause() (*process, error) {
	l := &launch{cloneFlags: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	l.spec.Root = containerinit.Root{MountPoint: r.rootDir, Readonly: true, WorkingDir: "/"}
	l.spec.Process = containerinit.Process{Pause: true}
	p, err := r.spawn(context.Background(), l)
	if err == nil {
		p.close()
	}
	return p, err
}
