package ginkgo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// One shard of a suite is three processes of the same binary. The first, which
// Bazel starts, is the supervisor: it decides what runs, keeps the results and
// gives the verdict. It starts a second one to look at the spec tree, and a
// third, the runner, to run its specs.
const (
	rolePreview = "preview"
	roleRunner  = "runner"
)

// roleVariable names the role of a process.
const roleVariable = "GINKGO_BRIDGE_ROLE"

// Descriptors of the pipes that a process of a role is started with.
const (
	answerDescriptor     = 3 // preview, runner: what it reports
	assignmentDescriptor = 4 // runner: which specs it has to run
	crashDescriptor      = 5 // runner: what the Go runtime prints of a crash
	writtenDescriptor    = 6 // runner: what the running spec has written so far, a file
)

// takeRole returns this process's role and takes it out of the environment, so that
// processes that specs start don't have it.
func takeRole() string {
	role := os.Getenv(roleVariable)
	_ = os.Unsetenv(roleVariable) // fails for names that are not names only
	return role
}

// inherited opens a descriptor that this process was started with, for itself
// alone.
func inherited(descriptor int, name string) *os.File {
	syscall.CloseOnExec(descriptor)
	return os.NewFile(uintptr(descriptor), name)
}

// again is a command that starts this binary once more in another role.
func again(ctx context.Context, role string, environment []string) (*exec.Cmd, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, binary, os.Args[1:]...)
	command.Env = append(environment, roleVariable+"="+role)
	return command, nil
}

// pipes are made together and closed together.
type pipes struct{ ours, theirs []*os.File }

// toRead and toWrite make a pipe and return this process's end.
func (p *pipes) toRead() (*os.File, error) {
	reader, writer, err := os.Pipe()
	p.add(reader, writer, err)
	return reader, err
}

func (p *pipes) toWrite() (*os.File, error) {
	reader, writer, err := os.Pipe()
	p.add(writer, reader, err)
	return writer, err
}

func (p *pipes) add(ours, theirs *os.File, err error) {
	if err == nil {
		p.ours, p.theirs = append(p.ours, ours), append(p.theirs, theirs)
	}
}

// scratch makes a file without a name, to which the other process appends and
// which this one reads when the other has ended, however that was.
func (p *pipes) scratch() (*os.File, error) {
	file, err := os.CreateTemp(os.Getenv("TEST_TMPDIR"), "ginkgo-bridge.*") // the one that Bazel promises can be written
	if err != nil {
		return nil, err
	}
	theirs, err := os.OpenFile(file.Name(), os.O_WRONLY|os.O_APPEND, 0)
	_ = os.Remove(file.Name()) // a leftover in the test's temporary files does no harm
	if err != nil {
		_ = file.Close() // nothing is in it
		return nil, err
	}
	p.add(file, theirs, nil)
	return file, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close() // pipes: nothing is lost, and twice does no harm
	}
}

// wrappedByRulesGo reports whether rules_go's wrapper started this process: then
// it replaces test.xml when this process has ended.
func wrappedByRulesGo(parent int) bool {
	binary, err := os.Executable()
	if err != nil {
		return false
	}
	other, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", parent))
	if err != nil || other != binary {
		return false
	}
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", parent))
	if err != nil {
		return false
	}
	return isWrapper(strings.Split(string(environment), "\x00"))
}

// isWrapper goes by rules_go's own condition.
func isWrapper(environment []string) bool {
	wraps := false
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case name == "GO_TEST_WRAP":
			return value == "1" || strings.EqualFold(value, "true")
		case name == "XML_OUTPUT_FILE":
			wraps = true
		}
	}
	return wraps
}

var errWrapped = errors.New("rules_go's wrapper would replace test.xml by one without specs: " +
	`use ginkgo_test (tools/ginkgo:defs.bzl), or set env = {"GO_TEST_WRAP": "0"} on the target`)

// debugged reports whether a debugger is attached. A debugger does not follow into a
// second process, so the specs then run in this one.
func debugged() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err == nil && isTraced(string(status))
}

func isTraced(status string) bool {
	for line := range strings.Lines(status) {
		if pid, found := strings.CutPrefix(line, "TracerPid:"); found {
			return strings.TrimSpace(pid) != "0"
		}
	}
	return false
}

// head reads all of a stream and returns its beginning.
func head(from io.Reader, limit int64) string {
	var text strings.Builder
	_, err := io.Copy(&text, io.LimitReader(from, limit))
	if err == nil {
		_, _ = io.Copy(io.Discard, from) // so that the writer does not block
	}
	return text.String()
}
