package process

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
)

// container is one container. Fields without a remark do not change after
// CreateContainer.
type container struct {
	id       string
	sandbox  *sandbox
	config   *rt.ContainerConfig
	image    api.Image
	imageID  string
	logPath  string // empty when the container is not logged
	created  time.Time
	stop     unix.Signal
	security security

	spawned chan struct{} // closed when StartContainer has started the process or failed to
	exited  chan struct{} // closed when the state became EXITED

	// Set before spawned is closed and only read after it.
	process *process // nil when the start failed
	output  *output

	execUsage cpuAccount // of processes exec'd in it that have ended
	memory    memoryState

	// Guarded by Runtime.mu.
	state             rt.ContainerState
	starting          bool
	ordered           bool // its end was asked for, by the kubelet or by End
	started, finished time.Time
	exitCode          int32
	reason, message   string
	resources         *rt.LinuxContainerResources
}

// name names the container and its pod in errors and logs.
func (c *container) name() string {
	return fmt.Sprintf("%q of pod %s", c.config.GetMetadata().GetName(), c.sandbox.pod())
}

// reference is how the pod names the container's image. The other field holds what
// ImageStatus or PullImage answered, which is not known to be about this namespace.
func (c *container) reference() string {
	return cmp.Or(c.config.GetImage().GetUserSpecifiedImage(), c.config.GetImage().GetImage())
}

// idle reports that the container was not started and that no call is about to
// start it. The caller holds Runtime.mu.
func (c *container) idle() bool {
	return c.state == rt.ContainerState_CONTAINER_CREATED && !c.starting
}

// CreateContainer checks that the container can be run, as far as that can be
// known, and remembers it. Nothing is made yet.
func (r *Runtime) CreateContainer(_ context.Context, sandboxID string, config *rt.ContainerConfig, sandboxConfig *rt.PodSandboxConfig) (string, error) {
	name := config.GetMetadata().GetName()
	r.mu.Lock()
	s, err := r.sandbox(sandboxID)
	ready := err == nil && s.ready
	r.mu.Unlock()
	switch {
	case err != nil:
		return "", err
	case !ready:
		return "", status.Errorf(codes.FailedPrecondition, "create container %q: pod %s has been stopped", name, s.pod())
	}
	c := &container{
		id: newID(), sandbox: s, config: config, created: time.Now(),
		spawned: make(chan struct{}), exited: make(chan struct{}),
		resources: config.GetLinux().GetResources(),
	}
	if dir := sandboxConfig.GetLogDirectory(); dir != "" && config.GetLogPath() != "" {
		c.logPath = filepath.Join(dir, config.GetLogPath())
	}
	if err := r.check(c); err != nil {
		return "", fmt.Errorf("create container %s: %w", c.name(), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || !s.ready {
		return "", status.Errorf(codes.FailedPrecondition, "create container %s: the pod has been stopped", c.name())
	}
	r.containers[c.id] = c
	r.emitContainer(c, rt.ContainerEventType_CONTAINER_CREATED_EVENT)
	return c.id, nil
}

// check resolves the image and everything of the configuration that can be
// wrong.
func (r *Runtime) check(c *container) (err error) {
	namespace := c.sandbox.config.GetMetadata().GetNamespace()
	if c.image, err = r.options.Images.ResolveIn(namespace, c.reference()); err != nil {
		return status.Error(codes.NotFound, err.Error())
	}
	c.imageID = c.image.ID()
	if sc := securityContext(c.config); sc.GetRunAsUsername() == ownUser {
		sc.RunAsUsername = ""
	}
	if err := c.image.CheckFiles(); err != nil {
		return err
	}
	if c.stop, err = stopSignal(c.config.GetStopSignal(), c.image.StopSignal); err != nil {
		return err
	}
	if err := checkSupported(c.config); err != nil {
		return err
	}
	c.security, err = r.security(c)
	return err
}

// StartContainer starts the container's program. It returns when the program
// runs and, if the container declares TCP ports, listens on them (see
// awaitListening), or with the reason why the program could not be started,
// which also stays as the container's message.
func (r *Runtime) StartContainer(ctx context.Context, id string) error {
	c, err := r.claimStart(id)
	if err != nil {
		return err
	}
	p, err := r.start(ctx, c)
	if err != nil {
		defer r.running.Done()
		err = fmt.Errorf("start container %s: %w", c.name(), err)
		close(c.spawned)
		r.finish(c, 128, "StartError", err.Error())
		return err
	}
	c.process = p
	r.recordStart(c)
	close(c.spawned)
	r.watchMemory()
	go func() {
		defer r.running.Done()
		r.supervise(c)
	}()

	awaitListening(ctx, c, r.listenPatience)
	r.mu.Lock()
	defer r.mu.Unlock()
	c.starting = false
	if c.state == rt.ContainerState_CONTAINER_CREATED {
		c.state = rt.ContainerState_CONTAINER_RUNNING
		r.emitContainer(c, rt.ContainerEventType_CONTAINER_STARTED_EVENT)
	}
	if !c.sandbox.ready {
		// StopPodSandbox waits for spawned and kills; this one lost the race.
		return status.Errorf(codes.FailedPrecondition, "start container %s: the pod has been stopped", c.name())
	}
	return nil
}

// claimStart makes the caller the only one to start the container. It counts
// the container as running, which the caller has to end.
func (r *Runtime) claimStart(id string) (*container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.container(id)
	switch {
	case err != nil:
		return nil, err
	case r.closed:
		return nil, errClosed()
	case !c.sandbox.ready:
		return nil, status.Errorf(codes.FailedPrecondition, "start container %s: the pod has been stopped", c.name())
	case c.starting || c.state != rt.ContainerState_CONTAINER_CREATED:
		return nil, status.Errorf(codes.FailedPrecondition, "start container %s: it was started before", c.name())
	}
	c.starting = true
	r.running.Add(1)
	return c, nil
}

// start makes the process. On an error nothing of it is left.
func (r *Runtime) start(ctx context.Context, c *container) (_ *process, err error) {
	l, release, err := r.containerLaunch(c)
	if err != nil {
		return nil, err
	}
	defer release()
	log, err := openLog(c.logPath)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			log.close()
		}
	}()
	p, err := r.spawn(ctx, l)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	c.started = p.started
	r.mu.Unlock()
	c.output = newOutput(log, r.log.With("container", c.config.GetMetadata().GetName(), "pod", c.sandbox.pod()))
	c.output.copyFrom(p)
	return p, nil
}

// supervise waits for the container's end.
func (r *Runtime) supervise(c *container) {
	p := c.process
	<-p.done
	if !c.ownsProcesses() {
		// The kernel does not end what the first process left behind.
		if err := killMembers(p.mounts); err != nil {
			r.log.Error("kill left-over processes", "container", c.config.GetMetadata().GetName(), "pod", c.sandbox.pod(), "error", err)
		}
	}
	c.output.drain(p)
	p.close()
	code := p.exitCode()
	reason, message := r.endReason(c, code)
	r.finish(c, code, reason, message)
}

// finish makes the container's end known.
func (r *Runtime) finish(c *container, code int32, reason, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.starting = false
	c.state, c.finished = rt.ContainerState_CONTAINER_EXITED, time.Now()
	if c.started.IsZero() {
		c.started = c.finished
	}
	c.exitCode, c.reason, c.message = code, reason, message
	r.recordEnd(c)
	close(c.exited)
	r.emitContainer(c, rt.ContainerEventType_CONTAINER_STOPPED_EVENT)
}

// ownsProcesses reports whether the container's end is the end of all its
// processes because they have a process namespace of their own.
func (c *container) ownsProcesses() bool {
	return namespaceOptions(c.config).GetPid() == rt.NamespaceMode_CONTAINER
}

// StopContainer sends the container's stop signal and, when timeout seconds
// have not ended it, SIGKILL to all of it; at once when timeout is 0 or less.
// A container that does not run or is unknown is no error.
func (r *Runtime) StopContainer(ctx context.Context, id string, timeout int64) error {
	r.mu.Lock()
	c := r.containers[id]
	idle := c == nil || c.idle()
	if !idle {
		c.ordered = true
	}
	r.mu.Unlock()
	if idle {
		return nil
	}
	if timeout > 0 {
		stopped, err := c.terminate(ctx, time.Duration(timeout)*time.Second)
		if stopped || err != nil {
			return err
		}
	}
	return c.kill(ctx)
}

// terminate asks the container to end and reports whether it did in time.
func (c *container) terminate(ctx context.Context, grace time.Duration) (bool, error) {
	select {
	case <-c.spawned:
	case <-ctx.Done():
		return false, fmt.Errorf("stop container %s: %w", c.name(), ctx.Err())
	}
	if c.process == nil {
		return true, nil
	}
	if err := c.process.signal(c.stop); err != nil {
		return false, fmt.Errorf("stop container %s: send %v: %w", c.name(), c.stop, err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.exited:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, fmt.Errorf("stop container %s: %w", c.name(), ctx.Err())
	}
}

// kill ends the container, which must not be idle, at once and waits until it
// is gone.
func (c *container) kill(ctx context.Context) error {
	select {
	case <-c.spawned:
	case <-ctx.Done():
		return fmt.Errorf("kill container %s: %w", c.name(), ctx.Err())
	}
	if c.process != nil {
		if err := c.process.kill(); err != nil {
			return fmt.Errorf("kill container %s: %w", c.name(), err)
		}
	}
	select {
	case <-c.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kill container %s: %w", c.name(), ctx.Err())
	}
}

// RemoveContainer forgets the container, killing it if it runs. An unknown one
// is no error. Its log stays: it is the kubelet's.
func (r *Runtime) RemoveContainer(ctx context.Context, id string) error {
	r.mu.Lock()
	c := r.containers[id]
	if c == nil || c.idle() {
		r.forget(c)
		r.mu.Unlock()
		return nil
	}
	c.ordered = true
	r.mu.Unlock()
	if err := c.kill(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(c)
	return nil
}

// forget deletes a container, once. The caller holds Runtime.mu.
func (r *Runtime) forget(c *container) {
	if c != nil && r.containers[c.id] == c {
		delete(r.containers, c.id)
		r.emitContainer(c, rt.ContainerEventType_CONTAINER_DELETED_EVENT)
	}
}

// UpdateContainerResources remembers the resources, of which only the limit of
// memory is enforced. One below what the container holds ends it.
func (r *Runtime) UpdateContainerResources(_ context.Context, id string, resources *rt.ContainerResources) error {
	r.mu.Lock()
	c, err := r.container(id)
	if err == nil && resources.GetLinux() != nil {
		c.resources = resources.GetLinux()
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	r.watchMemory()
	return nil
}

// ReopenContainerLog makes the container write to a new file at its log's
// path, after the old one was moved away.
func (r *Runtime) ReopenContainerLog(_ context.Context, id string) error {
	c, err := r.runningContainer(id)
	if err != nil {
		return err
	}
	if err := c.output.log.reopen(); err != nil {
		return fmt.Errorf("reopen log of container %s: %w", c.name(), err)
	}
	return nil
}

// runningContainer finds a container that runs, with its process and output.
func (r *Runtime) runningContainer(id string) (*container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.container(id)
	if err != nil {
		return nil, err
	}
	if c.state != rt.ContainerState_CONTAINER_RUNNING {
		return nil, status.Errorf(codes.FailedPrecondition, "container %s is not running (%s)", c.name(), stateWord(c.state))
	}
	return c, nil
}

func stateWord(s rt.ContainerState) string {
	switch s {
	case rt.ContainerState_CONTAINER_CREATED:
		return "created, not started"
	case rt.ContainerState_CONTAINER_EXITED:
		return "exited"
	default:
		return s.String()
	}
}

// container returns the container with the id. The caller holds r.mu.
func (r *Runtime) container(id string) (*container, error) {
	if c := r.containers[id]; c != nil {
		return c, nil
	}
	return nil, status.Errorf(codes.NotFound, "container %q does not exist", id)
}
