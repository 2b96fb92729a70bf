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

// Promise: a cluster gets as many ids as its user can give, and only root goes without a user namespace.
func TestClonings(t *testing.T) {
	const host = "         0          0 4294967295\n"
	const one = "      1000          0          1\n"
	const rootOne = "         0       1000          1\n"
	const few = "         0     100000      65535\n"
	const container = "         0     100000      65536\n"
	full, single, none := "user namespace with all ids", "user namespace with one id", "no user namespace"
	for name, test := range map[string]struct {
		uid            int
		uidMap, gidMap string
		want           []string
	}{
		"root":                          {0, host, host, []string{full, single, none}},
		"root of a rootless container":  {0, container, container, []string{full, single, none}},
		"root of a small map":           {0, few, few, []string{single, none}},
		"root with few groups":          {0, host, few, []string{single, none}},
		"user":                          {1000, host, host, []string{single}},
		"user in a sandbox":             {1000, one, one, []string{single}},
		"root of a namespace of one id": {0, rootOne, rootOne, []string{single, none}},
		"unreadable map":                {0, "what\n", "what\n", []string{single, none}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, way := range clonings(test.uid, test.uid, []byte(test.uidMap), []byte(test.gidMap)) {
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
				if way.Name == single && way.Attributes.UidMappings[0].HostID != test.uid {
					t.Errorf("%s maps user %d", way.Name, way.Attributes.UidMappings[0].HostID)
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
