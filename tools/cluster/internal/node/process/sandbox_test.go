package process

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestSandboxIsRefused(t *testing.T) {
	f := newFixture(t)
	tests := []struct {
		name    string
		handler string
		change  func(*rt.PodSandboxConfig)
		word    string
	}{
		{"runtime class", "gvisor", func(*rt.PodSandboxConfig) {}, `"gvisor"`},
		{"sysctl of the machine", "", sysctls("kernel.pid_max", "1024"), "kernel.pid_max"},
		{"sysctl out of the way", "", sysctls("net.../kernel/pid_max", "1024"), "kernel/pid_max"},
		{"value of a sysctl", "", sysctls("net.ipv4.ip_local_port_range", "many"), "net.ipv4.ip_local_port_range"},
		{"sysctl of the node's network", "", func(c *rt.PodSandboxConfig) {
			sysctls("net.core.somaxconn", "1024")(c)
			c.Linux.SecurityContext.NamespaceOptions.Network = rt.NamespaceMode_NODE
		}, "hostNetwork"},
		{"sysctl of the node's IPC", "", func(c *rt.PodSandboxConfig) {
			sysctls("kernel.shm_rmid_forced", "1")(c)
			c.Linux.SecurityContext.NamespaceOptions.Ipc = rt.NamespaceMode_NODE
		}, "hostIPC"},
		{"the node's processes", "", podNamespaces(func(o *rt.NamespaceOption) { o.Pid = rt.NamespaceMode_NODE }), "hostPID"},
		{"user namespace", "", podNamespaces(func(o *rt.NamespaceOption) {
			o.UsernsOptions = &rt.UserNamespace{Mode: rt.NamespaceMode_POD}
		}), "hostUsers"},
		{"host port", "", func(c *rt.PodSandboxConfig) {
			c.PortMappings = []*rt.PortMapping{{ContainerPort: 80, HostPort: 8080}}
		}, "hostPort 8080"},
		{"host name", "", func(c *rt.PodSandboxConfig) { c.Hostname = strings.Repeat("x", 65) }, "host name"},
	}
	for _, test := range tests {
		_, err := f.runtime.RunPodSandbox(t.Context(), f.podConfig("web", test.change), test.handler)
		if err == nil || !strings.Contains(err.Error(), test.word) || !strings.Contains(err.Error(), "test/web") {
			t.Errorf("%s: error %v does not name the pod and %s", test.name, err, test.word)
		}
	}
	f.network.fails = errors.New("no addresses left")
	if _, err := f.runtime.RunPodSandbox(t.Context(), f.podConfig("web"), ""); !errors.Is(err, f.network.fails) {
		t.Errorf("network failure: %v", err)
	}
	f.network.fails = nil
	if left, err := os.ReadDir(f.runtime.sandboxesDir()); err != nil || len(left) != 0 {
		t.Errorf("left after refusals: %v, %v", left, err)
	}
}

func sysctls(name, value string) func(*rt.PodSandboxConfig) {
	return func(c *rt.PodSandboxConfig) { c.Linux.Sysctls = map[string]string{name: value} }
}

// Promise: a pod's sysctls are set in its namespaces, and in no other's.
func TestSysctls(t *testing.T) {
	f := newFixture(t)
	wanted := map[string]string{
		"net.ipv4.ip_unprivileged_port_start": "7", "net.ipv4.ip_local_port_range": "40000\t41000", "net.core.somaxconn": "77",
		"kernel.shm_rmid_forced": "1",
	}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		paths = append(paths, "/proc/sys/"+strings.ReplaceAll(name, ".", "/"))
	}
	out, _ := f.run(f.pod("web", func(c *rt.PodSandboxConfig) { c.Linux.Sysctls = wanted }), "read", append([]string{"read"}, paths...))
	if want := "1\n77\n40000\t41000\n7\n"; out != want {
		t.Errorf("the pod has %q, want %q", out, want)
	}
	out, _ = f.run(f.pod("other"), "read", append([]string{"read"}, paths...))
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if line == []string{"1", "77", "40000\t41000", "7"}[i] {
			t.Errorf("another pod has %s = %s", paths[i], line)
		}
	}
}

func TestContainersOfAPodShareItsNamespaces(t *testing.T) {
	f := newFixture(t)
	pod, other := f.pod("web"), f.pod("db")
	// The kernel gives the numbers of ended namespaces to new ones, so all run.
	running := func(pod, name string) report {
		return f.execReport(f.start(pod, name, []string{"wait"}))
	}
	a, b, c := running(pod, "a"), running(pod, "b"), running(other, "c")
	for _, name := range []string{"net", "uts", "ipc"} {
		if a.Namespaces[name] != b.Namespaces[name] {
			t.Errorf("two containers of a pod have different %s namespaces", name)
		}
		if a.Namespaces[name] == c.Namespaces[name] || a.Namespaces[name] == links("/proc/self/ns")[name] {
			t.Errorf("%s namespace is not the pod's own", name)
		}
	}
	for _, name := range []string{"mnt", "pid"} {
		if a.Namespaces[name] == b.Namespaces[name] {
			t.Errorf("two containers have the same %s namespace", name)
		}
	}
	if a.Hostname != "web-host" || c.Hostname != "db-host" {
		t.Errorf("host names %q and %q", a.Hostname, c.Hostname)
	}
	f.run(pod, "put", []string{"write", "/dev/shm/note"})
	if out, _ := f.run(pod, "get", []string{"read", "/dev/shm/note"}); out != "written\n" {
		t.Errorf("shared memory has %q", out)
	}
	if _, s := f.run(other, "get", []string{"read", "/dev/shm/note"}); s.GetExitCode() == 0 {
		t.Error("another pod sees the shared memory")
	}
}

func TestSharedProcessNamespace(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web", podNamespaces(func(o *rt.NamespaceOption) { o.Pid = rt.NamespaceMode_POD }))
	a := f.start(pod, "a", []string{"wait"})
	f.awaitOutput(a, "ready")
	b := f.report(pod, "b")
	if b.PID == 1 || b.Namespaces["pid"] == links("/proc/self/ns")["pid"] {
		t.Errorf("process %d is in namespace %s", b.PID, b.Namespaces["pid"])
	}
	if out, _ := f.run(pod, "c", []string{"read", "/proc/1/cmdline"}); !strings.Contains(out, "container-init") {
		t.Errorf("process 1 is %q", out)
	}
	if exec := f.execReport(a); exec.Namespaces["pid"] != b.Namespaces["pid"] {
		t.Error("an exec'd process is in another process namespace")
	}
	// The namespace's first process must not be a way to the node's files.
	if out, s := f.run(pod, "d", []string{"read", "/proc/1/root/"}); s.GetExitCode() == 0 && strings.Contains(out, f.logDir) {
		t.Errorf("the node's root is visible: %q", out)
	}
	// Orphans are reaped by it.
	f.run(pod, "e", []string{"orphan"})
	eventually(t, func() error {
		out, _ := f.run(pod, "f", []string{"read", "/proc"})
		left := 0
		for line := range strings.Lines(out) {
			if name := strings.TrimSpace(filepath.Base(line)); name[0] >= '0' && name[0] <= '9' {
				left++
			}
		}
		if left != 3 { // the first process, a, and the reader itself
			return fmt.Errorf("%d processes are left", left)
		}
		return nil
	})
}

func TestTargetedContainerSharesTheTargetsProcesses(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web")
	app := f.start(pod, "app", []string{"wait"})
	f.awaitOutput(app, "ready")
	target := func(id string) func(*rt.ContainerConfig) {
		return security0(func(s *rt.LinuxContainerSecurityContext) {
			s.NamespaceOptions = &rt.NamespaceOption{Pid: rt.NamespaceMode_TARGET, TargetId: id}
		})
	}
	out, _ := f.run(pod, "debugger", []string{"read", "/proc/1/cmdline"}, target(app))
	if !strings.Contains(out, "wait") {
		t.Errorf("process 1 is %q", out)
	}
	if s := f.status(app); s.GetState() != rt.ContainerState_CONTAINER_RUNNING {
		t.Error("the debugger's end was the target's end")
	}
	id, err := f.create(pod, "debugger2", nil, target("nothing"))
	if err == nil {
		err = f.runtime.StartContainer(t.Context(), id)
	}
	if err == nil || !strings.Contains(err.Error(), "target") {
		t.Errorf("unknown target: %v", err)
	}
}

func TestHostNamespaces(t *testing.T) {
	f := newFixture(t)
	own := links("/proc/self/ns")
	pod := f.pod("system", func(c *rt.PodSandboxConfig) { c.Hostname = "" }, podNamespaces(func(o *rt.NamespaceOption) {
		o.Network, o.Ipc = rt.NamespaceMode_NODE, rt.NamespaceMode_NODE
	}), func(c *rt.PodSandboxConfig) { c.PortMappings = []*rt.PortMapping{{ContainerPort: 80, HostPort: 80}} })
	r := f.report(pod, "agent")
	for _, name := range []string{"net", "ipc", "uts"} {
		if r.Namespaces[name] != own[name] {
			t.Errorf("%s namespace is not the node's", name)
		}
	}
	if r.Namespaces["mnt"] == own["mnt"] {
		t.Error("mount namespace is the node's")
	}
	s, err := f.runtime.PodSandboxStatus(t.Context(), pod, false)
	if err != nil || s.GetStatus().GetNetwork().GetIp() != "10.0.0.1" {
		t.Errorf("status %v, %v", s, err)
	}
}

func TestStopPodSandbox(t *testing.T) {
	f := newFixture(t)
	pod, other := f.pod("web"), f.pod("db")
	var ids []string
	for i := range 3 {
		ids = append(ids, f.start(pod, fmt.Sprint("app", i), []string{"wait", "SIGUSR2"}))
	}
	survivor := f.start(other, "app", []string{"wait"})
	if err := f.runtime.StopPodSandbox(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if s := f.status(id); s.GetState() != rt.ContainerState_CONTAINER_EXITED || s.GetExitCode() != 137 {
			t.Errorf("state %v, exit code %d", s.GetState(), s.GetExitCode())
		}
	}
	if s := f.status(survivor); s.GetState() != rt.ContainerState_CONTAINER_RUNNING {
		t.Error("another pod's container was stopped")
	}
	if f.network.open != 1 {
		t.Errorf("%d networks are set up", f.network.open)
	}
	state := func(s rt.PodSandboxState) []string {
		list, err := f.runtime.ListPodSandbox(t.Context(), &rt.PodSandboxFilter{State: &rt.PodSandboxStateValue{State: s}})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, s := range list {
			ids = append(ids, s.GetId())
		}
		return ids
	}
	if !slices.Equal(state(rt.PodSandboxState_SANDBOX_NOTREADY), []string{pod}) || !slices.Equal(state(rt.PodSandboxState_SANDBOX_READY), []string{other}) {
		t.Error("the list of sandboxes shows the stopped one like the other")
	}
	if err := f.runtime.RemovePodSandbox(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	list, err := f.runtime.ListContainers(t.Context(), nil)
	if err != nil || len(list) != 1 {
		t.Errorf("containers after removal: %v, %v", list, err)
	}
}
