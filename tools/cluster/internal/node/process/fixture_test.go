package process

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/image"
)

// patience bounds waits that should be short, on a busy machine as well.
const patience = 30 * time.Second

// fakeNetwork gives pods network namespaces that lead nowhere.
type fakeNetwork struct {
	mu    sync.Mutex
	made  int
	open  int
	fails error
}

type fakeAttachment struct {
	network *fakeNetwork
	ip      string
	ns      *os.File
}

func (n *fakeNetwork) HostIP() string { return "10.0.0.1" }

func (n *fakeNetwork) Setup(string) (Attachment, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fails != nil {
		return nil, n.fails
	}
	ns, err := newNamespace(unix.CLONE_NEWNET, "net", loopbackUp)
	if err != nil {
		return nil, err
	}
	n.made++
	n.open++
	return &fakeAttachment{network: n, ip: fmt.Sprintf("10.244.0.%d", n.made), ns: ns}, nil
}

func (s *fakeAttachment) IP() string      { return s.ip }
func (s *fakeAttachment) NetNS() *os.File { return s.ns }
func (s *fakeAttachment) Close() error {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	s.network.open--
	return s.ns.Close()
}

// fixture is a runtime with an image "prog" whose program is program.
type fixture struct {
	*testing.T
	ctx     context.Context
	runtime *Runtime
	network *fakeNetwork
	images  *image.Table
	log     *lockedBuffer
	logDir  string
	numbers *atomic.Int32 // for logs of their own
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureAt(t, t.TempDir())
}

func newFixtureAt(t *testing.T, root string) *fixture {
	t.Helper()
	images, err := image.NewTable(progImage(t))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, ctx: t.Context(), network: &fakeNetwork{}, images: images, log: &lockedBuffer{}, logDir: t.TempDir(), numbers: new(atomic.Int32)}
	f.runtime, err = New(Options{
		Root: root, Images: images, Network: f.network, Logger: slog.New(slog.NewTextHandler(f.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.runtime.listenPatience = patience // no verdict may depend on the machine's speed
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := f.runtime.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if f.network.open != 0 {
			t.Errorf("%d pod networks are still set up after Close", f.network.open)
		}
	})
	return f
}

// progImage is an image of this test binary, with the libraries of the host
// when it is linked to any (under the race detector it is).
func progImage(t *testing.T) api.Image {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	i := api.Image{Reference: "prog", Entrypoint: []string{"/prog", programArg}, Files: map[string]string{"/prog": exe}}
	binary, err := elf.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	if libraries, err := binary.ImportedLibraries(); err == nil && len(libraries) > 0 {
		for _, dir := range []string{"/lib", "/lib64", "/usr/lib"} {
			if _, err := os.Stat(dir); err == nil {
				i.Files[dir] = dir
			}
		}
	}
	return i
}

// pod runs a sandbox.
func (f *fixture) pod(name string, change ...func(*rt.PodSandboxConfig)) string {
	f.Helper()
	id, err := f.runtime.RunPodSandbox(f.ctx, f.podConfig(name, change...), "")
	if err != nil {
		f.Fatalf("RunPodSandbox: %v", err)
	}
	return id
}

func (f *fixture) podConfig(name string, change ...func(*rt.PodSandboxConfig)) *rt.PodSandboxConfig {
	config := &rt.PodSandboxConfig{
		Metadata:     &rt.PodSandboxMetadata{Name: name, Namespace: "test", Uid: name + "-uid"},
		Hostname:     name + "-host",
		LogDirectory: filepath.Join(f.logDir, fmt.Sprintf("%s-%d", name, f.numbers.Add(1))),
		DnsConfig:    &rt.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"test.svc.cluster.local", "svc.cluster.local"}, Options: []string{"ndots:5"}},
		Labels:       map[string]string{"app": name},
		Linux: &rt.LinuxPodSandboxConfig{SecurityContext: &rt.LinuxSandboxSecurityContext{
			NamespaceOptions: &rt.NamespaceOption{Pid: rt.NamespaceMode_CONTAINER},
		}},
	}
	for _, c := range change {
		c(config)
	}
	return config
}

// create creates a container in a pod that runs program with args.
func (f *fixture) create(pod, name string, args []string, change ...func(*rt.ContainerConfig)) (string, error) {
	f.Helper()
	f.runtime.mu.Lock()
	config := f.runtime.sandboxes[pod].config
	f.runtime.mu.Unlock()
	c := &rt.ContainerConfig{
		Metadata: &rt.ContainerMetadata{Name: name},
		Image:    &rt.ImageSpec{Image: "prog"},
		Args:     args,
		LogPath:  fmt.Sprintf("%s/%d.log", name, f.numbers.Add(1)),
		Labels:   map[string]string{"container": name},
		Linux: &rt.LinuxContainerConfig{SecurityContext: &rt.LinuxContainerSecurityContext{
			NamespaceOptions: &rt.NamespaceOption{Pid: namespaces(config).GetPid()},
		}},
	}
	for _, change := range change {
		change(c)
	}
	return f.runtime.CreateContainer(f.ctx, pod, c, config)
}

// start creates and starts a container.
func (f *fixture) start(pod, name string, args []string, change ...func(*rt.ContainerConfig)) string {
	f.Helper()
	id, err := f.create(pod, name, args, change...)
	if err != nil {
		f.Fatalf("CreateContainer: %v", err)
	}
	if err := f.runtime.StartContainer(f.ctx, id); err != nil {
		f.Fatalf("StartContainer: %v", err)
	}
	return id
}

// await waits for a container's end and returns its last status.
func (f *fixture) await(id string) *rt.ContainerStatus {
	f.Helper()
	f.runtime.mu.Lock()
	c := f.runtime.containers[id]
	f.runtime.mu.Unlock()
	select {
	case <-c.exited:
	case <-time.After(patience):
		f.Fatalf("container %s has not ended", c.name())
	}
	return f.status(id)
}

func (f *fixture) status(id string) *rt.ContainerStatus {
	f.Helper()
	response, err := f.runtime.ContainerStatus(f.ctx, id, false)
	if err != nil {
		f.Fatal(err)
	}
	return response.GetStatus()
}

// run runs a container to its end and returns its output of both streams.
func (f *fixture) run(pod, name string, args []string, change ...func(*rt.ContainerConfig)) (string, *rt.ContainerStatus) {
	f.Helper()
	s := f.await(f.start(pod, name, args, change...))
	return f.output(s), s
}

// report runs the report program in a container of its own.
func (f *fixture) report(pod, name string, change ...func(*rt.ContainerConfig)) report {
	f.Helper()
	text, _ := f.run(pod, name, []string{"report"}, change...)
	return parseReport(f.T, text)
}

// execReport runs the report program in a running container.
func (f *fixture) execReport(id string) report {
	f.Helper()
	out, errOut, err := f.runtime.ExecSync(f.ctx, id, []string{"/prog", programArg, "report"}, patience)
	if err != nil {
		f.Fatalf("exec: %v: %s", err, errOut)
	}
	return parseReport(f.T, string(out))
}

func parseReport(t *testing.T, text string) report {
	t.Helper()
	var r report
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("parse report %q: %v", text, err)
	}
	return r
}

// output is the text of a container's log.
func (f *fixture) output(s *rt.ContainerStatus) string {
	f.Helper()
	raw, err := os.ReadFile(s.GetLogPath())
	if err != nil {
		f.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(raw)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(fields) != 4 {
			f.Fatalf("log line %q has not four fields", line)
		}
		b.WriteString(fields[3])
		if fields[2] == "F" {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// awaitOutput polls a container's log for a text.
func (f *fixture) awaitOutput(id, text string) {
	f.Helper()
	s := f.status(id)
	eventually(f.T, func() error {
		if out := f.output(s); !strings.Contains(out, text) {
			return fmt.Errorf("output %q lacks %q", out, text)
		}
		return nil
	})
}

// eventually polls a condition until it holds.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", patience, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// changes of configurations that several tests use

func security0(change func(*rt.LinuxContainerSecurityContext)) func(*rt.ContainerConfig) {
	return func(c *rt.ContainerConfig) { change(c.Linux.SecurityContext) }
}

func mounts(m ...*rt.Mount) func(*rt.ContainerConfig) {
	return func(c *rt.ContainerConfig) { c.Mounts = append(c.Mounts, m...) }
}

func podNamespaces(change func(*rt.NamespaceOption)) func(*rt.PodSandboxConfig) {
	return func(c *rt.PodSandboxConfig) { change(c.Linux.SecurityContext.NamespaceOptions) }
}
