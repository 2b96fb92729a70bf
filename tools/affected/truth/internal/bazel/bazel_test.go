package bazel

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const events = `{"id":{"started":{}},"started":{}}
{"id":{"testResult":{"label":"//p:one","shard":1}},"testResult":{"status":"PASSED","cachedLocally":true}}
{"id":{"testResult":{"label":"//p:sharded","shard":1}},"testResult":{"status":"PASSED","cachedLocally":true}}
{"id":{"testResult":{"label":"//p:sharded","shard":2}},"testResult":{"status":"PASSED"}}
{"id":{"testResult":{"label":"//p:disk","shard":1}},"testResult":{"status":"PASSED","executionInfo":{"cachedRemotely":true}}}
{"id":{"testResult":{"label":"//p:failed","shard":1}},"testResult":{"status":"FAILED"}}
{"id":{"testResult":{"label":"//p:failed","shard":2}},"testResult":{"status":"PASSED"}}
{"id":{"testResult":{"label":"//p:unbuilt","shard":1}},"testResult":{"status":"NO_STATUS"}}
`

// A result out of the disk cache is one of another key than the run before had.
func TestReadEventsTellsFreshKeysFromKnownOnes(t *testing.T) {
	got, err := readEvents(strings.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Test{
		"//p:one":     {Shards: 1, Passed: true},
		"//p:sharded": {Shards: 2, Fresh: true, Passed: true},
		"//p:disk":    {Shards: 1, Fresh: true, Passed: true},
		"//p:failed":  {Shards: 2, Fresh: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("tests are %v, want %v", got, want)
	}
	if _, err := readEvents(strings.NewReader(events[:len(events)-9])); err == nil || !strings.Contains(err.Error(), "read Bazel's build events") {
		t.Errorf("events that end early: error is %v", err)
	}
}

// program makes a workspace whose Bazel is a script.
func program(t *testing.T, script string) *Workspace {
	t.Helper()
	dir := t.TempDir()
	w := &Workspace{Root: dir, OutputBase: filepath.Join(dir, "base"), Scratch: dir, Program: filepath.Join(dir, "bazel"), Startup: []string{"--startup"}, Flags: []string{"--flag"}, Environment: []string{"GIVEN=1"}}
	if err := os.WriteFile(w.Program, []byte("#!/bin/sh\n"+script), 0o777); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestTestReadsWhatBazelLeaves(t *testing.T) {
	w := program(t, `echo "$GIVEN $*"
for word in "$@"; do
  case "$word" in
    --build_event_json_file=*) echo '{"id":{"testResult":{"label":"//p:one"}},"testResult":{"status":"PASSED"}}' >"${word#*=}" ;;
    --experimental_aquery_dump_after_build_output_file=*) printf graph >"${word#*=}" ;;
  esac
done
exit 3
`)
	run, err := w.Test(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if string(run.Graph) != "graph" || len(run.Tests) != 1 {
		t.Errorf("run is %+v", run)
	}
	if want := "1 --output_base=" + w.OutputBase + " --startup test --noshow_progress --color=no --curses=no --flag --keep_going "; !strings.HasPrefix(run.Output, want) {
		t.Errorf("it ran %q, want %q", run.Output, want)
	}
	if run, err = w.Test(t.Context(), false); err != nil || run.Graph != nil || strings.Contains(run.Output, "aquery") {
		t.Errorf("without a graph, run is %+v (%v)", run, err)
	}
}

func TestTestFailsForWhatIsNoVerdict(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"a wrong command line", "echo unrecognized; exit 2", "bazel test ended with 2:\nunrecognized"},
		{"no events", "echo nothing; exit 1", "left no events"},
		{"events of yesterday", "exit 0", "left no events"},
		{"no graph", `for word in "$@"; do case "$word" in --build_event_json_file=*) : >"${word#*=}" ;; esac; done`, "left no action graph"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := program(t, c.script)
			if c.name == "events of yesterday" {
				if err := os.WriteFile(filepath.Join(w.Scratch, "events.json"), nil, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.Test(t.Context(), true); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
		})
	}
	w := program(t, "")
	w.Program += "-absent"
	if _, err := w.Test(t.Context(), true); err == nil || !strings.Contains(err.Error(), "run bazel test") {
		t.Errorf("no program: error is %v", err)
	}
}

func TestShutdownSaysWhatBazelSaid(t *testing.T) {
	if err := program(t, "exit 0").Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := program(t, "echo locked >&2; exit 1").Shutdown(t.Context()); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("error is %v", err)
	}
}

func TestVersionIsBazels(t *testing.T) {
	w := program(t, `[ "$*" = --version ] && echo "bazel $GIVEN.2"`)
	if got, err := w.Version(t.Context()); err != nil || got != "bazel 1.2" {
		t.Errorf("version is %q (%v)", got, err)
	}
	if _, err := program(t, "exit 1").Version(t.Context()); err == nil || !strings.Contains(err.Error(), "--version") {
		t.Errorf("error is %v", err)
	}
}
