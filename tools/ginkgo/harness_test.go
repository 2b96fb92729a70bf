package bridge

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shard is one process of a sample suite, run with the environment that Bazel
// would give it.
type shard struct {
	sample       string
	index, total int // total 0: not sharded
	filter       string
	environment  []string // more of it, NAME=value
	args         []string
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
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "outputs"), 0o700); err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, s.args...)
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		// This test may itself be run by Bazel.
		if !strings.HasPrefix(name, "TEST") && name != "XML_OUTPUT_FILE" && !strings.HasPrefix(name, "GO_TEST") {
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
	command.Env = append(command.Env, s.environment...)
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
