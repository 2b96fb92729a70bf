package boot

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// Promise: a cluster gets as many ids as its user can give, and only root goes without a user namespace.
func TestIsolations(t *testing.T) {
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
			for _, way := range isolations(test.uid, test.uid, []byte(test.uidMap), []byte(test.gidMap)) {
				got = append(got, way.Name)
				if hasUser := way.Attributes.Cloneflags&unix.CLONE_NEWUSER != 0; hasUser != (way.Name != none) {
					t.Errorf("%s: new user namespace = %v", way.Name, hasUser)
				}
				if way.Attributes.Cloneflags&namespaceFlags != namespaceFlags {
					t.Errorf("%s: flags = %#x lack some of %#x", way.Name, way.Attributes.Cloneflags, namespaceFlags)
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
	for name, test := range map[string]struct {
		sysctls map[string]string
		want    []string
		not     []string
	}{
		"limit of zero":   {map[string]string{"user/max_user_namespaces": "0\n"}, []string{"user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces="}, []string{"seccomp"}},
		"Debian's switch": {map[string]string{"kernel/unprivileged_userns_clone": "0\n", "user/max_user_namespaces": "5000\n"}, []string{"kernel.unprivileged_userns_clone is 0"}, []string{"max_user_namespaces is"}},
		"AppArmor":        {map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1\n"}, []string{"AppArmor", "kernel.apparmor_restrict_unprivileged_userns=0"}, nil},
		"two of them":     {map[string]string{"kernel/unprivileged_userns_clone": "0", "user/max_user_namespaces": "0"}, []string{"kernel.unprivileged_userns_clone is 0", "user.max_user_namespaces is 0"}, nil},
		"none of them":    {nil, []string{"seccomp"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			sysctls := fstest.MapFS{}
			for file, content := range test.sysctls {
				sysctls[file] = &fstest.MapFile{Data: []byte(content)}
			}
			err := explainRefusal(unix.EPERM, sysctls)
			for _, want := range append(test.want, "user namespaces", "or run as root") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want one with %q", err, want)
				}
			}
			for _, not := range test.not {
				if strings.Contains(err.Error(), not) {
					t.Errorf("error = %v, want none with %q", err, not)
				}
			}
			if !errors.Is(err, unix.EPERM) {
				t.Error("the kernel's answer is lost")
			}
		})
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
