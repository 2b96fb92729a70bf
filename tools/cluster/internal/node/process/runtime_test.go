package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/internal/image"
)

func TestNewChecksItsOptions(t *testing.T) {
	images, network := &image.Table{}, &fakeNetwork{}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for word, options := range map[string]Options{
		"Root":              {Images: images, Network: network},
		"Images":            {Root: t.TempDir(), Network: network},
		"Network":           {Root: t.TempDir(), Images: images},
		file:                {Root: file, Images: images, Network: network},
		"streaming session": {Root: t.TempDir(), Images: images, Network: network, StreamAddr: "203.0.113.1:1"},
	} {
		if _, err := New(options); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("error %v does not mention %q", err, word)
		}
	}
}

func TestStatusTellsOfClose(t *testing.T) {
	f := newFixture(t)
	version, err := f.runtime.Version(t.Context(), "")
	if err != nil || version.GetVersion() != "0.1.0" {
		t.Errorf("version %v, %v", version, err)
	}
	config, err := f.runtime.RuntimeConfig(t.Context())
	if err != nil || config.GetLinux() == nil {
		t.Errorf("configuration %v, %v", config, err)
	}
	ready := func() bool {
		s, err := f.runtime.Status(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		all := len(s.GetStatus().GetConditions()) == 2
		for _, c := range s.GetStatus().GetConditions() {
			all = all && c.GetStatus()
		}
		return all
	}
	if !ready() {
		t.Error("not ready")
	}
	pod := f.pod("web")
	id := f.start(pod, "app", []string{"wait", "SIGUSR2"})
	created, err := f.create(pod, "late", nil)
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan *rt.ContainerEventResponse, 100)
	listening, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- f.runtime.GetContainerEvents(t.Context(), events, func(rt.RuntimeService_GetContainerEventsClient) { close(listening) })
	}()
	<-listening
	for range 2 { // closing again changes nothing
		if err := f.runtime.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if ready() {
		t.Error("ready after Close")
	}
	if err := <-ended; !errors.Is(err, errEventsClosed) {
		t.Errorf("events ended with %v", err)
	}
	var last rt.ContainerEventType
	for len(events) > 0 {
		last = (<-events).GetContainerEventType()
	}
	if last != rt.ContainerEventType_CONTAINER_DELETED_EVENT {
		t.Errorf("last event %v", last)
	}
	if list, err := f.runtime.ListContainers(t.Context(), nil); err != nil || len(list) != 0 {
		t.Errorf("containers %v, %v", list, err)
	}
	if _, err := f.runtime.RunPodSandbox(t.Context(), f.podConfig("db"), ""); err == nil {
		t.Error("a pod was made after Close")
	}
	for _, id := range []string{id, created} {
		if err := f.runtime.StartContainer(t.Context(), id); err == nil {
			t.Error("a container was started after Close")
		}
	}
	if err := f.runtime.GetContainerEvents(t.Context(), events, nil); !errors.Is(err, errEventsClosed) {
		t.Errorf("events after Close: %v", err)
	}
	if conn, err := net.Dial("tcp", f.runtime.streams.listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("the streaming server still listens")
	}
}

// The kubelet learns of a container's end by events, so none may be lost
// between a change and its reader, however slow.
func TestEvents(t *testing.T) {
	f := newFixture(t)
	events := make(chan *rt.ContainerEventResponse) // unbuffered: the reader is always late
	listening := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- f.runtime.GetContainerEvents(ctx, events, func(rt.RuntimeService_GetContainerEventsClient) { close(listening) })
	}()
	<-listening
	pod := f.pod("web")
	app, _ := f.run(pod, "app", []string{"print", "", "", "7"})
	if app != "" {
		t.Errorf("output %q", app)
	}
	if err := f.runtime.RemovePodSandbox(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	const (
		created, started = rt.ContainerEventType_CONTAINER_CREATED_EVENT, rt.ContainerEventType_CONTAINER_STARTED_EVENT
		stopped, deleted = rt.ContainerEventType_CONTAINER_STOPPED_EVENT, rt.ContainerEventType_CONTAINER_DELETED_EVENT
	)
	var ofPod, ofContainer []rt.ContainerEventType
	for len(ofPod) == 0 || ofPod[len(ofPod)-1] != deleted {
		select {
		case e := <-events:
			if e.GetPodSandboxStatus().GetMetadata().GetUid() != "web-uid" || e.GetCreatedAt() == 0 {
				t.Errorf("event %v", e)
			}
			if e.GetContainerId() == pod {
				ofPod = append(ofPod, e.GetContainerEventType())
				continue
			}
			ofContainer = append(ofContainer, e.GetContainerEventType())
			if code := e.GetContainersStatuses()[0].GetExitCode(); e.GetContainerEventType() == stopped && code != 7 {
				t.Errorf("exit code %d", code)
			}
		case <-time.After(patience):
			t.Fatalf("only %v and %v", ofPod, ofContainer)
		}
	}
	if fmt.Sprint(ofPod) != fmt.Sprint([]rt.ContainerEventType{created, started, stopped, deleted}) {
		t.Errorf("events of the pod: %v", ofPod)
	}
	// A container that ends while it is started has no event of a start.
	if s := fmt.Sprint(ofContainer); s != fmt.Sprint([]rt.ContainerEventType{created, started, stopped, deleted}) &&
		s != fmt.Sprint([]rt.ContainerEventType{created, stopped, deleted}) {
		t.Errorf("events of the container: %v", s)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// resources counts what could leak.
type resources struct{ descriptors, goroutines, mounts, processes int }

func count(t *testing.T) resources {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return resources{len(descriptors), runtime.NumGoroutine(), strings.Count(string(mounts), "\n"), processes(t)}
}

// A cluster lives for days and runs pods by the thousand.
func TestNothingLeaks(t *testing.T) {
	f := newFixture(t)
	use := func() {
		var all sync.WaitGroup
		for _, mode := range []rt.NamespaceMode{rt.NamespaceMode_CONTAINER, rt.NamespaceMode_POD} {
			all.Go(func() {
				pod := f.pod("web", podNamespaces(func(o *rt.NamespaceOption) { o.Pid = mode }))
				id := f.start(pod, "app", []string{"terminal"}, func(c *rt.ContainerConfig) { c.Tty, c.Stdin = true, true })
				f.execReport(id)
				broken, err := f.create(pod, "broken", nil, func(c *rt.ContainerConfig) { c.Command = []string{"/nope"} })
				if err != nil {
					t.Error(err)
				}
				if err := f.runtime.StartContainer(t.Context(), broken); err == nil {
					t.Error("started")
				}
				f.run(pod, "orphan", []string{"orphan"})
				if err := f.runtime.portForward(t.Context(), pod, 9, pipeStream{strings.NewReader(""), nil}); err == nil {
					t.Error("forwarded")
				}
				if _, err := f.runtime.PodSandboxStats(t.Context(), pod); err != nil {
					t.Error(err)
				}
				if err := f.runtime.RemovePodSandbox(t.Context(), pod); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	use()              // what is made once and kept
	before := count(t) // and some that is just ending
	for range 3 {
		use()
	}
	eventually(t, func() error {
		after := count(t)
		if after.descriptors > before.descriptors || after.goroutines > before.goroutines || after.mounts > before.mounts || after.processes > before.processes {
			return fmt.Errorf("%+v became %+v", before, after)
		}
		return nil
	})
	for dir, want := range map[string]int{f.runtime.sandboxesDir(): 0, f.runtime.rootDir: 0} {
		if left, err := os.ReadDir(dir); err != nil || len(left) != want {
			t.Errorf("%s has %v, %v", dir, left, err)
		}
	}
	if f.network.open != 0 {
		t.Errorf("%d networks left", f.network.open)
	}
}

// Whatever a careless parent left open must not reach pods.
func TestInheritedDescriptorsDoNotReachPods(t *testing.T) {
	secret, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	leaky, err := unix.Dup(int(secret.Fd())) // without CLOEXEC, as an inherited one
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leaky)
	f := newFixture(t)
	pod := f.pod("web")
	id := f.start(pod, "app", []string{"wait"})
	for how, r := range map[string]report{"program": f.report(pod, "report"), "exec": f.execReport(id)} {
		for number, target := range r.Descriptors {
			if !strings.HasPrefix(target, "pipe:") && target != "/dev/null" && !strings.HasPrefix(target, "anon_inode:[event") && !strings.HasPrefix(target, "/proc/") {
				t.Errorf("%s has descriptor %s: %s", how, number, target)
			}
			if strings.HasSuffix(target, "/status") {
				t.Errorf("%s has the node's descriptor %s: %s", how, number, target)
			}
		}
	}
}

// Pods come and go in parallel; under the race detector this covers the
// runtime's locking.
func TestManyPodsAtOnce(t *testing.T) {
	f := newFixture(t)
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			pod := f.pod(fmt.Sprint("web", i))
			var inner sync.WaitGroup
			for j := range 2 {
				inner.Go(func() {
					id := f.start(pod, fmt.Sprint("app", j), []string{"wait"})
					if _, err := f.runtime.ListContainerStats(t.Context(), nil); err != nil {
						t.Error(err)
					}
					f.execReport(id)
					f.awaitOutput(id, "ready")
					if err := f.runtime.StopContainer(t.Context(), id, 60); err != nil {
						t.Error(err)
					}
					if s := f.status(id); s.GetExitCode() != 0 {
						t.Errorf("exit code %d", s.GetExitCode())
					}
				})
			}
			inner.Wait()
			if err := f.runtime.RemovePodSandbox(t.Context(), pod); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// A pod can be stopped at any moment of its containers' start; then neither
// hangs and nothing runs on.
func TestStopDuringStart(t *testing.T) {
	f := newFixture(t)
	before := processes(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			pod := f.pod(fmt.Sprint("web", i))
			id, err := f.create(pod, "app", []string{"wait", "SIGUSR2"})
			if err != nil {
				t.Error(err)
				return
			}
			var both sync.WaitGroup
			both.Go(func() { _ = f.runtime.StartContainer(t.Context(), id) })
			both.Go(func() {
				time.Sleep(time.Duration(i) * 3 * time.Millisecond) // at different stages of the start
				if err := f.runtime.StopPodSandbox(t.Context(), pod); err != nil {
					t.Error(err)
				}
			})
			both.Wait()
			if s := f.status(id); s.GetState() == rt.ContainerState_CONTAINER_RUNNING {
				t.Error("the container runs in a stopped pod")
			}
		})
	}
	all.Wait()
	eventually(t, func() error {
		if after := processes(t); after != before {
			return fmt.Errorf("%d processes became %d", before, after)
		}
		return nil
	})
}
