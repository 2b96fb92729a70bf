package node

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	cadvisorapi "github.com/google/cadvisor/lib/model"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor"

	"stormgate.internal/tools/cluster/internal/procstat"
)

// machine describes the machine to the kubelet, as read from the kernel,
// as cAdvisor would, but knows of no cgroup other than the root.
type machine struct {
	name string
	root string // a directory on the file system that counts as the node's disk
}

var _ cadvisor.Interface = (*machine)(nil)

func newMachine(name, root string) *machine { return &machine{name: name, root: root} }

// Start implements cadvisor.Interface.
func (m *machine) Start() error { return nil }

// MachineInfo implements cadvisor.Interface.
func (m *machine) MachineInfo(klog.Logger) (*cadvisorapi.MachineInfo, error) {
	memory, err := readMemory()
	if err != nil {
		return nil, err
	}
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("read boot ID: %w", err)
	}
	return &cadvisorapi.MachineInfo{
		Timestamp:      time.Now(),
		NumCores:       runtime.NumCPU(),
		MemoryCapacity: memory["MemTotal"],
		SwapCapacity:   memory["SwapTotal"],
		MachineID:      m.name,
		SystemUUID:     m.name,
		BootID:         strings.TrimSpace(string(bootID)),
		InstanceID:     cadvisorapi.InstanceID(m.name),
	}, nil
}

// VersionInfo implements cadvisor.Interface.
func (m *machine) VersionInfo() (*cadvisorapi.VersionInfo, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, fmt.Errorf("read kernel version: %w", err)
	}
	return &cadvisorapi.VersionInfo{
		KernelVersion:      unix.ByteSliceToString(name.Release[:]),
		ContainerOsVersion: osName(),
	}, nil
}

func osName() string {
	const unknown = "Linux"
	content, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(content)) {
		if quoted, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(quoted, `"'`)
		}
	}
	return unknown
}

// ContainerInfoV2 implements cadvisor.Interface. The root cgroup is the whole
// machine.
func (m *machine) ContainerInfoV2(name string, _ cadvisorapi.RequestOptions) (map[string]cadvisorapi.ContainerInfo, error) {
	if name != "/" {
		return map[string]cadvisorapi.ContainerInfo{}, nil
	}
	memory, err := readMemory()
	if err != nil {
		return nil, err
	}
	cpu, err := readCPU()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	used := memory["MemTotal"] - memory["MemFree"]
	return map[string]cadvisorapi.ContainerInfo{name: {
		ContainerReference: cadvisorapi.ContainerReference{Name: name},
		Spec: cadvisorapi.ContainerSpec{
			CreationTime: now.Add(-uptime()),
			HasCpu:       true,
			HasMemory:    true,
			Memory:       cadvisorapi.MemorySpec{Limit: memory["MemTotal"]},
		},
		Stats: []*cadvisorapi.ContainerStats{{
			Timestamp: now,
			Cpu:       &cadvisorapi.CpuStats{Usage: cadvisorapi.CpuUsage{Total: uint64(cpu.Nanoseconds())}},
			Memory: &cadvisorapi.MemoryStats{
				Usage:      used,
				Cache:      memory["Cached"],
				RSS:        memory["AnonPages"],
				WorkingSet: memory["MemTotal"] - min(memory["MemAvailable"], memory["MemTotal"]),
			},
		}},
	}}, nil
}

// GetRequestedContainersInfo implements cadvisor.Interface.
func (m *machine) GetRequestedContainersInfo(name string, options cadvisorapi.RequestOptions) (map[string]*cadvisorapi.ContainerInfo, error) {
	infos, err := m.ContainerInfoV2(name, options)
	if err != nil {
		return nil, err
	}
	result := make(map[string]*cadvisorapi.ContainerInfo, len(infos))
	for name, info := range infos {
		result[name] = &info
	}
	return result, nil
}

// ImagesFsInfo implements cadvisor.Interface.
func (m *machine) ImagesFsInfo(context.Context) (cadvisorapi.FsInfo, error) { return fsInfo(m.root) }

// RootFsInfo implements cadvisor.Interface.
func (m *machine) RootFsInfo() (cadvisorapi.FsInfo, error) { return fsInfo(m.root) }

// ContainerFsInfo implements cadvisor.Interface.
func (m *machine) ContainerFsInfo(context.Context) (cadvisorapi.FsInfo, error) { return fsInfo(m.root) }

// GetDirFsInfo implements cadvisor.Interface.
func (m *machine) GetDirFsInfo(path string) (cadvisorapi.FsInfo, error) { return fsInfo(path) }

func fsInfo(path string) (cadvisorapi.FsInfo, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return cadvisorapi.FsInfo{}, fmt.Errorf("read state of the file system of %s: %w", path, err)
	}
	block := uint64(stat.Bsize)
	inodes, inodesFree := stat.Files, stat.Ffree
	return cadvisorapi.FsInfo{
		Timestamp:  time.Now(),
		Device:     fmt.Sprintf("%x", stat.Fsid.Val),
		Mountpoint: path,
		Capacity:   stat.Blocks * block,
		Available:  stat.Bavail * block,
		Usage:      (stat.Blocks - stat.Bfree) * block,
		Inodes:     &inodes,
		InodesFree: &inodesFree,
	}, nil
}

// readMemory reads /proc/meminfo, in bytes.
func readMemory() (map[string]uint64, error) {
	file, err := os.Open("/proc/meminfo")
	if err != nil {
		return nil, fmt.Errorf("read memory size: %w", err)
	}
	defer file.Close()
	memory := map[string]uint64{}
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		name, rest, _ := strings.Cut(scanner.Text(), ":")
		if fields := strings.Fields(rest); len(fields) == 2 && fields[1] == "kB" {
			if value, err := strconv.ParseUint(fields[0], 10, 64); err == nil {
				memory[name] = value << 10
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read memory size: %w", err)
	}
	if memory["MemTotal"] == 0 {
		return nil, fmt.Errorf("read memory size: /proc/meminfo has no MemTotal")
	}
	return memory, nil
}

// readCPU is the time that all cores together have worked since boot.
func readCPU() (time.Duration, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	fields := strings.Fields(line)
	// cpu user nice system idle iowait irq softirq steal
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("read CPU time: /proc/stat begins with %q", line)
	}
	var ticks uint64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		value, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		ticks += value
	}
	return time.Duration(ticks) * procstat.Tick, nil
}

func uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
