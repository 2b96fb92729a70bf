package containerinit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// deviceBinds are the host's device nodes that a container may use. They are
// bound, not made: mknod is barred in a user namespace. Their owners and modes are the
// machine's, and may be read only.
func deviceBinds() []Bind {
	var binds []Bind
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		path := "/dev/" + name
		binds = append(binds, Bind{Source: path, Target: path, Name: "device", Readonly: true})
	}
	return binds
}

// mountKernelFiles mounts /dev, /dev/pts, /dev/shm, /proc and /sys below the
// mount point. It runs before the host's root is left because the kernel lets
// a user namespace mount a fresh /proc only where a complete one is visible.
func (r *Root) mountKernelFiles() error {
	at := func(path string) string { return filepath.Join(r.MountPoint, path) }
	const strict = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("dev", at("/dev"), "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for _, d := range []string{"/dev/pts", "/dev/shm"} {
		if err := os.Mkdir(at(d), 0o755); err != nil {
			return err
		}
	}
	links := map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1",
		"/dev/stderr": "/proc/self/fd/2", "/dev/ptmx": "pts/ptmx",
	}
	for link, to := range links {
		if err := os.Symlink(to, at(link)); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", at("/dev/pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	if r.Shm == "" {
		if err := unix.Mount("shm", at("/dev/shm"), "tmpfs", strict, "mode=1777,size=64m"); err != nil {
			return fmt.Errorf("mount /dev/shm: %w", err)
		}
	}
	if err := unix.Mount("proc", at("/proc"), "proc", strict, ""); err != nil {
		return fmt.Errorf("mount /proc (does the host's /proc have parts of it covered?): %w", err)
	}
	flags := uintptr(strict | unix.MS_RDONLY)
	if r.WritableSys {
		flags = strict
	}
	// A user namespace may not mount /sys for a network namespace that it does
	// not own, nor where no complete /sys is visible. Few programs need it.
	if err := unix.Mount("sysfs", at("/sys"), "sysfs", flags, ""); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("mount /sys: %w", err)
	}
	return nil
}
