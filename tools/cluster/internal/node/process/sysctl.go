package process

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// namespacedSysctls begin the names of those that a namespace of the pod's own
// holds: as the kubelet's allow-list has them. All others are the machine's.
var namespacedSysctls = map[string]int{
	"net.":       unix.CLONE_NEWNET,
	"kernel.shm": unix.CLONE_NEWIPC,
	"kernel.msg": unix.CLONE_NEWIPC,
	"kernel.sem": unix.CLONE_NEWIPC,
	"fs.mqueue.": unix.CLONE_NEWIPC,
}

// checkSysctls refuses those that would be the machine's, or the node's because
// the pod shares its namespace.
func checkSysctls(config *rt.PodSandboxConfig) error {
	for _, name := range slices.Sorted(maps.Keys(config.GetLinux().GetSysctls())) {
		switch sysctlNamespace(name) {
		case 0:
			return fmt.Errorf("sysctl %s is the machine's and no pod's; remove it from securityContext.sysctls", name)
		case unix.CLONE_NEWNET:
			if namespaces(config).GetNetwork() == rt.NamespaceMode_NODE {
				return fmt.Errorf("sysctl %s would be the node's; remove it from securityContext.sysctls, or hostNetwork", name)
			}
		case unix.CLONE_NEWIPC:
			if namespaces(config).GetIpc() == rt.NamespaceMode_NODE {
				return fmt.Errorf("sysctl %s would be the node's; remove it from securityContext.sysctls, or hostIPC", name)
			}
		}
	}
	return nil
}

// sysctlNamespace is the flag of the namespace that holds a sysctl, 0 if none does.
func sysctlNamespace(name string) int {
	dotted := strings.ReplaceAll(name, "/", ".")
	if strings.Contains(dotted, "..") {
		return 0
	}
	for prefix, kind := range namespacedSysctls {
		if strings.HasPrefix(dotted, prefix) {
			return kind
		}
	}
	return 0
}

// setSysctls sets a pod's sysctls in its namespaces, which are made already.
func (s *sandbox) setSysctls() error {
	sysctls := s.config.GetLinux().GetSysctls()
	if len(sysctls) == 0 {
		return nil
	}
	return onThread(func() error {
		if s.network != nil {
			if err := unix.Setns(int(s.network.NetNS().Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("set sysctls: join network namespace: %w", err)
			}
		}
		if s.ipc != nil {
			if err := unix.Setns(int(s.ipc.Fd()), unix.CLONE_NEWIPC); err != nil {
				return fmt.Errorf("set sysctls: join IPC namespace: %w", err)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(sysctls)) {
			path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
			if err := os.WriteFile(path, []byte(sysctls[name]), 0); err != nil {
				return fmt.Errorf("set sysctl %s to %q (securityContext.sysctls): %w", name, sysctls[name], err)
			}
		}
		return nil
	})
}
