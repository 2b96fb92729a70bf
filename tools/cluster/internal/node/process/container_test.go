package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/internal/procstat"
)

func TestContainerRunsToItsEnd(t *testing.T) {
	f := newFixture(t)
	pod := f.pod("web")
	out, s := f.run(pod, "hello", []string{"print", "to stdout\n", "to stderr\n", "3"})
	if out != "to stdout\nto stderr\n" && out != "to stderr\nto stdout\n" {
		t.Errorf("log: %q", out)
	}
	if s.GetState() != rt.ContainerState_CONTAINER_EXITED || s.GetExitCode() != 3 || s.GetReason() != "Error" {
		t.Errorf("state %v, exit code %d, reason %q", s.GetState(), s.GetExitCode(), s.GetReason())
	}
	if s.GetCreatedAt() > s.GetStartedAt() || s.GetStartedAt() > s.GetFinishedAt() {
		t.Errorf("created %d, started %d, finished %d are not in order", s.GetCreatedAt(), s.GetStartedAt(), s.GetFinishedAt())
	}
	if _, s := f.run(pod, "fine", []string{"print", "", "", "0"}); s.GetExitCode() != 0 || s.GetReason() != "Completed" {
		t.Errorf("exit code %d, reason %q", s.GetExitCode(), s.GetReason())
	}
	if r := f.report(pod, "report"); r.PID != 1 || r.PPID != 0 {
		t.Errorf("program is process %d with parent %d, not the first of its namespace", r.PID, r.PPID)
	}
}

// What a pod's author got wrong must be reported at once and name the culprit: it
// becomes the message of CreateContainerError or RunContainerError.
func TestContainerThatCannotRun(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	if err := f.images.Put(
		api.Image{Reference: "incomplete:1", Files: map[string]string{"/etc/settings": missing}},
		api.Image{Reference: "empty:1"},
		api.Image{Reference: "text:1", Entrypoint: []string{"/text"}, Files: map[string]string{"/text": text}},
	); err != nil {
		t.Fatal(err)
	}
	useImage := func(reference string) func(*rt.ContainerConfig) {
		return func(c *rt.ContainerConfig) { c.Image.Image = reference }
	}
	command := func(args ...string) func(*rt.ContainerConfig) {
		return func(c *rt.ContainerConfig) { c.Command = args }
	}
	context := func(change func(*rt.LinuxContainerSecurityContext)) func(*rt.ContainerConfig) {
		return security0(change)
	}
	tests := []struct {
		name    string
		change  func(*rt.ContainerConfig)
		started bool // the error comes from StartContainer
		words   []string
	}{
		{"unknown image", useImage("nginx:1.27"), false, []string{"nginx:1.27", "prog:latest", "incomplete:1"}},
		{"missing host file", useImage("incomplete:1"), false, []string{"incomplete:1", "/etc/settings", missing}},
		{"no command", func(c *rt.ContainerConfig) { c.Image.Image, c.Args = "empty:1", nil }, true, []string{"no command"}},
		{"command is missing", command("/nope"), true, []string{"/nope", "no such file"}},
		{"command not in PATH", command("nope"), true, []string{"nope", "PATH", "/usr/bin"}},
		{"command is no program", func(c *rt.ContainerConfig) { c.Image.Image = "text:1" }, true, []string{"/text", "exec format error"}},
		{"command may not be executed", command("/etc/passwd"), true, []string{"/etc/passwd", "permission denied"}},
		{"working directory is a file", func(c *rt.ContainerConfig) { c.WorkingDir = "/prog/sub" }, true, []string{"/prog", "not a directory"}},
		{"volume on a path below a file", mounts(&rt.Mount{ContainerPath: "/prog/data", HostPath: t.TempDir()}), true, []string{"volume", "/prog/data"}},
		{"directory on a file", mounts(&rt.Mount{ContainerPath: "/prog", HostPath: t.TempDir()}), true, []string{"/prog", "not a directory"}},
		{"bidirectional volume", mounts(&rt.Mount{ContainerPath: "/data", HostPath: t.TempDir(), Propagation: rt.MountPropagation_PROPAGATION_BIDIRECTIONAL}), false, []string{"/data", "Bidirectional"}},
		{"image volume", mounts(&rt.Mount{ContainerPath: "/data", Image: &rt.ImageSpec{Image: "prog"}}), false, []string{"/data", "image volumes"}},
		{"volume on the root", mounts(&rt.Mount{ContainerPath: "/", HostPath: t.TempDir()}), false, []string{`"/"`}},
		{"unknown mount option", mounts(&rt.Mount{ContainerPath: "/data", HostPath: t.TempDir(), MountOptions: []string{"sync"}}), false, []string{"/data", `"sync"`}},
		{"unknown capability", context(func(s *rt.LinuxContainerSecurityContext) {
			s.Capabilities = &rt.Capability{AddCapabilities: []string{"FLY"}}
		}), false, []string{"capabilities.add", `"FLY"`}},
		{"named user", context(func(s *rt.LinuxContainerSecurityContext) { s.RunAsUsername = "alice" }), false, []string{`"alice"`, "runAsUser"}},
		{"local seccomp profile", context(func(s *rt.LinuxContainerSecurityContext) {
			s.Seccomp = &rt.SecurityProfile{ProfileType: rt.SecurityProfile_Localhost, LocalhostRef: "x"}
		}), false, []string{"seccomp"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pod := f.pod("broken")
			id, err := f.create(pod, "app", []string{"wait"}, test.change)
			if (err == nil) != test.started {
				t.Fatalf("CreateContainer: %v", err)
			}
			if test.started {
				err = f.runtime.StartContainer(t.Context(), id)
				s := f.status(id)
				if s.GetState() != rt.ContainerState_CONTAINER_EXITED || s.GetExitCode() != 128 || s.GetReason() != "StartError" || s.GetMessage() != err.Error() {
					t.Errorf("status after %v: %v", err, s)
				}
			}
			if err == nil {
				t.Fatal("the container started")
			}
			for _, word := range append(test.words, `"app"`, "test/broken") {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not mention %q", err, word)
				}
			}
			if err := f.runtime.RemovePodSandbox(t.Context(), pod); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestVerbsOutOfOrder(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	pod := f.pod("web")
	created, err := f.create(pod, "created", []string{"wait"})
	if err != nil {
		t.Fatal(err)
	}
	running := f.start(pod, "running", []string{"wait"})
	stopped := f.pod("stopped")
	inStopped, err := f.create(stopped, "late", []string{"wait"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.runtime.StopPodSandbox(ctx, stopped); err != nil {
		t.Fatal(err)
	}
	_, statusErr := f.runtime.ContainerStatus(ctx, "x", false)
	_, sandboxErr := f.runtime.PodSandboxStatus(ctx, "x", false)
	_, createErr := f.runtime.CreateContainer(ctx, "x", &rt.ContainerConfig{}, nil)
	_, lateErr := f.create(stopped, "later", nil)
	_, _, execErr := f.runtime.ExecSync(ctx, created, []string{"/prog"}, 0)
	_, attachErr := f.runtime.Attach(ctx, &rt.AttachRequest{ContainerId: created})
	_, forwardErr := f.runtime.PortForward(ctx, &rt.PortForwardRequest{PodSandboxId: "x"})
	_, statsErr := f.runtime.ContainerStats(ctx, "x")
	tests := []struct {
		name string
		err  error
		want codes.Code
	}{
		{"status of nothing", statusErr, codes.NotFound},
		{"status of no sandbox", sandboxErr, codes.NotFound},
		{"create in nothing", createErr, codes.NotFound},
		{"create in a stopped pod", lateErr, codes.FailedPrecondition},
		{"start nothing", f.runtime.StartContainer(ctx, "x"), codes.NotFound},
		{"start twice", f.runtime.StartContainer(ctx, running), codes.FailedPrecondition},
		{"start in a stopped pod", f.runtime.StartContainer(ctx, inStopped), codes.FailedPrecondition},
		{"exec before start", execErr, codes.FailedPrecondition},
		{"attach before start", attachErr, codes.FailedPrecondition},
		{"forward to nothing", forwardErr, codes.NotFound},
		{"stats of nothing", statsErr, codes.NotFound},
		{"reopen log before start", f.runtime.ReopenContainerLog(ctx, created), codes.FailedPrecondition},
		{"update nothing", f.runtime.UpdateContainerResources(ctx, "x", nil), codes.NotFound},
		{"checkpoint", f.runtime.CheckpointContainer(ctx, nil), codes.Unimplemented},
		{"stop nothing", f.runtime.StopContainer(ctx, "x", 1), codes.OK},
		{"stop before start", f.runtime.StopContainer(ctx, created, 1), codes.OK},
		{"remove nothing", f.runtime.RemoveContainer(ctx, "x"), codes.OK},
		{"remove before start", f.runtime.RemoveContainer(ctx, created), codes.OK},
		{"remove running", f.runtime.RemoveContainer(ctx, running), codes.OK},
		{"stop no sandbox", f.runtime.StopPodSandbox(ctx, "x"), codes.OK},
		{"stop a sandbox again", f.runtime.StopPodSandbox(ctx, stopped), codes.OK},
		{"remove no sandbox", f.runtime.RemovePodSandbox(ctx, "x"), codes.OK},
	}
	for _, test := range tests {
		if got := status.Code(test.err); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, test.err, test.want)
		}
	}
}

func TestStopContainer(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		timeout int64
		change  func(*rt.ContainerConfig)
		code    int32
		heard   string
	}{
		{"program ends itself", []string{"wait"}, 60, nil, 0, "SIGTERM\n"},
		{"stop signal of the container", []string{"wait", "SIGQUIT"}, 60, func(c *rt.ContainerConfig) { c.StopSignal = rt.Signal_SIGNAL_SIGQUIT }, 0, "SIGQUIT\n"},
		{"stop signal of the image", []string{"wait", "SIGINT"}, 60, func(c *rt.ContainerConfig) { c.Image.Image = "interrupted" }, 0, "SIGINT\n"},
		{"program does not listen", []string{"wait", "SIGUSR2"}, 1, nil, 137, "SIGTERM\n"},
		{"no grace", []string{"wait"}, 0, nil, 137, ""},
	}
	f := newFixture(t)
	interrupted := progImage(t)
	interrupted.Reference, interrupted.StopSignal = "interrupted", "SIGINT"
	if err := f.images.Put(interrupted); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			change := test.change
			if change == nil {
				change = func(*rt.ContainerConfig) {}
			}
			f := *f
			f.T, f.ctx = t, t.Context()
			id := f.start(f.pod("stop-"+strconv.Itoa(len(test.name))), "app", test.args, change)
			f.awaitOutput(id, "ready")
			if err := f.runtime.StopContainer(t.Context(), id, test.timeout); err != nil {
				t.Fatal(err)
			}
			s := f.status(id)
			if s.GetState() != rt.ContainerState_CONTAINER_EXITED || s.GetExitCode() != test.code {
				t.Errorf("state %v, exit code %d, want %d", s.GetState(), s.GetExitCode(), test.code)
			}
			if out := f.output(s); out != "ready\n"+test.heard {
				t.Errorf("program heard %q, want %q", out, test.heard)
			}
		})
	}
}

// A caller that gives up must not leave the container half stopped for ever:
// it runs on and can be stopped again.
func TestStopContainerIsCancelled(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"wait", "SIGUSR2"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.runtime.StopContainer(ctx, id, 60); err == nil {
		t.Error("StopContainer succeeded with an ended context")
	}
	if err := f.runtime.StopContainer(t.Context(), id, 0); err != nil {
		t.Error(err)
	}
}

// A container's end is the end of all its processes, even of those that hold
// its output open, in each way to share process ids.
func TestContainerEndKillsItsProcesses(t *testing.T) {
	for _, mode := range []rt.NamespaceMode{rt.NamespaceMode_CONTAINER, rt.NamespaceMode_POD} {
		t.Run(mode.String(), func(t *testing.T) {
			f := newFixture(t)
			pod := f.pod("web", podNamespaces(func(o *rt.NamespaceOption) { o.Pid = mode }))
			before := processes(t)
			out, s := f.run(pod, "app", []string{"orphan", "keep output"})
			if s.GetExitCode() != 0 {
				t.Errorf("exit code %d", s.GetExitCode())
			}
			if _, err := strconv.Atoi(strings.Fields(out)[0]); err != nil {
				t.Errorf("output %q", out)
			}
			eventually(t, func() error {
				if after := processes(t); after != before {
					return fmt.Errorf("%d processes became %d", before, after)
				}
				return nil
			})
			id := f.start(pod, "parent", []string{"parent"})
			f.awaitOutput(id, "ready")
			if err := f.runtime.StopContainer(t.Context(), id, 0); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() error {
				if after := processes(t); after != before {
					return fmt.Errorf("%d processes became %d", before, after)
				}
				return nil
			})
		})
	}
}

// processes counts the living processes of the tests' namespace.
func processes(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && procstat.Running(pid) {
			n++
		}
	}
	return n
}

// The first readiness probe comes the instant StartContainer returns, and the
// next one a second later: a program that listens soon must be found listening.
func TestStartContainerWaitsForDeclaredPorts(t *testing.T) {
	ports := func(json string) func(*rt.ContainerConfig) {
		return func(c *rt.ContainerConfig) { c.Annotations = map[string]string{portsAnnotation: json} }
	}
	f := newFixture(t)
	pod := f.pod("web")
	for _, address := range []string{"0.0.0.0:8080", "127.0.0.1:8081", "[::1]:8082"} {
		_, port, _ := strings.Cut(strings.ReplaceAll(address, "::1", ""), ":")
		id := f.start(pod, "listener", []string{"listen", address, "20"}, ports(`[{"containerPort":`+port+`,"protocol":"TCP"},{"containerPort":53,"protocol":"UDP"}]`))
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		f.runtime.mu.Lock()
		pid := f.runtime.containers[id].process.os.Pid
		f.runtime.mu.Unlock()
		if !listeningPorts(pid)[number] {
			t.Errorf("StartContainer returned before the program listened on %s", address)
		}
	}
	f.await(f.start(pod, "gone", []string{"print", "", "", "1"}, ports(`[{"containerPort":9}]`)))
	f.runtime.listenPatience = time.Millisecond
	id := f.start(pod, "never", []string{"wait"}, ports(`[{"containerPort":9}]`))
	if s := f.status(id); s.GetState() != rt.ContainerState_CONTAINER_RUNNING {
		t.Errorf("state %v of a container that never listens", s.GetState())
	}
}

func TestListContainersFilters(t *testing.T) {
	f := newFixture(t)
	web, db := f.pod("web"), f.pod("db")
	a := f.start(web, "a", []string{"wait"})
	b := f.start(web, "b", []string{"print", "", "", "0"})
	f.await(b)
	c, err := f.create(db, "c", nil)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{a: "a", b: "b", c: "c"}
	state := func(s rt.ContainerState) *rt.ContainerStateValue { return &rt.ContainerStateValue{State: s} }
	tests := []struct {
		name   string
		filter *rt.ContainerFilter
		want   string
	}{
		{"none", nil, "abc"},
		{"id", &rt.ContainerFilter{Id: b}, "b"},
		{"sandbox", &rt.ContainerFilter{PodSandboxId: web}, "ab"},
		{"created", &rt.ContainerFilter{State: state(rt.ContainerState_CONTAINER_CREATED)}, "c"},
		{"running", &rt.ContainerFilter{State: state(rt.ContainerState_CONTAINER_RUNNING)}, "a"},
		{"exited", &rt.ContainerFilter{State: state(rt.ContainerState_CONTAINER_EXITED)}, "b"},
		{"label", &rt.ContainerFilter{LabelSelector: map[string]string{"container": "c"}}, "c"},
		{"other label", &rt.ContainerFilter{LabelSelector: map[string]string{"container": "c", "x": ""}}, ""},
		{"two parts", &rt.ContainerFilter{PodSandboxId: web, Id: c}, ""},
	}
	for _, test := range tests {
		list, err := f.runtime.ListContainers(t.Context(), test.filter)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, c := range list {
			found[names[c.GetId()]] = true
		}
		if len(found) != len(test.want) {
			t.Errorf("%s: found %v, want %q", test.name, found, test.want)
		}
		for _, r := range test.want {
			if !found[string(r)] {
				t.Errorf("%s: %q is missing", test.name, r)
			}
		}
	}
}

func TestSignalNumber(t *testing.T) {
	for name, want := range map[string]unix.Signal{
		"SIGTERM": unix.SIGTERM, "SIGCLD": unix.SIGCHLD, "SIGPOLL": unix.SIGIO, "SIGIOT": unix.SIGABRT,
		"SIGRTMIN": 34, "SIGRTMINPLUS15": 49, "SIGRTMIN+3": 37, "SIGRTMAX": 64, "SIGRTMAXMINUS14": 50,
	} {
		if got, err := signalNumber(name); err != nil || got != want {
			t.Errorf("signalNumber(%q) = %d, %v; want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"", "TERM", "SIGRTMIN-1", "SIGRTMAX+1", "SIGRTMINx", "15"} {
		if got, err := signalNumber(name); err == nil {
			t.Errorf("signalNumber(%q) = %d", name, got)
		}
	}
	// Whatever the interface can express has a number here.
	for number := range rt.Signal_name {
		if _, err := stopSignal(rt.Signal(number), ""); err != nil {
			t.Error(err)
		}
	}
}
