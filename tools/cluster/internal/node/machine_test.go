package node

import (
	"os"
	"runtime"
	"strings"
	"testing"

	cadvisorapi "github.com/google/cadvisor/lib/model"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// What the node says it has is what the scheduler gives away.
func TestMachineTellsTheTruth(t *testing.T) {
	root := t.TempDir()
	m := newMachine("node-1", root)
	info, err := m.MachineInfo(klog.Background())
	if err != nil {
		t.Fatal(err)
	}
	var system unix.Sysinfo_t
	if err := unix.Sysinfo(&system); err != nil {
		t.Fatal(err)
	}
	if want := system.Totalram * uint64(system.Unit); info.MemoryCapacity != want {
		t.Errorf("memory %d, want %d", info.MemoryCapacity, want)
	}
	if info.NumCores != runtime.NumCPU() {
		t.Errorf("%d cores, want %d", info.NumCores, runtime.NumCPU())
	}
	if info.BootID == "" {
		t.Error("no boot ID: the kubelet reports a reboot at each change of it")
	}
	disk, err := m.RootFsInfo()
	if err != nil {
		t.Fatal(err)
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(root, &stat); err != nil {
		t.Fatal(err)
	}
	if want := stat.Blocks * uint64(stat.Bsize); disk.Capacity != want || disk.Usage+disk.Available > want {
		t.Errorf("disk %+v, want a capacity of %d", disk, want)
	}
	version, err := m.VersionInfo()
	if err != nil {
		t.Fatal(err)
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if version.KernelVersion != strings.TrimSpace(string(release)) || version.ContainerOsVersion == "" {
		t.Errorf("versions %+v, want the kernel's %s", version, release)
	}
	capacity := newContainerManager(m).GetCapacity(klog.Background(), true)
	if storage := capacity[corev1.ResourceEphemeralStorage]; storage.Value() != int64(disk.Capacity) {
		t.Errorf("ephemeral storage %s, want %d", storage.String(), disk.Capacity)
	}
	if capacity := newContainerManager(m).GetCapacity(klog.Background(), false); len(capacity) > 0 {
		t.Errorf("capacity without local storage isolation is %v", capacity)
	}
}

// The kubelet's summary and its eviction manager read the root cgroup, and log
// an error each 10 s when it is missing.
func TestMachineHasARootCgroup(t *testing.T) {
	m := newMachine("node-1", t.TempDir())
	infos, err := m.ContainerInfoV2("/", cadvisorapi.RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	info, ok := infos["/"]
	if !ok || len(infos) != 1 || len(info.Stats) != 1 {
		t.Fatalf("infos %+v, want one of / with one sample", infos)
	}
	stats, limit := info.Stats[0], info.Spec.Memory.Limit
	if stats.Cpu.Usage.Total == 0 || stats.Memory.WorkingSet == 0 || stats.Memory.WorkingSet > limit || stats.Memory.Usage > limit {
		t.Errorf("CPU %d ns, memory %+v of %d", stats.Cpu.Usage.Total, stats.Memory, limit)
	}
	if !info.Spec.CreationTime.Before(stats.Timestamp) {
		t.Errorf("the machine started at %s, after %s", info.Spec.CreationTime, stats.Timestamp)
	}
	if others, err := m.GetRequestedContainersInfo("/kubepods", cadvisorapi.RequestOptions{}); err != nil || len(others) != 0 {
		t.Errorf("another cgroup: %v, %v; want none", others, err)
	}
}

func TestMachineReportsAMissingDirectory(t *testing.T) {
	if _, err := newMachine("node-1", "/nowhere/at/all").RootFsInfo(); err == nil || !strings.Contains(err.Error(), "/nowhere/at/all") {
		t.Errorf("RootFsInfo = %v, want an error that names the directory", err)
	}
}

// The kubelet derives the status of each running pod from this answer, and
// takes an error for a fault and an empty configuration for a crash.
func TestPodsHaveNoCgroupConfiguration(t *testing.T) {
	manager := newContainerManager(newMachine("node-1", t.TempDir()))
	config, err := manager.NewPodContainerManager().GetPodCgroupConfig(&corev1.Pod{}, corev1.ResourceMemory)
	if config != nil || err != nil {
		t.Errorf("GetPodCgroupConfig = %v, %v; want neither", config, err)
	}
	if root := manager.GetPodCgroupRoot(); root != "/" {
		t.Errorf("pods are in the cgroup %q, want the root", root)
	}
}
