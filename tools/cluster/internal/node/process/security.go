package process

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/internal/node/process/containerinit"
)

// security is who a container's processes are and what they may do.
type security struct {
	uid, gid int64
	groups   []int64
	// capabilities is a bounding set, see containerinit.Credentials.
	capabilities uint64
	noNewPrivs   bool
	keepGroups   bool
}

// capabilityNames are in the order of their numbers.
var capabilityNames = []string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// defaultCapabilities are those that the usual runtimes give to a container
// that asks for nothing.
var defaultCapabilities = func() uint64 {
	var set uint64
	for _, name := range []string{
		"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
		"NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
	} {
		set |= 1 << slices.Index(capabilityNames, name)
	}
	return set
}()

const allCapabilities uint64 = 1<<(unix.CAP_LAST_CAP+1) - 1

func securityContext(config *rt.ContainerConfig) *rt.LinuxContainerSecurityContext {
	return config.GetLinux().GetSecurityContext()
}

func namespaceOptions(config *rt.ContainerConfig) *rt.NamespaceOption {
	return securityContext(config).GetNamespaceOptions()
}

// security works out a container's user, groups and capabilities.
//
// A user or group that does not exist in this user namespace cannot be had. A
// cluster has only user and group 0, which are those of whoever runs it, the same
// for root and in a sandbox. Such a container runs as 0 without a single
// capability, which is what being another user protects from, and a warning is
// logged once for the pod. Files that only the wanted user could read stay
// readable, and a program that refuses to be user 0 refuses in every cluster.
func (r *Runtime) security(c *container) (security, error) {
	sc := securityContext(c.config)
	if sc.GetRunAsUsername() != "" {
		return security{}, fmt.Errorf("user %q: only numeric users are supported; use runAsUser", sc.GetRunAsUsername())
	}
	uid, gid, err := c.image.UserIDs()
	if err != nil {
		return security{}, err
	}
	if user := sc.GetRunAsUser(); user != nil && user.GetValue() != uid {
		// The image's group belongs to the image's user.
		uid, gid = user.GetValue(), 0
	}
	if group := sc.GetRunAsGroup(); group != nil {
		gid = group.GetValue()
	}
	s := security{uid: uid, gid: gid, groups: []int64{gid}, noNewPrivs: sc.GetNoNewPrivs(), keepGroups: r.ids.fixedGroups}
	for _, g := range sc.GetSupplementalGroups() {
		if !slices.Contains(s.groups, g) {
			s.groups = append(s.groups, g)
		}
	}
	available, err := availableCapabilities()
	if err != nil {
		return security{}, err
	}
	if s.capabilities, err = capabilities(sc, available); err != nil {
		return security{}, err
	}
	wanted := s
	if !contains(r.ids.users, s.uid) {
		s.uid, s.capabilities = 0, 0
	}
	if !contains(r.ids.groups, s.gid) {
		s.gid = 0
	}
	s.groups = slices.DeleteFunc(slices.Clone(s.groups), func(g int64) bool {
		return s.keepGroups || !contains(r.ids.groups, g)
	})
	if s.uid != wanted.uid || s.gid != wanted.gid {
		c.sandbox.warnUser.Do(func() {
			r.log.Warn("user or group does not exist in this cluster: the pod runs as the cluster's own user, without capabilities if the user is missing",
				"pod", c.sandbox.pod(), "container", c.config.GetMetadata().GetName(),
				"wantedUser", wanted.uid, "wantedGroup", wanted.gid, "user", s.uid, "group", s.gid)
		})
	}
	return s, nil
}

// capabilities applies a container's drops and additions to the default set.
// ALL may stand in either list; additions win over dropping ALL, drops win
// over adding ALL.
func capabilities(sc *rt.LinuxContainerSecurityContext, available uint64) (uint64, error) {
	if sc.GetPrivileged() {
		return available, nil
	}
	add, err := capabilitySet(sc.GetCapabilities().GetAddCapabilities())
	if err != nil {
		return 0, fmt.Errorf("capabilities.add: %w", err)
	}
	drop, err := capabilitySet(sc.GetCapabilities().GetDropCapabilities())
	if err != nil {
		return 0, fmt.Errorf("capabilities.drop: %w", err)
	}
	if len(sc.GetCapabilities().GetAddAmbientCapabilities()) > 0 {
		return 0, errors.New("ambient capabilities are not supported")
	}
	if add != allCapabilities {
		if missing := add &^ available; missing != 0 {
			return 0, fmt.Errorf("capabilities.add: the cluster itself does not have %s", capabilityList(missing))
		}
	}
	set := defaultCapabilities
	if add == allCapabilities {
		set = allCapabilities &^ drop
	} else {
		set = set&^drop | add
	}
	return set & available, nil
}

func capabilitySet(names []string) (uint64, error) {
	var set uint64
	for _, name := range names {
		plain := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		number := slices.Index(capabilityNames, plain)
		switch {
		case plain == "ALL":
			return allCapabilities, nil
		case number < 0:
			return 0, fmt.Errorf("unknown capability %q", name)
		}
		set |= 1 << number
	}
	return set, nil
}

func capabilityList(set uint64) string {
	var names []string
	for number, name := range capabilityNames {
		if set&(1<<number) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// availableCapabilities is what this process could pass on.
func availableCapabilities() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read the cluster's capabilities: %w", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}

func (s security) credentials() containerinit.Credentials {
	c := containerinit.Credentials{
		UID: uint32(s.uid), GID: uint32(s.gid), Capabilities: s.capabilities,
		KeepGroups: s.keepGroups, NoNewPrivs: s.noNewPrivs,
	}
	for _, g := range s.groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c
}

// user reports who the container really runs as.
func (s security) user() *rt.ContainerUser {
	return &rt.ContainerUser{Linux: &rt.LinuxContainerUser{Uid: s.uid, Gid: s.gid, SupplementalGroups: s.groups}}
}
