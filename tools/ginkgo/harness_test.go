package ginkgo

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shard is one process of a sample suite, run with the environment that Bazel
// would give it.
type shard struct {
	sample       string
	index, total int // total 0: not sharded
	filter       string
	environment  []string // more of it, NAME=value
	args         []string
	dir          string // of an earlier attempt; default: a new one
}

type outcome struct {
	exit   int
	log    string
	trace  []string // lines that specs and hooks left
	report xmlSuites
	dir    string
}

// prepare makes the process; wait starts nothing and judges nothing.
func (s shard) prepare(t *testing.T) (*exec.Cmd, *bytes.Buffer, string) {
	t.Helper()
	dir := s.dir
	if dir == "" {
		dir = t.TempDir()
	}
	if err := os.MkdirAll(filepath.Join(dir, "outputs"), 0o700); err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, s.args...)
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		// This test may itself be run by Bazel, also for coverage.
		if !strings.HasPrefix(name, "TEST") && name != "XML_OUTPUT_FILE" && !strings.HasPrefix(name, "GO_TEST") && !strings.HasPrefix(name, "COVERAGE") {
			command.Env = append(command.Env, entry)
		}
	}
	command.Env = append(command.Env,
		"GO_TEST_WRAP=0",
		sampleVariable+"="+s.sample,
		traceVariable+"="+filepath.Join(dir, "trace"),
		"TEST_TARGET=//e2e:sample_test",
		"TESTBRIDGE_TEST_ONLY="+s.filter,
		"XML_OUTPUT_FILE="+filepath.Join(dir, "test.xml"),
		"TEST_UNDECLARED_OUTPUTS_DIR="+filepath.Join(dir, "outputs"),
		"TEST_INFRASTRUCTURE_FAILURE_FILE="+filepath.Join(dir, "infrastructure"),
		"TEST_PREMATURE_EXIT_FILE="+filepath.Join(dir, "premature"),
	)
	if s.total > 0 {
		command.Env = append(command.Env,
			fmt.Sprintf("TEST_SHARD_INDEX=%d", s.index), fmt.Sprintf("TEST_TOTAL_SHARDS=%d", s.total),
			"TEST_SHARD_STATUS_FILE="+filepath.Join(dir, "status"))
	}
	// The race detector would make each process of a shard linger for a second.
	command.Env = append(command.Env, "GORACE=atexit_sleep_ms=0")
	command.Env = append(command.Env, s.environment...)
	// As Bazel's test-setup.sh does: signals go to the whole group.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	return command, &log, dir
}

func (s shard) run(t *testing.T) outcome {
	t.Helper()
	command, log, dir := s.prepare(t)
	return concluded(t, command, command.Run(), log, dir)
}

func concluded(t *testing.T, command *exec.Cmd, err error, log *bytes.Buffer, dir string) outcome {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	result := outcome{exit: command.ProcessState.ExitCode(), log: log.String(), dir: dir}
	if content, err := os.ReadFile(filepath.Join(dir, "trace")); err == nil {
		result.trace = strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	}
	if content, err := os.ReadFile(filepath.Join(dir, "test.xml")); err == nil {
		if err := xml.Unmarshal(content, &result.report); err != nil {
			t.Fatalf("test.xml is not XML: %v\n%s", err, content)
		}
	}
	return result
}

// process is a shard that is under way.
type process struct {
	*exec.Cmd
	ended chan error
	log   *bytes.Buffer
	dir   string
}

// start begins a shard and returns when its trace has the line.
func (s shard) start(t *testing.T, line string) process {
	t.Helper()
	command, log, dir := s.prepare(t)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := process{command, make(chan error, 1), log, dir}
	go func() { p.ended <- command.Wait() }()
	p.await(t, line)
	return p
}

// await returns when the trace has the line.
func (p process) await(t *testing.T, line string) {
	t.Helper()
	for {
		content, _ := os.ReadFile(filepath.Join(p.dir, "trace"))
		if strings.Contains(string(content), line) {
			return
		}
		select {
		case err := <-p.ended:
			t.Fatalf("the shard ended before it left %q: %v\n%s", line, err, p.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (p process) end(t *testing.T) outcome {
	t.Helper()
	return concluded(t, p.Cmd, <-p.ended, p.log, p.dir)
}

// file is what the shard left at a path in its directory.
func (o outcome) file(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{o.dir}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (o outcome) property(name string) string {
	for _, suite := range o.report.Suites {
		for _, p := range suite.Properties {
			if p.Name == name {
				return p.Value
			}
		}
	}
	return ""
}

func (o outcome) cases() []xmlCase {
	if len(o.report.Suites) == 0 {
		return nil
	}
	return o.report.Suites[0].Cases
}

func (o outcome) testCase(t *testing.T, name string) xmlCase {
	t.Helper()
	for _, c := range o.cases() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("test.xml has no case %q: %+v", name, o.cases())
	return xmlCase{}
}

func wantExit(t *testing.T, o outcome, code int) {
	t.Helper()
	if o.exit != code {
		t.Fatalf("exit code %d, want %d\n%s", o.exit, code, o.log)
	}
}

func wantLog(t *testing.T, o outcome, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(o.log, part) {
			t.Errorf("the log does not have %q:\n%s", part, o.log)
		}
	}
}
