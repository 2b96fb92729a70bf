package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/internal/procstat"
)

// usage is what a container's processes use at one moment.
type usage struct {
	cpu       time.Duration
	resident  uint64 // bytes; memory that processes share counts for each
	private   uint64 // bytes of it that are not shared with a file or process
	processes uint64
}

// cpuAccount keeps the CPU time of processes that have ended.
type cpuAccount struct {
	mu    sync.Mutex
	ended time.Duration
	last  time.Duration // highest total reported: the total must not fall
}

func (a *cpuAccount) add(state *os.ProcessState) {
	if state == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended += state.UserTime() + state.SystemTime()
}

// total adds the time of the living.
func (a *cpuAccount) total(living time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = max(a.last, a.ended+living)
	return a.last
}

// ContainerStats returns what a container uses, summed over its processes as
// /proc shows them, in the absence of cgroups. One that has ended uses
// nothing and keeps its CPU time.
func (r *Runtime) ContainerStats(_ context.Context, id string) (*rt.ContainerStats, error) {
	r.mu.Lock()
	c := r.containers[id]
	r.mu.Unlock()
	if c == nil {
		return nil, errNoContainer(id)
	}
	return r.containerStats(c)
}

// ListContainerStats returns the stats of the running containers that match
// all parts of the filter.
func (r *Runtime) ListContainerStats(_ context.Context, filter *rt.ContainerStatsFilter) ([]*rt.ContainerStats, error) {
	var list []*rt.ContainerStats
	for _, c := range r.runningContainers(func(c *container) bool {
		return matches(filter.GetId(), c.id) && matches(filter.GetPodSandboxId(), c.sandbox.id) &&
			labelsMatch(filter.GetLabelSelector(), c.config.GetLabels())
	}) {
		s, err := r.containerStats(c)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// PodSandboxStats returns what the containers of a pod use together, and its
// network traffic.
func (r *Runtime) PodSandboxStats(_ context.Context, id string) (*rt.PodSandboxStats, error) {
	r.mu.Lock()
	s := r.sandboxes[id]
	r.mu.Unlock()
	if s == nil {
		return nil, errNoSandbox(id)
	}
	return r.sandboxStats(s)
}

// ListPodSandboxStats returns the stats of the ready sandboxes that match all
// parts of the filter.
func (r *Runtime) ListPodSandboxStats(_ context.Context, filter *rt.PodSandboxStatsFilter) ([]*rt.PodSandboxStats, error) {
	r.mu.Lock()
	var sandboxes []*sandbox
	for _, s := range r.sandboxes {
		if s.ready && matches(filter.GetId(), s.id) && labelsMatch(filter.GetLabelSelector(), s.config.GetLabels()) {
			sandboxes = append(sandboxes, s)
		}
	}
	r.mu.Unlock()
	var list []*rt.PodSandboxStats
	for _, s := range sandboxes {
		stats, err := r.sandboxStats(s)
		if err != nil {
			return nil, err
		}
		list = append(list, stats)
	}
	return list, nil
}

// ListMetricDescriptors returns none: there are no metrics beyond the stats.
func (r *Runtime) ListMetricDescriptors(context.Context) ([]*rt.MetricDescriptor, error) {
	return nil, nil
}

// ListPodSandboxMetrics returns none, as ListMetricDescriptors announces.
func (r *Runtime) ListPodSandboxMetrics(context.Context) ([]*rt.PodSandboxMetrics, error) {
	return nil, nil
}

func (r *Runtime) runningContainers(wanted func(*container) bool) []*container {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*container
	for _, c := range r.containers {
		if c.state == rt.ContainerState_CONTAINER_RUNNING && wanted(c) {
			list = append(list, c)
		}
	}
	return list
}

func (r *Runtime) containerStats(c *container) (*rt.ContainerStats, error) {
	r.mu.Lock()
	running := c.state == rt.ContainerState_CONTAINER_RUNNING
	r.mu.Unlock()
	now := time.Now().UnixNano()
	var u usage
	layer := &rt.FilesystemUsage{
		Timestamp: now, FsId: &rt.FilesystemIdentifier{Mountpoint: r.options.Root},
		UsedBytes: &rt.UInt64Value{}, InodesUsed: &rt.UInt64Value{},
	}
	if running {
		var err error
		if u, err = containerUsage(c.process.mounts); err != nil && !errors.Is(err, os.ErrClosed) { // ended since
			return nil, fmt.Errorf("measure container %s: %w", c.name(), err)
		}
		// The container may end at any moment; then its root is gone as well.
		var fs unix.Statfs_t
		if err := unix.Statfs(fmt.Sprintf("/proc/%d/root/", c.process.os.Pid), &fs); err == nil {
			layer.UsedBytes.Value = (fs.Blocks - fs.Bfree) * uint64(fs.Bsize)
			layer.InodesUsed.Value = fs.Files - fs.Ffree
		}
	}
	return &rt.ContainerStats{
		Attributes: &rt.ContainerAttributes{
			Id: c.id, Metadata: c.config.GetMetadata(), Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(),
		},
		Cpu:           &rt.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: &rt.UInt64Value{Value: uint64(c.execUsage.total(u.cpu))}},
		Memory:        memoryUsage(now, u),
		WritableLayer: layer,
	}, nil
}

func (r *Runtime) sandboxStats(s *sandbox) (*rt.PodSandboxStats, error) {
	now := time.Now().UnixNano()
	linux := &rt.LinuxPodSandboxStats{Cpu: &rt.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: &rt.UInt64Value{}}}
	var sum usage
	for _, c := range r.runningContainers(func(c *container) bool { return c.sandbox == s }) {
		stats, err := r.containerStats(c)
		if err != nil {
			return nil, err
		}
		linux.Containers = append(linux.Containers, stats)
		linux.Cpu.UsageCoreNanoSeconds.Value += stats.Cpu.UsageCoreNanoSeconds.Value
		sum.resident += stats.Memory.WorkingSetBytes.Value
		sum.private += stats.Memory.RssBytes.Value
		if pids, err := members(c.process.mounts); err == nil {
			sum.processes += uint64(len(pids))
		}
		if linux.Network == nil {
			linux.Network = networkUsage(now, c.process.os.Pid)
		}
	}
	linux.Memory = memoryUsage(now, sum)
	linux.Process = &rt.ProcessUsage{Timestamp: now, ProcessCount: &rt.UInt64Value{Value: sum.processes}}
	return &rt.PodSandboxStats{
		Attributes: &rt.PodSandboxAttributes{
			Id: s.id, Metadata: s.config.GetMetadata(), Labels: s.config.GetLabels(), Annotations: s.config.GetAnnotations(),
		},
		Linux: linux,
	}, nil
}

func memoryUsage(now int64, u usage) *rt.MemoryUsage {
	return &rt.MemoryUsage{
		Timestamp: now, WorkingSetBytes: &rt.UInt64Value{Value: u.resident},
		UsageBytes: &rt.UInt64Value{Value: u.resident}, RssBytes: &rt.UInt64Value{Value: u.private},
	}
}

// containerUsage sums up the processes in a container's mount namespace.
func containerUsage(mounts *os.File) (usage, error) {
	pids, err := members(mounts)
	if err != nil {
		return usage{}, err
	}
	var sum usage
	for _, pid := range pids {
		u, err := processUsage(pid)
		switch {
		case errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH):
			continue // ended since
		case err != nil:
			return usage{}, err
		}
		sum.cpu += u.cpu
		sum.resident += u.resident
		sum.private += u.private
		sum.processes++
	}
	return sum, nil
}

// processUsage reads a process's numbers; its CPU time includes that of the
// children it has reaped.
func processUsage(pid int) (usage, error) {
	stat, err := procstat.Read(strconv.Itoa(pid))
	if err != nil {
		return usage{}, err
	}
	// utime, stime, cutime and cstime.
	ticks, err := stat.Sum(14, 17)
	if err != nil {
		return usage{}, fmt.Errorf("process %d: CPU time: %w", pid, err)
	}
	u := usage{cpu: time.Duration(ticks) * procstat.Tick}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return usage{}, err
	}
	var size, resident, shared uint64
	if _, err := fmt.Sscan(string(statm), &size, &resident, &shared); err != nil {
		return usage{}, fmt.Errorf("process %d: memory: %w", pid, err)
	}
	page := uint64(os.Getpagesize())
	u.resident, u.private = resident*page, (resident-min(shared, resident))*page
	return u, nil
}

// networkUsage reads the counters of the network namespace a process is in;
// nil when the process has ended.
func networkUsage(now int64, pid int) *rt.NetworkUsage {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return nil
	}
	u := &rt.NetworkUsage{Timestamp: now}
	for line := range strings.Lines(string(text)) {
		name, counters, found := strings.Cut(line, ":")
		fields := strings.Fields(counters)
		name = strings.TrimSpace(name)
		if !found || len(fields) < 11 || name == "lo" {
			continue
		}
		count := func(column int) *rt.UInt64Value {
			n, _ := strconv.ParseUint(fields[column], 10, 64) // the kernel writes numbers
			return &rt.UInt64Value{Value: n}
		}
		i := &rt.NetworkInterfaceUsage{Name: name, RxBytes: count(0), RxErrors: count(2), TxBytes: count(8), TxErrors: count(10)}
		if u.DefaultInterface == nil {
			u.DefaultInterface = i
		} else {
			u.Interfaces = append(u.Interfaces, i)
		}
	}
	return u
}
