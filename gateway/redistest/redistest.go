// Package redistest starts real Redis servers for tests.
package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// ServerVariable names an executable that behaves as redis-server. Without it
// redis-server is looked for on the PATH.
const ServerVariable = "STORMGATE_REDIS_SERVER"

// Server is a running redis-server without persistence.
type Server struct {
	// Addr is the path of its unix socket, which is the same after a restart.
	Addr string

	tb     testing.TB
	extra  []string
	binary string
	dir    string
	cmd    *exec.Cmd
	log    *bytes.Buffer
	exited chan struct{}
}

// Start starts a server and stops it at the end of the test. The test fails when
// there is no redis-server.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := New(tb)
	s.Start()
	return s
}

// StartWith is Start with further arguments of redis-server, which come last.
func StartWith(tb testing.TB, extra ...string) *Server {
	tb.Helper()
	s := New(tb)
	s.extra = extra
	s.Start()
	return s
}

// StartSentinel starts a Sentinel on a port of the loopback that knows a master, and
// returns its address.
func StartSentinel(tb testing.TB, masterName, masterPort string) string {
	tb.Helper()
	s := New(tb)
	port := FreePort(tb)
	file := filepath.Join(s.dir, "sentinel.conf")
	content := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %s 1\n", port, s.dir, masterName, masterPort)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.run(exec.Command(s.binary, file, "--sentinel", "--unixsocket", s.Addr))
	return "127.0.0.1:" + port
}

// FreePort returns a TCP port of the loopback that nobody listens on now.
func FreePort(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("look for a free port: %v", err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	return port
}

// New prepares a server that is not yet running.
func New(tb testing.TB) *Server {
	tb.Helper()
	logging.Disable() // servers that are away are part of tests
	binary := os.Getenv(ServerVariable)
	if binary == "" {
		found, err := exec.LookPath("redis-server")
		if err != nil {
			tb.Fatalf("redis-server is not on the PATH: install it (Debian: apt-get install redis-server) or set %s to its path: %v", ServerVariable, err)
		}
		binary = found
	}
	// Not TempDir: unix sockets can't have long paths.
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		tb.Fatalf("make a directory for Redis: %v", err)
	}
	s := &Server{Addr: filepath.Join(dir, "s"), tb: tb, binary: binary, dir: dir}
	tb.Cleanup(func() {
		s.Stop()
		_ = os.RemoveAll(dir)
	})
	return s
}

// Start runs the server and waits until it answers. Its data are empty.
func (s *Server) Start() {
	s.tb.Helper()
	args := []string{"--port", "0", "--unixsocket", s.Addr, "--dir", s.dir, "--save", "", "--appendonly", "no", "--daemonize", "no"}
	s.run(exec.Command(s.binary, append(args, s.extra...)...))
}

func (s *Server) run(cmd *exec.Cmd) {
	s.tb.Helper()
	s.log = &bytes.Buffer{}
	s.cmd = cmd
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatalf("start %s: %v", s.binary, err)
	}
	s.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(s.cmd, s.exited)
	if err := s.await(10 * time.Second); err != nil {
		s.Stop()
		s.tb.Fatalf("%s does not answer: %v; its log:\n%s", s.binary, err, s.log)
	}
}

func (s *Server) await(limit time.Duration) error {
	client := s.Client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return errors.New("it exited")
		case <-ctx.Done():
			return fmt.Errorf("within %s: %w", limit, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Stop kills the server. Stopping a stopped server does nothing.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// Pause makes the server silent: connections to it are taken, and nothing is answered. It
// may be stopped in that state.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.tb.Fatalf("signal %s: %v", s.binary, err)
	}
}

// Client returns a client with the library's settings, for looking into the
// server. Close it.
func (s *Server) Client() *redis.Client {
	// A large pool: the library stops dialling for a second after PoolSize failures.
	return redis.NewClient(&redis.Options{Network: "unix", Addr: s.Addr, MaxRetries: -1, DialerRetries: 1, PoolSize: 10_000, PipelinePoolSize: -1})
}
