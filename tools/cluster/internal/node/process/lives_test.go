package process

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
)

// Promise: each beginning and each end of a container is told once, and whether the end was ordered. A
// crash that a restart hides from a look at the pod is found here.
func TestLives(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web")
	f.run(pod, "crash", []string{"print", "", "", "3"})
	stopped := f.start(pod, "stopped", []string{"wait"})
	f.awaitOutput(stopped, "ready")
	if err := f.runtime.StopContainer(t.Context(), stopped, 60); err != nil {
		t.Fatal(err)
	}
	removed := f.start(pod, "removed", []string{"wait"})
	if err := f.runtime.RemoveContainer(t.Context(), removed); err != nil {
		t.Fatal(err)
	}
	killed := f.start(pod, "killed", []string{"wait"})
	f.runtime.mu.Lock()
	pid := f.runtime.containers[killed].process.os.Pid
	f.runtime.mu.Unlock()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.await(killed)
	broken, err := f.create(pod, "broken", nil, func(c *rt.ContainerConfig) { c.Command = []string{"/nowhere"} })
	if err != nil {
		t.Fatal(err)
	}
	if err := f.runtime.StartContainer(t.Context(), broken); err == nil {
		t.Fatal("a command that does not exist was started")
	}
	f.start(pod, "last", []string{"wait"})
	if err := f.runtime.StopPodSandbox(t.Context(), pod); err != nil {
		t.Fatal(err)
	}

	lives := f.runtime.Lives(0)
	var got []string
	for i, life := range lives.Lives {
		if life.Seq != uint64(i+1) || life.Namespace != "test" || life.Pod != "web" || life.PodUID != "web-uid" || life.Image != "prog" || life.ID == "" || life.Time.IsZero() {
			t.Errorf("life %d: %+v", i, life)
		}
		got = append(got, describeLife(life))
	}
	want := []string{
		"crash begins", "crash ends 3 Error",
		"stopped begins", "stopped ends 0 Completed, ordered",
		"removed begins", "removed ends 137 Error, ordered",
		"killed begins", "killed ends 137 Error",
		"broken ends 128 StartError",
		"last begins", "last ends 137 Error, ordered",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("lives\n%q, want\n%q", got, want)
	}
	if rest := f.runtime.Lives(uint64(len(want) - 1)); len(rest.Lives) != 1 || rest.First != 1 || rest.Last != uint64(len(want)) {
		t.Errorf("lives after all but one: %+v", rest)
	}
}

func describeLife(life api.Life) string {
	if !life.Ended {
		return life.Container + " begins"
	}
	text := fmt.Sprintf("%s ends %d %s", life.Container, life.ExitCode, life.Reason)
	if life.Ordered {
		text += ", ordered"
	}
	return text
}
