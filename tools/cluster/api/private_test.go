package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
)

// playControlled is a cluster program that has a control interface and nothing else.
// GET /held is answered when GET /release has come, and GET /count says how many were asked.
func playControlled(descriptor string) error {
	n, err := strconv.Atoi(descriptor)
	if err != nil {
		return err
	}
	file, err := InheritedControl(n)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	release := make(chan struct{})
	var once sync.Once
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+CredentialsPath+"{identity}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("identity") != IdentityFixture {
			http.Error(w, "nobody is called so", http.StatusNotFound)
			return
		}
		fmt.Fprint(w, "the kubeconfig of ", r.PathValue("identity"))
	})
	var held atomic.Int64
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, held.Load()) })
	mux.HandleFunc("GET /held", func(w http.ResponseWriter, r *http.Request) {
		held.Add(1)
		select {
		case <-release:
			fmt.Fprint(w, "released")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("GET /release", func(http.ResponseWriter, *http.Request) { once.Do(func() { close(release) }) })
	mux.HandleFunc("PUT /echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("GET /exit", func(http.ResponseWriter, *http.Request) { os.Exit(7) })
	fmt.Println(`{"event":"ready"}`)
	if err := ServeControl(ctx, file, mux); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// controlled starts playControlled. By way of a shell, as other programs may lead to the
// cluster's.
func controlled(t *testing.T, command *exec.Cmd) *Process {
	t.Helper()
	p, err := Start(Options{Command: command, Dir: Dir(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	return p
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func ask(ctx context.Context, client *http.Client, method, path, body string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://any"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}

// Promise: who started the program has its whole control interface, also by way of other programs and
// beside files that the command passes on, and requests don't wait for one another.
func TestControl(t *testing.T) {
	other, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for name, command := range map[string]*exec.Cmd{
		"directly":         {Path: self(t)},
		"by a shell":       exec.Command("/bin/sh", "-c", `exec "$0" "$@"`, self(t), "run"),
		"with other files": {Path: self(t), ExtraFiles: []*os.File{other, other}},
	} {
		t.Run(name, func(t *testing.T) {
			p := controlled(t, command)
			ctx := soon(t)
			var group errgroup.Group
			for range 300 { // more than Go's servers answer on a connection by default
				group.Go(func() error {
					if code, answer, err := ask(ctx, p.Control(), http.MethodGet, "/held", ""); err != nil || code != http.StatusOK || answer != "released" {
						return fmt.Errorf("held request: %d %q, %w", code, answer, err)
					}
					return nil
				})
			}
			// All of them are held before another one comes.
			for {
				_, answer, err := ask(ctx, p.Control(), http.MethodGet, "/count", "")
				if err != nil {
					t.Fatal(err)
				}
				if answer == "300" {
					break
				}
			}
			// A request that is given up leaves the connection to the others.
			gone, cancel := context.WithCancel(ctx)
			cancel()
			if _, _, err := ask(gone, p.Control(), http.MethodGet, "/held", ""); !errors.Is(err, context.Canceled) {
				t.Errorf("a request that is given up: %v", err)
			}
			if code, _, err := ask(ctx, p.Control(), http.MethodGet, "/release", ""); err != nil || code != http.StatusOK {
				t.Errorf("release: %d, %v", code, err)
			}
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
			large := strings.Repeat("x", 5<<20)
			if _, answer, err := ask(ctx, p.Control(), http.MethodPut, "/echo", large); err != nil || answer != large {
				t.Errorf("echo of %d bytes: %d bytes, %v", len(large), len(answer), err)
			}
			if got, err := p.Kubeconfig(ctx, IdentityFixture); err != nil || string(got) != "the kubeconfig of fixture" {
				t.Errorf("kubeconfig %q, %v", got, err)
			}
			if _, err := p.Kubeconfig(ctx, "nobody"); err == nil || !strings.Contains(err.Error(), "nobody is called so") {
				t.Errorf("kubeconfig of nobody: %v", err)
			}
			if err := p.Stop(ctx); err != nil || p.Err() != nil {
				t.Errorf("stop: %v, %v", err, p.Err())
			}
		})
	}
}

// Promise: a request to a program that dies fails, and so does one that comes later.
func TestControlOfADeadProgram(t *testing.T) {
	p := controlled(t, &exec.Cmd{Path: self(t)})
	if _, _, err := ask(soon(t), p.Control(), http.MethodGet, "/exit", ""); err == nil {
		t.Error("the program that ended had an answer")
	}
	<-p.Done()
	if _, err := p.Kubeconfig(soon(t), IdentityAdmin); err == nil || !strings.Contains(err.Error(), `credentials of "admin"`) {
		t.Errorf("credentials of a cluster that ended: %v", err)
	}
}

// Promise: neither argv nor the environment nor a file has what makes the connection private.
func TestControlLeavesNoTrace(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(Options{Command: &exec.Cmd{Path: self(t)}, Dir: Dir(dir)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	if err := p.Await(soon(t), p.Ready()); err != nil {
		t.Fatal(err)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID()))
	if want := self(t) + "\x00" + ControlFlag + "=3\x00"; err != nil || string(line) != want {
		t.Errorf("command line %q, %v, want %q", line, err, want)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID()))
	if own := strings.Join(os.Environ(), "\x00") + "\x00"; err != nil || string(environ) != own {
		t.Errorf("environment %q, %v, want our own", environ, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("files %v, %v", files, err)
	}
}

// Promise: a descriptor that api.Start did not pass is refused, with the way out.
func TestInheritedControlRefuses(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	listener, err := net.Listen("unix", filepath.Join(shortDir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	listening, err := listener.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer listening.Close()
	for name, descriptor := range map[string]int{"standard output": 1, "closed": 1 << 20, "a file": int(file.Fd()), "a listener": int(listening.Fd())} {
		if _, err := InheritedControl(descriptor); err == nil || !strings.Contains(err.Error(), "leave it out") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Promise: the socket that everybody can open answers questions, gives no credentials and changes
// nothing, and says what to do instead.
func TestReadOnly(t *testing.T) {
	var passed []string
	handler := ReadOnly(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { passed = append(passed, r.Method+" "+r.URL.Path) }))
	for _, test := range []struct {
		method, path string
		code         int
	}{
		{http.MethodGet, BootPath, http.StatusOK},
		{http.MethodHead, ImagesPath, http.StatusOK},
		{http.MethodGet, WritesPath, http.StatusOK},
		{http.MethodGet, CredentialsPath + IdentityFixture, http.StatusForbidden},
		{http.MethodPut, ImagesPath, http.StatusForbidden},
		{http.MethodPut, ScopesPath + "a", http.StatusForbidden},
		{http.MethodDelete, ScopesPath + "a", http.StatusForbidden},
		{http.MethodPost, EndPath, http.StatusForbidden},
		{http.MethodPatch, "/anything", http.StatusForbidden},
		{"get", EndPath, http.StatusForbidden},
	} {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(test.method, test.path, nil))
		if recorder.Code != test.code {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, recorder.Code, test.code)
		}
		if text := recorder.Body.String(); test.code == http.StatusForbidden && (!strings.Contains(text, test.path) || !strings.Contains(text, "--image-file")) {
			t.Errorf("%s %s: %q names no way out", test.method, test.path, text)
		}
	}
	if want := []string{"GET /boot", "HEAD /images", "GET /writes"}; !slices.Equal(passed, want) {
		t.Errorf("passed on: %q, want %q", passed, want)
	}
}
