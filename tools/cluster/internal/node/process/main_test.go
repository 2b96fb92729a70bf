package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The tests need the rights of a cluster's node, so TestMain runs them in
// namespaces of their own. The same binary is the container init and, bound
// into the containers, their program.
const (
	stageVariable  = "STORMGATE_PROCESS_TEST_STAGE" // "", then stageInit, then stageRun
	singleVariable = "STORMGATE_PROCESS_TEST_SINGLE_ID"
	stageInit      = "init"
	stageRun       = "run"
	programArg     = "program"
)

func TestMain(m *testing.M) {
	argument := ""
	if len(os.Args) > 1 {
		argument = os.Args[1]
	}
	switch {
	case argument == "container-init":
		ContainerInitMain()
	case argument == programArg:
		os.Exit(program(os.Args[2:]))
	}
	var code int
	var err error
	switch os.Getenv(stageVariable) {
	case stageRun:
		code = m.Run()
	case stageInit:
		code, err = initStage()
	default:
		code, err = enterNamespaces()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "prepare namespaces for the tests:", err)
		code = 1
	}
	os.Exit(code)
}

// enterNamespaces runs this binary again in namespaces of its own, with all
// user ids where that is allowed and with one elsewhere.
func enterNamespaces() (int, error) {
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC
	everyID := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
	attempts := []*syscall.SysProcAttr{
		{Cloneflags: all | unix.CLONE_NEWUSER, UidMappings: everyID, GidMappings: everyID, GidMappingsEnableSetgroups: true},
		{
			Cloneflags:  all | unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		},
		{Cloneflags: all},
	}
	if os.Getenv(singleVariable) != "" {
		attempts = attempts[1:2]
	}
	runtime.LockOSThread() // the child dies with this thread
	var errs []error
	for _, attr := range attempts {
		attr.Pdeathsig = syscall.SIGKILL
		code, err := runStage(stageInit, attr)
		if err == nil {
			return code, nil
		}
		errs = append(errs, err)
	}
	return 1, errors.Join(errs...)
}

// initStage is the first process of the namespaces: it reaps.
func initStage() (int, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 1, err
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return 1, fmt.Errorf("mount /proc: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return 1, err
	}
	signal.Ignore(unix.SIGINT)
	if err := os.Setenv(stageVariable, stageRun); err != nil {
		return 1, err
	}
	child, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 1, err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1, err
		case pid == child.Pid && status.Exited():
			return status.ExitStatus(), nil
		case pid == child.Pid:
			return 128 + int(status.Signal()), nil
		}
	}
}

func runStage(stage string, attr *syscall.SysProcAttr) (int, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), stageVariable+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = attr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// loopbackUp sets the loopback device of the calling thread's network
// namespace up.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}
