package buildevent

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func read(t *testing.T, content string) *Stream {
	t.Helper()
	s, err := Read(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func content(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Promise: all that a page needs of a build is read, whatever the order of events.
func TestRead(t *testing.T) {
	s := read(t, content(t, "events.json"))
	if len(s.Problems) > 0 || !s.Complete {
		t.Errorf("complete: %v, problems %q", s.Complete, s.Problems)
	}
	if s.Invocation != "0a1b" || s.Version != "7.7.1" || s.Command != "test" || s.Workspace != "/home/user/repo" {
		t.Errorf("started: %+v", s)
	}
	if want := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC); !s.Started.Equal(want) || !s.Ended.Equal(want.Add(30*time.Second)) {
		t.Errorf("from %v to %v", s.Started, s.Ended)
	}
	if s.Exit == nil || s.Exit.Name != "TESTS_FAILED" || s.Exit.Code != 3 {
		t.Errorf("exit: %+v", s.Exit)
	}
	if !slices.Equal(s.Patterns, []string{"//e2e/..."}) || !slices.Equal(s.Options, []string{"--test_env=A=1"}) {
		t.Errorf("patterns %q, options %q", s.Patterns, s.Options)
	}
	if len(s.Tests) != 3 {
		t.Fatalf("tests: %+v", s.Tests)
	}
	one := s.Tests[0]
	if one.Label != "//e2e:storm_test" || one.Shard != 2 || one.Attempt != 1 || one.Status != "FAILED" || one.Cached() || one.Strategy != "linux-sandbox" ||
		one.Duration != 1500*time.Millisecond || !one.Start.Equal(s.Started.Add(10*time.Second)) || len(one.Outputs) != 2 {
		t.Errorf("first test: %+v", one)
	}
	if old := s.Tests[1]; !old.CachedLocally || old.Duration != 826*time.Millisecond || old.Start.UnixMilli() != 1622353495424 {
		t.Errorf("a test of an older Bazel: %+v", old)
	}
	if !s.Tests[2].CachedRemotely {
		t.Errorf("third test: %+v", s.Tests[2])
	}
	target := s.Targets["//e2e:storm_test"]
	if target == nil || target.Kind != "go_test rule" || target.Built == nil || !*target.Built || len(target.Files) != 2 || target.Files[1].Digest != "cafe" {
		t.Errorf("target: %+v", target)
	}
	if summary := s.Summaries["//e2e:storm_test"]; summary.Status != "FAILED" || summary.Shards != 4 || summary.Cached != 3 {
		t.Errorf("summary: %+v", summary)
	}
	if len(s.Failures) != 1 || s.Failures[0].Mnemonic != "GoCompilePkg" || s.Failures[0].Stderr == nil || s.Failures[0].Label != "//pkg:broken" {
		t.Errorf("failures: %+v", s.Failures)
	}
	if len(s.Aborts) != 1 || s.Aborts[0].Reason != "SKIPPED" || !strings.Contains(s.Aborts[0].Of, "//pkg:other") {
		t.Errorf("aborts: %+v", s.Aborts)
	}
	if len(s.Work) != 2 || s.Work[0].Mnemonic != "GoLink" || s.Work[0].CPU != 3*time.Second || s.Work[1].Actions != 20 {
		t.Errorf("work: %+v", s.Work)
	}
	if s.Misses["DIFFERENT_FILES"] != 14 || s.Timing.CriticalPath != 21.5 || s.Timing.Wall != 30 {
		t.Errorf("misses %v, timing %+v", s.Misses, s.Timing)
	}
	if len(s.Logs) != 2 || string(s.Logs[0].Contents) != "Critical Path: 21.5s" {
		t.Errorf("logs: %+v", s.Logs)
	}
}

// Promise: the file of a build that was killed is read up to where it ends, and says so.
func TestReadCutShort(t *testing.T) {
	all := content(t, "events.json")
	s := read(t, all[:strings.Index(all, `"finished"`)+5])
	if len(s.Tests) != 3 || s.Exit != nil || s.Complete {
		t.Errorf("%d tests, exit %v, complete %v", len(s.Tests), s.Exit, s.Complete)
	}
	if len(s.Problems) != 2 || !strings.Contains(s.Problems[0], "not JSON") || !strings.Contains(s.Problems[1], "have no end") {
		t.Errorf("problems: %q", s.Problems)
	}
}

// Promise: one event in a form that is not known here costs that event, and is named.
func TestReadStrange(t *testing.T) {
	s := read(t, `{"id":{"started":{}},"started":{"uuid":"a","startTimeMillis":true}}
{"id":{"news":{}},"news":{"of":"a later version"}}
{"id":{"testResult":{"label":"//a:b"}},"testResult":{"status":"PASSED","testAttemptStart":"yesterday"}}
{"id":{"testResult":{"label":"//a:c"}},"testResult":{"status":"PASSED"}}
[1]
{"id":{"buildFinished":{}},"finished":{"exitCode":{"name":"SUCCESS"}},"lastMessage":true}
`)
	if s.Invocation != "a" || len(s.Tests) != 2 || s.Tests[1].Shard != 1 || !s.Complete {
		t.Errorf("%+v", s)
	}
	if len(s.Problems) != 3 {
		t.Errorf("problems: %q", s.Problems)
	}
}

// Promise: a file that is something else is refused, with what it should be.
func TestReadNone(t *testing.T) {
	for _, content := range []string{"", "\n\n", "<testsuites/>\n", `{"a":1}`} {
		if _, err := Read(strings.NewReader(content)); err == nil || !strings.Contains(err.Error(), "--build_event_json_file") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// Promise: a line over the limit is passed over, and the next one is read.
func TestReadLine(t *testing.T) {
	r := bufio.NewReaderSize(strings.NewReader("short\n"+strings.Repeat("x", 100)+"\nnext\n"+strings.Repeat("y", 100)), 16)
	for i, want := range []struct {
		line string
		err  error
	}{{"short\n", nil}, {"", errLong}, {"next\n", nil}, {"", errLong}, {"", io.EOF}} {
		line, err := readLine(r, 50)
		if string(line) != want.line || err != want.err {
			t.Errorf("line %d: %q, %v", i, line, err)
		}
	}
}

// Promise: only files of this machine are opened, and a remote one names the way out.
func TestPath(t *testing.T) {
	for uri, want := range map[string]string{
		"file:///a/b%20c/test.xml":        "/a/b c/test.xml",
		"bytestream://cache/blobs/cafe/1": "--remote_download_outputs",
		"https://example.com/test.xml":    "file:// only",
		"file:relative":                   "names no file",
		"file:///a%00b":                   "names no file",
		"file:///\x7f":                    "find",
	} {
		path, err := Path(uri)
		if err != nil {
			path = err.Error()
		}
		if !strings.Contains(path, want) || (err == nil) != strings.HasPrefix(want, "/") {
			t.Errorf("%q: %q, %v", uri, path, err)
		}
	}
}

// Promise: a copy of bazel-testlogs is not left by a path with dots in it.
func TestTestLog(t *testing.T) {
	for uri, want := range map[string]string{
		"file:///x/execroot/_main/bazel-out/k8/testlogs/e2e/a/shard_1_of_2/test.xml": "e2e/a/shard_1_of_2/test.xml",
		"file:///x/testlogs/../../etc/passwd":                                        "",
		"file:///x/elsewhere/test.xml":                                               "",
	} {
		if got, ok := TestLog(uri); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", uri, got, ok)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(content(f, "events.json")))
	f.Add([]byte(`{"id":{"testResult":{}},"testResult":{"testAttemptDuration":"-1s"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, one := range s.Tests {
			if one.Duration < 0 || one.Shard < 1 || one.Run < 1 || one.Attempt < 1 {
				t.Errorf("%+v", one)
			}
		}
	})
}
