package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stormgate.internal/gateway/redistest"
)

// asGateway makes this test binary the gateway itself, given as its arguments.
const asGateway = "STORMGATE_TEST_AS_GATEWAY"

func TestMain(m *testing.M) {
	if os.Getenv(asGateway) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a gateway in a process of its own.
type process struct {
	*exec.Cmd
	url string
	log *strings.Builder
	// exited is closed when the log has ended and the process is gone.
	exited chan struct{}
}

// gatewayCommand returns the gateway with arguments, connected to nothing yet.
func gatewayCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asGateway+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// startProcess starts a gateway with a Redis of its own and the given Kubernetes
// API, and waits until it listens.
func startProcess(t *testing.T, kubernetes http.Handler) *process {
	t.Helper()
	api := httptest.NewServer(kubernetes)
	t.Cleanup(api.Close)
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kubeconfig := write("kubeconfig", fmt.Sprintf(`{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}`, api.URL))
	policy := write("priority.rego", "package kubernaut.gateway.priority\npriority := \"P1\"\n")
	file := write("gateway.yaml", fmt.Sprintf("server: {listen_addr: \"127.0.0.1:0\"}\ninfrastructure: {redis: {addr: \"nowhere:1\"}}\nprocessing: {priority: {policy_path: %s}}\n", policy))

	// The address of Redis is the flag's, which is the one that counts.
	cmd := gatewayCommand(t, "--config", file, "--kubeconfig", kubeconfig, "--redis", redistest.Start(t).Addr)
	output, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: cmd, log: &strings.Builder{}, exited: make(chan struct{})}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.exited
	})
	address := make(chan string, 1)
	go func() {
		defer close(p.exited)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			var line struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				address <- line.Address
			}
			fmt.Fprintln(p.log, lines.Text())
		}
		_ = cmd.Wait()
	}()
	select {
	case at := <-address:
		p.url = "http://" + at
	case <-p.exited:
		t.Fatalf("the gateway ended: %s\n%s", cmd.ProcessState, p.log)
	}
	return p
}

func (p *process) status(path string) (int, error) {
	response, err := http.Get(p.url + path)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Body.Close()
}

func (p *process) await(t *testing.T, path string, status int) {
	t.Helper()
	for {
		got, err := p.status(path)
		if got == status {
			return
		}
		if err != nil {
			t.Fatalf("%s is to become %d: %v\n", path, status, err)
		}
		time.Sleep(time.Millisecond)
	}
}

func (p *process) signal(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// cluster answers as an API server without objects; creations wait.
type cluster struct {
	entered, proceed chan struct{}
	once             sync.Once
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/version":
		_, _ = io.WriteString(w, `{}`)
	case r.Method == http.MethodPost:
		object, _ := io.ReadAll(r.Body)
		c.once.Do(func() { close(c.entered) })
		<-c.proceed
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(object)
	case strings.HasSuffix(r.URL.Path, "/remediationrequests"):
		_, _ = io.WriteString(w, `{"apiVersion":"remediation.kubernaut.io/v1alpha1","kind":"RemediationRequestList","items":[]}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"NotFound","code":404}`)
	}
}

// At SIGTERM readiness says no while requests are still served; then the listener
// closes, what was begun is finished, and the exit code is 0.
func TestTermination(t *testing.T) {
	c := &cluster{entered: make(chan struct{}), proceed: make(chan struct{})}
	p := startProcess(t, c)
	p.await(t, "/ready", http.StatusOK)
	begun := make(chan int, 1)
	send := func(body string) (int, error) {
		response, err := http.Post(p.url+"/api/v1/signals/prometheus", "application/json", strings.NewReader(body))
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	go func() {
		code, err := send(`{"alerts":[{"labels":{"alertname":"A","namespace":"shop"}}]}`)
		if err != nil {
			t.Error(err)
		}
		begun <- code
	}()
	<-c.entered
	p.signal(t)
	p.await(t, "/ready", http.StatusServiceUnavailable)
	if code, err := p.status("/health"); code != http.StatusOK {
		t.Errorf("liveness in the pause: %d, %v", code, err)
	}
	if code, err := send(`{"alerts":[{"status":"resolved","labels":{"alertname":"A"}}]}`); code != http.StatusOK {
		t.Errorf("a signal in the pause: %d, %v", code, err)
	}
	for {
		if _, err := p.status("/health"); errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	close(c.proceed)
	if code := <-begun; code != http.StatusCreated {
		t.Errorf("what was begun before: %d\n%s", code, p.log)
	}
	<-p.exited
	if code := p.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.log)
	}
}

// Who does not want to wait signals twice.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := startProcess(t, &cluster{})
	p.signal(t)
	p.await(t, "/ready", http.StatusServiceUnavailable)
	p.signal(t)
	<-p.exited
	if status := p.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %s", p.ProcessState)
	}
}

// What can't start says why, as a line of the log, and exits with 1.
func TestFailureToStart(t *testing.T) {
	for _, args := range [][]string{{"--config", "/nonexistent.yaml"}, {"--no-such-flag"}, {"argument"}} {
		output, err := gatewayCommand(t, args...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%v: %v", args, err)
		}
		var line struct{ Level, Msg, Error string }
		if err := json.Unmarshal(output, &line); err != nil || line.Level != "ERROR" || !strings.Contains(line.Error, strings.TrimLeft(args[len(args)-1], "-")) {
			t.Errorf("%v: log %q, %v", args, output, err)
		}
	}
}
