package boottest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// helperArgument makes the test binary prepare a namespace and become another
// program in it.
const helperArgument = "boottest-helper"

// barred returns a command that runs as the given user of a new user namespace,
// below which no further ones may be made.
func barred(t *testing.T, uid int, args ...string) *exec.Cmd {
	t.Helper()
	return helper(t, uid, append([]string{"bar"}, args...)...)
}

// onFullDisk returns a command for which dir is a full file system.
func onFullDisk(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	return helper(t, 0, append([]string{"fill", dir}, args...)...)
}

func helper(t *testing.T, uid int, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{helperArgument}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getegid(), Size: 1}},
		// A user who is not root loses its power over the new namespace at exec otherwise.
		AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE, unix.CAP_SYS_ADMIN},
	}
	return cmd
}

func helperMain(args []string) error {
	// Capabilities and exec are the thread's.
	runtime.LockOSThread()
	var rest []string
	switch args[0] {
	case "bar":
		rest = args[1:]
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
			return fmt.Errorf("bar user namespaces: %w", err)
		}
	case "fill":
		dir := args[1]
		rest = args[2:]
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		// One page: room for directories and sockets, for no file's content.
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size=4096"); err != nil {
			return fmt.Errorf("mount small file system: %w", err)
		}
		if err := os.WriteFile(dir+"/filler", make([]byte, 4096), 0o600); err != nil {
			return fmt.Errorf("fill file system: %w", err)
		}
	default:
		return fmt.Errorf("unknown preparation %q", args[0])
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return fmt.Errorf("become %s: %w", rest[0], syscall.Exec(rest[0], rest, os.Environ()))
}
