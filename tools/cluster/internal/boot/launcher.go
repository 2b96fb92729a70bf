package boot

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/controlplane"
	"stormgate.internal/tools/internal/relay"
	"stormgate.internal/tools/internal/unixsocket"
)

// stopGrace is how long init may take to remove its files; then it is killed.
const stopGrace = time.Second

// initSpec is what the launcher tells init, as the first line of its standard
// input. Standard input then stays open: its end is the order to end.
type initSpec struct {
	Paths      paths
	ImagesFile string
	Deadline   time.Duration
	DataLimit  int64
	Started    time.Time
	Isolation  string
	// ExposedAddress is where the launcher serves the API on the host's
	// loopback; empty when it does not.
	ExposedAddress string
}

// Descriptors that init inherits beside the standard ones.
const (
	apiDescriptor     = 3
	controlDescriptor = 4
	lockDescriptor    = 5
)

// launcher is the host's side of one cluster.
type launcher struct {
	options Options
	dir     *directory
	started time.Time
	exposed string
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
		return nil // told to end before there was anything
	}
	child, err := l.start([]*os.File{apiSocket, control, l.dir.lock}, images)
	if err != nil {
		return err
	}
	// Init holds them now. Ours would keep clients waiting after its death.
	apiSocket.Close()
	control.Close()
	return l.supervise(ctx, child)
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

// child is a running init as the launcher sees it.
type child struct {
	cmd *exec.Cmd
	// life is init's standard input; closing it ends the cluster.
	life io.Closer
	// events is init's standard output.
	events io.Reader
}

// start clones init in the first way that the kernel allows.
//
// There is no Pdeathsig: it would be tied to the launcher's thread rather than
// to the process, and SIGKILL would leave init no time to remove the sockets.
// The life pipe is closed by the kernel when the launcher dies in any way, and
// init watches it from its first moment.
func (l *launcher) start(files []*os.File, images string) (*child, error) {
	uidMap, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return nil, fmt.Errorf("read own id map: %w", err)
	}
	gidMap, err := os.ReadFile("/proc/self/gid_map")
	if err != nil {
		return nil, fmt.Errorf("read own id map: %w", err)
	}
	var refusals []error
	for _, way := range isolations(os.Geteuid(), os.Getegid(), uidMap, gidMap) {
		child, err := l.clone(way, files, images)
		if err == nil {
			return child, nil
		}
		if !refused(err) {
			return nil, fmt.Errorf("start init (%s): %w", way.Name, err)
		}
		l.options.Log.Debug("namespaces refused", "way", way.Name, "error", err)
		refusals = append(refusals, fmt.Errorf("%s: %w", way.Name, err))
	}
	return nil, explainRefusal(errors.Join(refusals...), os.DirFS("/proc/sys"))
}

func (l *launcher) clone(way isolation, files []*os.File, images string) (*child, error) {
	cmd := &exec.Cmd{
		Path:        l.options.Executable,
		Args:        []string{"cluster", "init"},
		Env:         initEnvironment(),
		Stderr:      os.Stderr,
		ExtraFiles:  files,
		SysProcAttr: way.Attributes,
	}
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	events, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	spec := initSpec{
		Paths: l.dir.paths, ImagesFile: images, Deadline: l.options.Deadline,
		DataLimit: l.options.DataLimit, Started: l.started, Isolation: way.Name,
		ExposedAddress: l.exposed,
	}
	if err := json.NewEncoder(life).Encode(spec); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return nil, fmt.Errorf("instruct init: %w", err)
	}
	return &child{cmd: cmd, life: life, events: events}, nil
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

// supervise passes events on until init has ended.
func (l *launcher) supervise(ctx context.Context, c *child) error {
	booted, finished := make(chan struct{}), make(chan struct{})
	go l.enforce(ctx, c, booted, finished)

	var failure *api.Failure
	lines := bufio.NewScanner(c.events)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event api.Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			l.options.Log.Warn("init printed something that is no event", "line", lines.Text())
			continue
		}
		switch event.Kind {
		case api.EventFailed:
			failure = event.Failure
			continue // Run reports it, when everything is down
		case api.EventReady:
			close(booted)
		}
		l.options.OnEvent(event)
	}
	err := c.cmd.Wait()
	close(finished)
	if failure == nil {
		if ctx.Err() != nil {
			return nil
		}
		failure = &api.Failure{Component: "init", Message: "it ended unexpectedly: " + describe(err)}
		if !isClosed(booted) && time.Since(l.started) > l.options.Deadline {
			failure.Message = fmt.Sprintf("it hung beyond the boot deadline of %s and was killed", l.options.Deadline)
		}
	}
	return failure
}

func describe(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// enforce ends init when ctx does, and kills it when it does not obey, or has
// neither booted nor given up long after its deadline.
func (l *launcher) enforce(ctx context.Context, c *child, booted, finished <-chan struct{}) {
	defer c.life.Close()
	late := time.NewTimer(time.Until(l.started.Add(l.options.Deadline + api.Overtime)))
	defer late.Stop()
	select {
	case <-booted:
		select {
		case <-ctx.Done():
		case <-finished:
			return
		}
	case <-ctx.Done():
	case <-finished:
		return
	case <-late.C:
		c.kill(l)
		return
	}
	c.life.Close()
	select {
	case <-time.After(stopGrace):
		c.kill(l)
	case <-finished:
	}
}

// kill ends init and with it, by the kernel, all processes of the cluster.
func (c *child) kill(l *launcher) {
	l.options.Log.Warn("init does not end by itself; killing it", "pid", c.cmd.Process.Pid)
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		l.options.Log.Error("kill init", "error", err)
	}
}
