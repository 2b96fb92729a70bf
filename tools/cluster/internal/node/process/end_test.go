package process

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func inNamespace(name string) func(*rt.PodSandboxConfig) {
	return func(c *rt.PodSandboxConfig) { c.Metadata.Namespace = name }
}

func seen(at time.Time) func(*rt.PodSandboxConfig) {
	return func(c *rt.PodSandboxConfig) {
		c.Annotations = map[string]string{seenAnnotation: at.Format(time.RFC3339Nano)}
	}
}

// Promise: when End returns, no process of the namespaces is left, whether or not it listens to signals
// and in each way to share process ids; and nothing of the pods that were there starts after it.
func TestEnd(t *testing.T) {
	f := newFixture(t)
	before := processes(t)
	var pods []string
	for i, mode := range []rt.NamespaceMode{rt.NamespaceMode_CONTAINER, rt.NamespaceMode_POD} {
		pod := f.pod(fmt.Sprint("web", i), inNamespace("calm"), podNamespaces(func(o *rt.NamespaceOption) { o.Pid = mode }))
		f.awaitOutput(f.start(pod, "app", []string{"parent"}), "ready")
		pods = append(pods, pod)
	}
	late, err := f.create(pods[0], "late", []string{"wait"})
	if err != nil {
		t.Fatal(err)
	}
	other := f.pod("db", inNamespace("storm"))
	survivor := f.start(other, "app", []string{"wait"})

	begun := time.Now()
	if err := f.runtime.End(t.Context(), []string{"calm", "nobody's"}); err != nil {
		t.Fatal(err)
	}
	if after := processes(t); after != before+1 {
		t.Errorf("%d processes are left, want that of the other namespace alone", after-before)
	}
	if s := f.status(survivor); s.GetState() != rt.ContainerState_CONTAINER_RUNNING {
		t.Errorf("a container of another namespace is %v", s.GetState())
	}
	for _, life := range f.lives(0).Lives {
		if life.Ended && !life.Ordered {
			t.Errorf("end %+v is told as a crash", life)
		}
	}

	// The kubelet goes on with what it was about to do.
	if err := f.runtime.StartContainer(t.Context(), late); err == nil {
		t.Error("a container that was created before starts after")
	}
	if _, err := f.create(pods[0], "again", []string{"wait"}); err == nil {
		t.Error("a container is created in a pod that was ended")
	}
	_, err = f.runtime.RunPodSandbox(t.Context(), f.podConfig("web0", inNamespace("calm"), seen(begun)), "")
	if err == nil || !strings.Contains(err.Error(), "calm/web0 was ended") {
		t.Errorf("a pod that was seen before gets a sandbox: %v", err)
	}
	for _, pod := range pods {
		if err := f.runtime.StopPodSandbox(t.Context(), pod); err != nil {
			t.Errorf("stop what was ended: %v", err)
		}
		if err := f.runtime.RemovePodSandbox(t.Context(), pod); err != nil {
			t.Errorf("remove what was ended: %v", err)
		}
	}
	fresh := f.pod("web0", inNamespace("calm"), seen(time.Now()))
	if id := f.start(fresh, "app", []string{"wait"}); f.status(id).GetState() != rt.ContainerState_CONTAINER_RUNNING {
		t.Error("a pod that was seen after does not run")
	}
}

// Promise: the wait is the caller's to end.
func TestEndIsCancelled(t *testing.T) {
	f := newFixture(t)
	f.start(f.pod("web"), "app", []string{"wait"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// The kill may be quicker than the look at the context.
	if err := f.runtime.End(ctx, []string{"test"}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("End = %v", err)
	}
	if err := f.runtime.End(t.Context(), []string{"test"}); err != nil {
		t.Errorf("End after one that was cancelled: %v", err)
	}
}
