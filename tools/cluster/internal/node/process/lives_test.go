package process

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/internal/procstat"
)

// lives returns what the runtime tells.
func (f *fixture) lives(seq uint64) api.Lives {
	f.Helper()
	lives, err := f.runtime.Lives(f.Context(), seq)
	if err != nil {
		f.Fatal(err)
	}
	return lives
}

// Promise: what has happened is told, also if the runtime has not taken notice: a process
// that is killed or ends, and one that took more memory than it may since the last look.
func TestLivesAreUpToDate(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web")
	for i := range 20 {
		name := fmt.Sprint("ended-", i)
		id := f.start(pod, name, []string{"wait"})
		f.awaitOutput(id, "ready")
		f.runtime.mu.Lock()
		pid := f.runtime.containers[id].process.os.Pid
		f.runtime.mu.Unlock()
		seq := f.lives(0).Last
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for procstat.Running(pid) { // so that it has happened
		}
		if told := f.lives(seq).Lives; len(told) != 1 || !told[0].Ended {
			t.Fatalf("%s: told %+v", name, told)
		}
	}
}

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

	lives := f.lives(0)
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
	if rest := f.lives(uint64(len(want) - 1)); len(rest.Lives) != 1 || rest.First != 1 || rest.Last != uint64(len(want)) {
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
