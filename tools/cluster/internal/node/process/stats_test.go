package process

import (
	"fmt"
	"os"
	"testing"
	"time"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestStats(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web")
	busy := f.start(pod, "busy", []string{"burn", "200"})
	idle := f.start(pod, "idle", []string{"wait"})
	f.awaitOutput(idle, "ready")
	cpu := func(id string) time.Duration {
		s, err := f.runtime.ContainerStats(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(s.GetCpu().GetUsageCoreNanoSeconds().GetValue())
	}
	eventually(t, func() error {
		if used := cpu(busy); used < 150*time.Millisecond {
			return fmt.Errorf("used %v", used)
		}
		return nil
	})
	// What an exec'd command used stays the container's when it has ended.
	before := cpu(idle)
	if _, _, err := f.runtime.ExecSync(t.Context(), idle, prog("burn", "200", "then end"), patience); err != nil {
		t.Fatal(err)
	}
	if used := cpu(idle) - before; used < 100*time.Millisecond {
		t.Errorf("an exec'd command's CPU time is not counted: %v", used)
	}
	list, err := f.runtime.ListContainerStats(t.Context(), &rt.ContainerStatsFilter{PodSandboxId: pod})
	if err != nil || len(list) != 2 {
		t.Fatalf("%d stats, %v", len(list), err)
	}
	for _, s := range list {
		if working, rss := s.GetMemory().GetWorkingSetBytes().GetValue(), s.GetMemory().GetRssBytes().GetValue(); rss < 100<<10 || working < rss || working > 1<<30 {
			t.Errorf("working set %d, of it private %d", working, rss)
		}
		if s.GetAttributes().GetMetadata().GetName() == "" || s.GetCpu().GetTimestamp() == 0 {
			t.Errorf("stats %v", s)
		}
	}
	pods, err := f.runtime.ListPodSandboxStats(t.Context(), nil)
	if err != nil || len(pods) != 1 {
		t.Fatalf("%d stats, %v", len(pods), err)
	}
	linux := pods[0].GetLinux()
	if linux.GetProcess().GetProcessCount().GetValue() != 2 || len(linux.GetContainers()) != 2 || linux.GetNetwork() == nil {
		t.Errorf("pod stats %v", linux)
	}
	if err := f.runtime.StopContainer(t.Context(), busy, 0); err != nil {
		t.Fatal(err)
	}
	if used := cpu(busy); used < 150*time.Millisecond {
		t.Errorf("the end of the container took its CPU time back to %v", used)
	}
}

func TestProcessUsage(t *testing.T) {
	u, err := processUsage(os.Getpid())
	if err != nil || u.resident == 0 || u.private > u.resident {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := processUsage(1 << 30); err == nil {
		t.Error("a process that does not exist has a usage")
	}
}

func TestImageService(t *testing.T) {
	f := newFixture(t)
	withUser := progImage(t)
	withUser.Reference, withUser.User = "docker.io/library/app:1", "65532"
	if err := f.images.Put(withUser); err != nil {
		t.Fatal(err)
	}
	s, err := f.runtime.ImageStatus(t.Context(), &rt.ImageSpec{Image: "app:1"}, false)
	if err != nil || s.GetImage().GetId() != withUser.ID() || s.GetImage().GetUid().GetValue() != 65532 || !s.GetImage().GetPinned() || s.GetImage().GetSize() == 0 {
		t.Errorf("status %v, %v", s, err)
	}
	if s, err := f.runtime.ImageStatus(t.Context(), &rt.ImageSpec{Image: "nginx"}, false); err != nil || s.GetImage() != nil {
		t.Errorf("status of an unknown image: %v, %v", s, err)
	}
	if id, err := f.runtime.PullImage(t.Context(), &rt.ImageSpec{Image: "docker.io/library/app:1"}, nil, nil); err != nil || id != withUser.ID() {
		t.Errorf("pulled %q, %v", id, err)
	}
	for filter, want := range map[string]int{"": 2, "app:1": 1, "nginx": 0} {
		list, err := f.runtime.ListImages(t.Context(), &rt.ImageFilter{Image: &rt.ImageSpec{Image: filter}})
		if err != nil || len(list) != want {
			t.Errorf("%q: %v, %v", filter, list, err)
		}
	}
	if err := f.runtime.RemoveImage(t.Context(), &rt.ImageSpec{Image: "app:1"}); err == nil {
		t.Error("an image was removed")
	}
	if err := f.runtime.RemoveImage(t.Context(), &rt.ImageSpec{Image: "nginx"}); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
	fs, err := f.runtime.ImageFsInfo(t.Context())
	if err != nil || fs.GetContainerFilesystems()[0].GetFsId().GetMountpoint() == "" {
		t.Errorf("file systems %v, %v", fs, err)
	}
}
