package process

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func memoryLimit(mebibytes int64) func(*rt.ContainerConfig) {
	return func(c *rt.ContainerConfig) {
		c.Linux.Resources = &rt.LinuxContainerResources{MemoryLimitInBytes: mebibytes << 20}
	}
}

func podMemoryLimit(mebibytes int64) func(*rt.PodSandboxConfig) {
	return func(c *rt.PodSandboxConfig) {
		c.Linux.Resources = &rt.LinuxContainerResources{MemoryLimitInBytes: mebibytes << 20}
	}
}

// Promise: a container that holds more memory than its limit ends as on a node
// with a memory controller, in whichever of its processes the memory is.
func TestMemoryLimit(t *testing.T) {
	f := newFixture(t)
	shared := podNamespaces(func(o *rt.NamespaceOption) { o.Pid = rt.NamespaceMode_POD })
	for name, test := range map[string]struct {
		pod  string
		args []string
	}{
		"one process":                {f.pod("one"), []string{"hold", "200", "1"}},
		"three processes":            {f.pod("three"), []string{"hold", "40", "3"}},
		"namespaces of its own":      {f.pod("apart"), []string{"apart", "hold", "200", "1"}},
		"both":                       {f.pod("both", shared), []string{"apart", "hold", "200", "1"}},
		"a shared process namespace": {f.pod("shared", shared), []string{"hold", "40", "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := f.await(f.start(test.pod, "app", test.args, memoryLimit(100)))
			if s.GetReason() != "OOMKilled" || s.GetExitCode() != 137 || !strings.Contains(s.GetMessage(), "limit is 102400 KiB") {
				t.Errorf("ended with %q, exit code %d, message %q", s.GetReason(), s.GetExitCode(), s.GetMessage())
			}
			if pids, err := membersOf(f, s.GetId()); err == nil && len(pids) > 0 {
				t.Errorf("processes %v are left", pids)
			}
		})
	}
	below := f.start(f.pod("below"), "app", []string{"hold", "40", "1"}, memoryLimit(100))
	f.awaitOutput(below, "holds")
	unlimited := f.start(f.pod("unlimited"), "app", []string{"hold", "200", "1"})
	f.awaitOutput(unlimited, "holds")

	// What is exec'd in a container counts, too.
	if _, _, err := f.runtime.ExecSync(t.Context(), below, prog("hold", "80", "1"), patience); err == nil {
		t.Error("the exec'd command succeeded")
	}
	if s := f.await(below); s.GetReason() != "OOMKilled" {
		t.Errorf("ended with %q", s.GetReason())
	}
	if s := f.status(unlimited); s.GetState() != rt.ContainerState_CONTAINER_RUNNING {
		t.Errorf("a container without a limit is %v", s.GetState())
	}
	if err := f.runtime.StopContainer(t.Context(), unlimited, 0); err != nil {
		t.Fatal(err)
	}
	if s := f.status(unlimited); s.GetReason() != "Error" || s.GetExitCode() != 137 {
		t.Errorf("a killed container without a limit ended with %q, %d", s.GetReason(), s.GetExitCode())
	}
}

// Promise: a container that is over its limit is told as ended before anything else is
// said of it, however long ago the watch looked.
func TestMemoryIsLookedAtWhenAsked(t *testing.T) {
	f := newFixture(t)
	for i := range 10 {
		id := f.start(f.pod(fmt.Sprint("pod-", i)), "app", []string{"hold", "20", "1"}, memoryLimit(100))
		f.awaitOutput(id, "holds")
		seq := f.lives(0).Last
		f.runtime.mu.Lock() // now it holds too much, and the watch has not looked since
		f.runtime.containers[id].resources = &rt.LinuxContainerResources{MemoryLimitInBytes: 10 << 20}
		f.runtime.mu.Unlock()
		if told := f.lives(seq).Lives; len(told) != 1 || told[0].Reason != "OOMKilled" {
			t.Fatalf("told %+v", told)
		}
	}
}

func membersOf(f *fixture, id string) ([]int, error) {
	f.runtime.mu.Lock()
	defer f.runtime.mu.Unlock()
	return members(f.runtime.containers[id].process.mounts)
}

// A limit that is lowered under what a running container holds ends it, one that
// had no limit before as well.
func TestMemoryLimitChanges(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web")
	for name, change := range map[string]func(*rt.ContainerConfig){"lowered": memoryLimit(500), "new": memoryLimit(0)} {
		t.Run(name, func(t *testing.T) {
			id := f.start(pod, name, []string{"hold", "100", "1"}, change)
			f.awaitOutput(id, "holds")
			err := f.runtime.UpdateContainerResources(t.Context(), id, &rt.ContainerResources{Linux: &rt.LinuxContainerResources{MemoryLimitInBytes: 50 << 20}})
			if err != nil {
				t.Fatal(err)
			}
			if s := f.await(id); s.GetReason() != "OOMKilled" || s.GetExitCode() != 137 {
				t.Errorf("ended with %q, exit code %d", s.GetReason(), s.GetExitCode())
			}
		})
	}
}

// A pod's own limit holds for its containers together, and the largest one ends.
func TestPodMemoryLimit(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web", podMemoryLimit(150))
	small := f.start(pod, "small", []string{"hold", "40", "1"}, memoryLimit(150))
	f.awaitOutput(small, "holds")
	large := f.start(pod, "large", []string{"hold", "120", "1"}, memoryLimit(150))
	if s := f.await(large); s.GetReason() != "OOMKilled" || !strings.Contains(s.GetMessage(), "the pod held") {
		t.Errorf("ended with %q, %q", s.GetReason(), s.GetMessage())
	}
	if s := f.status(small); s.GetState() != rt.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the smaller container is %v", s.GetState())
	}
	// Without one, the kubelet gives the sum over those containers that have a limit.
	pod = f.pod("partly", podMemoryLimit(60))
	limited := f.start(pod, "limited", []string{"hold", "30", "1"}, memoryLimit(60))
	f.awaitOutput(limited, "holds")
	unlimited := f.start(pod, "unlimited", []string{"hold", "100", "1"})
	f.awaitOutput(unlimited, "holds")
	f.runtime.mu.Lock()
	sandbox := f.runtime.sandboxes[pod]
	f.runtime.mu.Unlock()
	if limit := f.runtime.podMemoryLimit(sandbox); limit != 0 {
		t.Errorf("a pod with an unlimited container has the limit %d", limit)
	}
}

// Pages that processes share count once: a server that forks to write its data
// (Redis) would else be killed at half of its limit.
func TestSharedMemoryCountsOnce(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"share", "60"}, memoryLimit(100))
	f.awaitOutput(id, "holds")
	pids, err := membersOf(f, id)
	if err != nil || len(pids) != 2 {
		t.Fatalf("processes %v, %v", pids, err)
	}
	var resident uint64
	for _, pid := range pids {
		pages, err := residentPages(pid)
		if err != nil {
			t.Fatal(err)
		}
		resident += pages * uint64(unix.Getpagesize())
	}
	if resident < 110<<20 {
		t.Fatalf("%d bytes are resident: the processes do not share", resident)
	}
	if held := heldMemory(pids, 100<<20); held < 60<<20 || held > 100<<20 {
		t.Errorf("the processes hold %d bytes", held)
	}
}

// Promise: nothing is polled once no container has a limit.
func TestMemoryWatchEnds(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"wait"}, memoryLimit(100))
	watching := func() bool {
		f.runtime.memory.mu.Lock()
		defer f.runtime.memory.mu.Unlock()
		return f.runtime.memory.running
	}
	if !watching() {
		t.Error("a limit is not watched")
	}
	if err := f.runtime.StopContainer(t.Context(), id, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if watching() {
			return fmt.Errorf("memory is still watched")
		}
		return nil
	})
}
