package boot

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/internal/userns"
)

// Promise: a cluster has one id, whoever runs it, so that a pod is the same user in
// each; and only root goes without a user namespace.
func TestClonings(t *testing.T) {
	single, none := "user namespace with one id", "no user namespace"
	for name, test := range map[string]struct {
		uid  int
		want []string
	}{
		"root": {0, []string{single, none}},
		"user": {1000, []string{single}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, way := range clonings(test.uid, test.uid) {
				got = append(got, way.Name)
				if hasUser := way.Attributes.Cloneflags&unix.CLONE_NEWUSER != 0; hasUser != (way.Name != none) {
					t.Errorf("%s: new user namespace = %v", way.Name, hasUser)
				}
				if way.Attributes.Cloneflags&userns.Flags != userns.Flags {
					t.Errorf("%s: flags = %#x lack some of %#x", way.Name, way.Attributes.Cloneflags, userns.Flags)
				}
				if !way.Attributes.Setsid {
					t.Errorf("%s: Ctrl-C would reach the components before the launcher", way.Name)
				}
				if way.Name != single {
					continue
				}
				if ids := way.Attributes.UidMappings; len(ids) != 1 || ids[0].HostID != test.uid || ids[0].Size != 1 {
					t.Errorf("%s maps users %+v", way.Name, ids)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("ways = %q, want %q", got, test.want)
			}
		})
	}
}

// Promise: a machine without user namespaces gets an error that names the setting and its remedy.
func TestExplainRefusal(t *testing.T) {
	sysctls := fstest.MapFS{"user/max_user_namespaces": {Data: []byte("0\n")}}
	err := explainRefusal(unix.ENOSPC, sysctls)
	for _, want := range []string{"user namespaces", "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=", "or run as root"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want one with %q", err, want)
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Error("the kernel's answer is lost")
	}
}

// Namespaces that were made but give no power have the same cause; other mount errors have not.
func TestExplainMountRefusal(t *testing.T) {
	sysctls := fstest.MapFS{"kernel/apparmor_restrict_unprivileged_userns": {Data: []byte("1\n")}}
	if err := explainMountRefusal(unix.EACCES, sysctls); !strings.Contains(err.Error(), "AppArmor") {
		t.Errorf("error = %v", err)
	}
	if err := explainMountRefusal(unix.ENOMEM, sysctls); err != unix.ENOMEM {
		t.Errorf("error = %v", err)
	}
}
