package userns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

const probeArgument = "userns-probe"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == probeArgument {
		// In a user namespace of its own, so that this is no other process' limit.
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
			fmt.Println("bar user namespaces:", err)
			os.Exit(9)
		}
		err := Probe()
		fmt.Println(err, Advice(err, os.DirFS("/proc/sys")))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Promise: the probe finds namespaces where they are allowed, as where these tests run.
func TestProbeAllowed(t *testing.T) {
	if err := Probe(); err != nil {
		t.Errorf("%v; %s", err, Advice(err, os.DirFS("/proc/sys")))
	}
}

// Promise: where namespaces are barred the probe says so, and the advice names the setting.
func TestProbeBarred(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, probeArgument)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"make user namespace", "no space left on device", "sysctl -w user.max_user_namespaces="} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the probe says %q, want %q", out, want)
		}
	}
}

// Promise: the advice names the setting and its remedy, whatever bars.
func TestAdvice(t *testing.T) {
	for name, test := range map[string]struct {
		refusal error
		sysctls map[string]string
		want    []string
		not     []string
	}{
		"limit of zero":   {unix.ENOSPC, map[string]string{"user/max_user_namespaces": "0\n"}, []string{"user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces="}, []string{"seccomp", "reached"}},
		"Debian's switch": {unix.EPERM, map[string]string{"kernel/unprivileged_userns_clone": "0\n", "user/max_user_namespaces": "5000\n"}, []string{"kernel.unprivileged_userns_clone is 0"}, []string{"max_user_namespaces is"}},
		"AppArmor":        {unix.EPERM, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1\n"}, []string{"AppArmor", "kernel.apparmor_restrict_unprivileged_userns=0"}, nil},
		"two of them":     {unix.EPERM, map[string]string{"kernel/unprivileged_userns_clone": "0", "user/max_user_namespaces": "0"}, []string{"kernel.unprivileged_userns_clone is 0", "user.max_user_namespaces is 0"}, nil},
		"none of them":    {unix.EPERM, nil, []string{"seccomp"}, nil},
		"a limit reached": {errors.Join(unix.ENOSPC), map[string]string{"user/max_user_namespaces": "5000"}, []string{"limits", "max_{user,net"}, []string{"seccomp"}},
	} {
		t.Run(name, func(t *testing.T) {
			sysctls := fstest.MapFS{}
			for file, content := range test.sysctls {
				sysctls[file] = &fstest.MapFile{Data: []byte(content)}
			}
			advice := Advice(test.refusal, sysctls)
			for _, want := range test.want {
				if !strings.Contains(advice, want) {
					t.Errorf("advice = %q, want %q", advice, want)
				}
			}
			for _, not := range test.not {
				if strings.Contains(advice, not) {
					t.Errorf("advice = %q, want none with %q", advice, not)
				}
			}
		})
	}
}
