package boot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/controlplane"
	"stormgate.internal/tools/internal/child"
	"stormgate.internal/tools/internal/relay"
	"stormgate.internal/tools/internal/unixsocket"
)

// stopGrace is how long init may take to remove its files; then it is killed.
const stopGrace = time.Second

// initSpec instructs init, as the first line of its standard input. Standard
// input then stays open as the tether: its end is the order to end.
type initSpec struct {
	Paths      paths
	ImagesFile string
	Deadline   time.Duration
	DataLimit  int64
	Started    time.Time
	// ExposedAddress is where the launcher serves the API on the host's
	// loopback; empty when it does not.
	ExposedAddress string
	// Controlled means that starterDescriptor is there.
	Controlled bool
}

// Descriptors that init inherits beside the standard ones.
const (
	apiDescriptor     = 3
	controlDescriptor = 4
	lockDescriptor    = 5
	// starterDescriptor is the connection of whoever started the cluster; it may be absent.
	starterDescriptor = 6
)

// launcher is the host's side of one cluster.
type launcher struct {
	options Options
	dir     *directory
	started time.Time
	exposed string
	ready   sync.Once
	booted  chan struct{} // closed when init reports that the cluster is ready
	failure *api.Failure  // what init reported, once it has ended
}

func (l *launcher) run(ctx context.Context) error {
	if err := markCloseOnExec(); err != nil {
		return err
	}
	for _, dir := range []string{l.dir.paths.Dir.Logs(), l.dir.paths.data()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("prepare cluster directory: %w", err)
		}
	}
	images, err := absolute(l.options.ImagesFile)
	if err != nil {
		return err
	}
	apiSocket, err := listen(l.dir.paths.Dir.APISocket())
	if err != nil {
		return err
	}
	defer apiSocket.Close()
	control, err := listen(l.dir.paths.Dir.ControlSocket())
	if err != nil {
		return err
	}
	defer control.Close()

	if l.options.Expose {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("expose the API: %w", err)
		}
		defer listener.Close()
		l.exposed = listener.Addr().String()
		relay.Start(listener, func() (net.Conn, error) { return unixsocket.Dial(context.Background(), l.dir.paths.Dir.APISocket()) })
	}
	if ctx.Err() != nil {
		return nil // ordered to end before anything was started
	}
	files := []*os.File{apiSocket, control, l.dir.lock}
	if l.options.Control != nil {
		files = append(files, l.options.Control)
	}
	init, err := l.start(files, images)
	if err != nil {
		return err
	}
	// Init holds them now. A copy here would keep clients waiting after its death.
	apiSocket.Close()
	control.Close()
	if l.options.Control != nil {
		l.options.Control.Close()
	}
	return l.supervise(ctx, init)
}

func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find images file: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("read images file: %w", err)
	}
	return path, nil
}

// markCloseOnExec keeps descriptors that this process inherited (a shell's, a
// build tool's) from reaching containers.
func markCloseOnExec() error {
	if err := unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err == nil {
		return nil
	}
	// Kernels before 5.11 lack the flag.
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list own descriptors: %w", err)
	}
	for _, entry := range entries {
		var fd int
		if _, err := fmt.Sscan(entry.Name(), &fd); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// start clones init in the first way that the kernel allows.
//
// There is no Pdeathsig: it would be tied to the launcher's thread rather than
// to the process, and SIGKILL would leave init no time to remove the sockets.
// The tether is closed by the kernel when the launcher dies in any way, and
// init watches it from its first moment.
func (l *launcher) start(files []*os.File, images string) (*child.Child, error) {
	var refusals []error
	for _, way := range clonings(os.Geteuid(), os.Getegid()) {
		init, err := l.clone(way, files, images)
		if err == nil {
			return init, nil
		}
		if !refused(err) {
			return nil, fmt.Errorf("start init (%s): %w", way.Name, err)
		}
		l.options.Log.Debug("namespaces refused", "way", way.Name, "error", err)
		refusals = append(refusals, fmt.Errorf("%s: %w", way.Name, err))
	}
	return nil, explainRefusal(errors.Join(refusals...), os.DirFS("/proc/sys"))
}

func (l *launcher) clone(way cloning, files []*os.File, images string) (*child.Child, error) {
	cmd := &exec.Cmd{
		Path:        l.options.Executable,
		Args:        []string{"cluster", "init"},
		Env:         initEnvironment(),
		Stderr:      os.Stderr,
		ExtraFiles:  files,
		SysProcAttr: way.Attributes,
	}
	cmd.Stdout = child.EachLine(l.read)
	init, err := child.Start(cmd)
	if err != nil {
		return nil, err
	}
	spec := initSpec{
		Paths: l.dir.paths, ImagesFile: images, Deadline: l.options.Deadline,
		DataLimit: l.options.DataLimit, Started: l.started,
		ExposedAddress: l.exposed, Controlled: l.options.Control != nil,
	}
	if err := json.NewEncoder(init.Input).Encode(spec); err != nil {
		err = errors.Join(fmt.Errorf("instruct init: %w", err), init.Kill())
		if l.failure != nil {
			return nil, l.failure // why it does not listen
		}
		return nil, err
	}
	return init, nil
}

// initEnvironment is all that a cluster sees of the caller's environment: where
// programs are, for images that bring the host's, and the Go runtime's debug
// settings. Proxies, locales and kubeconfigs of the caller stay out.
func initEnvironment() []string {
	env := []string{
		"HOME=/", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		// For init and, from it, the components; containers have an environment of
		// their own. Set here, it spares each process 20 ms of collecting before main.
		controlplane.BootGC,
	}
	if value, ok := os.LookupEnv("GODEBUG"); ok {
		env = append(env, "GODEBUG="+value)
	}
	return env
}

// read passes on what init prints. Run reports a failure, when everything is down.
func (l *launcher) read(line []byte) {
	var event api.Event
	if err := json.Unmarshal(line, &event); err != nil {
		l.options.Log.Warn("init printed a line that is no event", "line", string(line))
		return
	}
	switch event.Kind {
	case api.EventFailed:
		l.failure = event.Failure
		return
	case api.EventReady:
		l.ready.Do(func() { close(l.booted) })
	}
	l.options.OnEvent(event)
}

// supervise returns when init has ended.
func (l *launcher) supervise(ctx context.Context, init *child.Child) error {
	go l.enforce(ctx, init)
	<-init.Done()
	if l.failure != nil {
		return l.failure
	}
	if ctx.Err() != nil {
		return nil
	}
	failure := &api.Failure{Component: "init", Message: "it ended unexpectedly: " + init.How()}
	select {
	case <-l.booted:
	default:
		if time.Since(l.started) > l.options.Deadline {
			failure.Message = fmt.Sprintf("it hung beyond the boot deadline of %s and was killed", l.options.Deadline)
		}
	}
	return failure
}

// enforce ends init when ctx does, and kills it when it does not obey, or has
// neither booted nor given up long after its deadline. The kernel then kills all
// processes of the cluster.
func (l *launcher) enforce(ctx context.Context, init *child.Child) {
	defer init.Input.Close()
	late := time.NewTimer(time.Until(l.started.Add(l.options.Deadline + api.Overtime)))
	defer late.Stop()
	select {
	case <-l.booted:
		select {
		case <-ctx.Done():
		case <-init.Done():
			return
		}
	case <-ctx.Done():
	case <-init.Done():
		return
	case <-late.C:
		l.options.Log.Warn("init is neither ready nor has it given up; killing it", "pid", init.PID())
		if err := init.Kill(); err != nil {
			l.options.Log.Error("kill init", "error", err)
		}
		return
	}
	if err := init.Stop(context.WithoutCancel(ctx), stopGrace); err != nil {
		l.options.Log.Warn("stop init", "pid", init.PID(), "error", err)
	}
}
