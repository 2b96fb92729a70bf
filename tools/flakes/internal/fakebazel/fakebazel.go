// Package fakebazel gives tests a Bazel: a process that takes Bazel's commands, writes build
// events and test.xml as Bazel and //tools/ginkgo do, and ends as Bazel does when it is
// interrupted. What its tests do stands in a file of the workspace, so it can be another
// thing in each commit.
package fakebazel

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"stormgate.internal/tools/internal/gittest"
)

const (
	// stateVariable names the folder of what a fake Bazel keeps, and makes the test's program
	// one: see Main.
	stateVariable = "FAKE_BAZEL_STATE"
	// programVariable names the test's program, for scripts that lead to it.
	programVariable = "FAKE_BAZEL_PROGRAM"
	// behaviourFile lies in the workspace.
	behaviourFile = "fake.json"
)

// Behaviour is what `bazel test` does.
type Behaviour struct {
	Targets []Target `json:"targets,omitempty"`
	// Broken is a failure to build.
	Broken string `json:"broken,omitempty"`
	// Exit is an exit code without any build event.
	Exit int `json:"exit,omitempty"`
	// Hang has it wait for a signal when all runs are done.
	Hang bool `json:"hang,omitempty"`
	// Stubborn is how many signals it takes no notice of; the third kills its server and it.
	Stubborn int `json:"stubborn,omitempty"`
	// Cached has all results come from the cache.
	Cached bool `json:"cached,omitempty"`
}

// Target is a test.
type Target struct {
	Label string `json:"label"`
	// Specs of Ginkgo's; none for a test that has no specs.
	Specs []Spec `json:"specs,omitempty"`
	// Rate and Status are for a test that has no specs: how often it ends with that status.
	Rate   float64 `json:"rate,omitempty"`
	Status string  `json:"status,omitempty"`
}

// Spec fails now and then.
type Spec struct {
	Name string `json:"name"`
	// Rate is how often it fails.
	Rate float64 `json:"rate,omitempty"`
	// Seed has it fail where this is the seed of a random order.
	Seed int64 `json:"seed,omitempty"`
	// Kind is such as infrastructure; default: an assertion that failed.
	Kind string `json:"kind,omitempty"`
	// Message is what it says; default "the count is wrong".
	Message string `json:"message,omitempty"`
}

// Call is one that was made of the fake.
type Call struct {
	Directory string   `json:"directory"`
	Arguments []string `json:"arguments"`
	PID       int      `json:"pid"`
}

// Main is for TestMain: it runs the tests, or is Bazel where New said so. It does not return.
func Main(m *testing.M) {
	if state := os.Getenv(stateVariable); state != "" {
		code, err := (&process{state: state}).run(os.Args[1:])
		if err != nil {
			fmt.Fprintln(os.Stderr, "fake Bazel:", err)
			code = 36 // Bazel's code for a local environment that is wrong
		}
		os.Exit(code)
	}
	code, err := gittest.Run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fakebazel:", err)
		code = 1
	}
	os.Exit(code)
}

// Script leads to the fake as tools/bazel leads to Bazel.
const Script = "#!/bin/sh\nexec \"$" + programVariable + "\" \"$@\"\n"

// Fake is a fake Bazel, as a test sees it.
type Fake struct {
	t testing.TB
	// Program is what to run as Bazel.
	Program string
	state   string
}

// New makes one, for the rest of the test. Its package's TestMain has to call Main.
func New(t *testing.T) *Fake {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &Fake{t: t, Program: program, state: t.TempDir()}
	t.Setenv(stateVariable, f.state)
	t.Setenv(programVariable, program)
	// With it rules_go has each process of the test's program go to the test's own folder.
	t.Setenv("TEST_SRCDIR", "") // which has it set again afterwards
	if err := os.Unsetenv("TEST_SRCDIR"); err != nil {
		t.Fatal(err)
	}
	return f
}

// Workspace writes a workspace whose tools/bazel is the fake.
func (f *Fake) Workspace(dir string, b Behaviour) {
	f.t.Helper()
	f.Behave(dir, b)
	if err := os.MkdirAll(filepath.Join(dir, "tools"), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tools", "bazel"), []byte(Script), 0o755); err != nil {
		f.t.Fatal(err)
	}
}

// Behave says what `bazel test` in this workspace does.
func (f *Fake) Behave(dir string, b Behaviour) {
	f.t.Helper()
	content, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, behaviourFile), content, 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// Calls are those that were made so far.
func (f *Fake) Calls() []Call {
	f.t.Helper()
	content, err := os.ReadFile(filepath.Join(f.state, "calls"))
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	var calls []Call
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		var c Call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			f.t.Fatal(err)
		}
		calls = append(calls, c)
	}
	return calls
}

// Servers counts the Bazel servers that run.
func (f *Fake) Servers() int {
	f.t.Helper()
	servers, err := filepath.Glob(filepath.Join(f.state, "server-*"))
	if err != nil {
		f.t.Fatal(err)
	}
	return len(servers)
}

// Hangs waits until the fake has done all runs and waits for a signal.
func (f *Fake) Hangs() {
	f.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(f.state, "hangs")); err == nil {
			return
		}
	}
	f.t.Fatal("the fake Bazel did not come to wait")
}

// process is one that was called.
type process struct {
	state, directory string
	signals          chan os.Signal
	behaviour        Behaviour
	events           *json.Encoder
}

func (p *process) run(args []string) (int, error) {
	p.signals = make(chan os.Signal, 8)
	signal.Notify(p.signals, os.Interrupt)
	var err error
	if p.directory, err = os.Getwd(); err != nil {
		return 0, err
	}
	if err := p.log(args); err != nil {
		return 0, err
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") { // startup options
		args = args[1:]
	}
	if len(args) == 0 {
		return 0, errors.New("no command")
	}
	switch args[0] {
	case "test":
		return p.test(args[1:])
	case "shutdown", "clean":
		return 0, p.endServer()
	}
	return 2, nil
}

func (p *process) log(args []string) error {
	line, err := json.Marshal(Call{Directory: p.directory, Arguments: args, PID: os.Getpid()})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(p.state, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

func (p *process) serverFile() string {
	return filepath.Join(p.state, fmt.Sprintf("server-%x", sha256.Sum256([]byte(p.directory)))[:40])
}

func (p *process) endServer() error {
	if err := os.Remove(p.serverFile()); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// object of JSON.
type object = map[string]any

// test is `bazel test`.
func (p *process) test(args []string) (int, error) {
	content, err := os.ReadFile(filepath.Join(p.directory, behaviourFile))
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(content, &p.behaviour); err != nil {
		return 0, err
	}
	if err := os.WriteFile(p.serverFile(), nil, 0o644); err != nil {
		return 0, err
	}
	if p.behaviour.Exit != 0 {
		fmt.Fprintln(os.Stderr, "FATAL: as it was told")
		return p.behaviour.Exit, nil
	}
	o := options{runs: 1}
	if err := o.read(args); err != nil {
		return 2, err
	}
	file, err := os.Create(o.events)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	p.events = json.NewEncoder(file)
	started := time.Now()
	if err := p.write(
		object{"id": object{"started": object{}}, "started": object{"uuid": fmt.Sprintf("%08x", os.Getpid()), "startTime": started.UTC(), "buildToolVersion": "7.7.1", "command": "test", "workspaceDirectory": p.directory}},
		object{"id": object{"optionsParsed": object{}}, "optionsParsed": object{"explicitCmdLine": o.all}},
		object{"id": object{"pattern": object{"pattern": o.targets}}, "expanded": object{}},
	); err != nil {
		return 0, err
	}
	if p.behaviour.Broken != "" {
		fmt.Fprintln(os.Stderr, "ERROR: "+p.behaviour.Broken)
		return p.finish("BUILD_FAILURE", 1)
	}
	failed := false
	for _, target := range p.behaviour.Targets {
		if !o.wants(target.Label) {
			continue
		}
		for run := 1; run <= o.runs; run++ {
			status, err := p.execute(target, run, o)
			if err != nil {
				return 0, err
			}
			failed = failed || status != "PASSED"
		}
	}
	if p.behaviour.Hang {
		if err := os.WriteFile(filepath.Join(p.state, "hangs"), nil, 0o644); err != nil {
			return 0, err
		}
		for got := 1; ; got++ {
			<-p.signals
			if got > p.behaviour.Stubborn {
				return p.finish("INTERRUPTED", 8)
			}
			if got == 3 {
				return 8, p.endServer() // as Bazel's client at the third
			}
		}
	}
	if failed {
		return p.finish("TESTS_FAILED", 3)
	}
	return p.finish("SUCCESS", 0)
}

func (p *process) write(events ...object) error {
	for _, e := range events {
		if err := p.events.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) finish(name string, code int) (int, error) {
	return code, p.write(object{"id": object{"buildFinished": object{}}, "finished": object{"finishTime": time.Now().UTC(), "exitCode": object{"name": name, "code": code}}, "lastMessage": true})
}

// options are those of the command line that matter.
type options struct {
	all, targets []string
	events       string
	runs         int
	seed         int64
	filter       *regexp.Regexp
}

func (o *options) read(args []string) (err error) {
	for i, arg := range args {
		if arg == "--" {
			o.targets = args[i+1:]
			break
		}
		o.all = append(o.all, arg)
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "--build_event_json_file":
			o.events = value
		case "--runs_per_test":
			o.runs, err = strconv.Atoi(value)
		case "--test_filter":
			o.filter, err = regexp.Compile(value)
		case "--test_arg":
			if seed, found := strings.CutPrefix(value, "-test.shuffle="); found {
				o.seed, err = strconv.ParseInt(seed, 10, 64)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *options) wants(label string) bool {
	for _, pattern := range o.targets {
		if pattern == label {
			return true
		}
		if folder, all := strings.CutSuffix(pattern, "/..."); all && (strings.HasPrefix(label, folder+"/") || strings.HasPrefix(label, folder+":")) {
			return true
		}
	}
	return false
}

// chance draws a number between 0 and 1, another one each time and the same ones in each
// test.
func (p *process) chance() (float64, error) {
	name := filepath.Join(p.state, "drawn")
	content, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return 0, err
	}
	drawn, _ := strconv.Atoi(string(content)) // 0 before the first
	sum := sha256.Sum256([]byte(strconv.Itoa(drawn)))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53), os.WriteFile(name, []byte(strconv.Itoa(drawn+1)), 0o644)
}

type xmlProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
}

type xmlCase struct {
	Name    string      `xml:"name,attr"`
	File    string      `xml:"file,attr,omitempty"`
	Line    int         `xml:"line,attr,omitempty"`
	Time    float64     `xml:"time,attr"`
	Failure *xmlProblem `xml:"failure"`
}

type xmlSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Suite   struct {
		Name  string    `xml:"name,attr"`
		Cases []xmlCase `xml:"testcase"`
	} `xml:"testsuite"`
}

// execute is one run of a test.
func (p *process) execute(target Target, number int, o options) (status string, err error) {
	status = "PASSED"
	var report xmlSuites
	report.Suite.Name = target.Label
	fail := func(kind, message string) *xmlProblem {
		status = "FAILED"
		return &xmlProblem{Message: message, Type: kind}
	}
	matched := 0
	for _, spec := range target.Specs {
		if o.filter != nil && !o.filter.MatchString(spec.Name) {
			continue
		}
		matched++
		c := xmlCase{Name: spec.Name, File: "e2e/a_test.go", Line: 7, Time: 0.01}
		chance, err := p.chance()
		if err != nil {
			return "", err
		}
		if chance < spec.Rate || spec.Seed != 0 && spec.Seed == o.seed {
			message := spec.Message
			if message == "" {
				message = "the count is wrong"
			}
			c.Failure = fail(spec.Kind, message)
		}
		report.Suite.Cases = append(report.Suite.Cases, c)
	}
	if len(target.Specs) > 0 && matched == 0 {
		report.Suite.Cases = append(report.Suite.Cases, xmlCase{Name: "select specs", Failure: fail("nothing tested", "no spec matches the filter")})
	}
	if len(target.Specs) == 0 {
		chance, err := p.chance()
		if err != nil {
			return "", err
		}
		if chance < target.Rate {
			status = target.Status
			if status == "" {
				status = "FAILED"
			}
		}
	}
	inside := strings.NewReplacer("//", "", ":", "/").Replace(target.Label)
	dir := filepath.Join(p.state, "base", "execroot", "_main", "bazel-out", "k8-fastbuild", "testlogs", filepath.FromSlash(inside), fmt.Sprintf("run_%d_of_%d", number, o.runs))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	content, err := xml.Marshal(report)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "test.xml"), content, 0o644); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "test.log"), []byte("the log\n"), 0o644); err != nil {
		return "", err
	}
	return status, p.write(
		object{"id": object{"targetConfigured": object{"label": target.Label}}, "configured": object{"targetKind": "go_test rule"}},
		object{
			"id": object{"testResult": object{"label": target.Label, "run": number, "shard": 1, "attempt": 1}},
			"testResult": object{
				"status": status, "cachedLocally": p.behaviour.Cached, "testAttemptStart": time.Now().UTC(), "testAttemptDuration": "0.010s",
				"testActionOutput": []object{
					{"name": "test.log", "uri": "file://" + filepath.ToSlash(filepath.Join(dir, "test.log"))},
					{"name": "test.xml", "uri": "file://" + filepath.ToSlash(filepath.Join(dir, "test.xml"))},
				},
			},
		})
}
