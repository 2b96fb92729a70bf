// Package userns reports whether this machine lets its users make namespaces, which
// both the cluster and Bazel's linux-sandbox are made of. If it does not, the package
// explains what bars them and names the way out.
package userns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Flags are the namespaces that a sandbox or cluster needs beside the user
// namespace.
const Flags = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// Probe makes a user namespace with one id and the others in it, and uses a
// privilege there. It returns the kernel's refusal, or nil.
func Probe() error {
	// Nothing is there to be executed: that this is what fails says that all before
	// it went well.
	cmd := exec.Command("/proc/self/nothing")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  Flags | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		// AppArmor lets a namespace be made and takes the privileges away.
		Chroot: "/",
	}
	if err := cmd.Run(); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make user namespace: %w", err)
	}
	return nil
}

// A bar is a setting of the machine that keeps namespaces from its users.
type bar struct {
	file   string // below /proc/sys
	value  string // the value that bars
	remedy string
}

var bars = []bar{
	{"user/max_user_namespaces", "0", "an administrator can allow them with: sysctl -w user.max_user_namespaces=10000"},
	{"kernel/unprivileged_userns_clone", "0", "an administrator can allow them with: sysctl -w kernel.unprivileged_userns_clone=1"},
	{"kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor takes the privileges inside user namespaces away; an administrator can allow them with: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with the rule \"userns,\" for the binary"},
}

// Advice names what bars namespaces and the way out, for a refusal of the kernel's.
// sysctls is /proc/sys.
func Advice(refusal error, sysctls fs.FS) string {
	var found []string
	for _, bar := range bars {
		content, err := fs.ReadFile(sysctls, bar.file)
		if err == nil && strings.TrimSpace(string(content)) == bar.value {
			found = append(found, fmt.Sprintf("%s is %s: %s", strings.ReplaceAll(bar.file, "/", "."), bar.value, bar.remedy))
		}
	}
	switch {
	case len(found) > 0:
		return strings.Join(found, "; ")
	case errors.Is(refusal, unix.ENOSPC) || errors.Is(refusal, unix.EUSERS):
		return "one of the limits user.max_{user,net,mnt,pid,uts,ipc}_namespaces is reached: an administrator can raise it with sysctl -w"
	}
	return "no sysctl bars them, so a container's seccomp or capability rules probably do: allow user namespaces there (for Docker --security-opt seccomp=unconfined --security-opt systempaths=unconfined, or --privileged)"
}
