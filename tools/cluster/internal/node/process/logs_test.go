package process

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestLogFormat(t *testing.T) {
	long := strings.Repeat("y", maxLogLine)
	tests := []struct {
		name   string
		writes []string
		want   []string // tag and text
	}{
		{"lines", []string{"a\nb\n"}, []string{"F a", "F b"}},
		{"empty line", []string{"\n"}, []string{"F "}},
		{"line in pieces", []string{"a", "b", "\nc\n"}, []string{"F ab", "F c"}},
		{"no newline at the end", []string{"a\nb"}, []string{"F a", "P b"}},
		{"line of just the limit", []string{long + "\n"}, []string{"F " + long}},
		{"line over the limit", []string{long + "z\n"}, []string{"P " + long, "F z"}},
		{"line over the limit in pieces", []string{long, "z", "\n"}, []string{"P " + long, "F z"}},
		{"nothing", nil, nil},
	}
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d) stdout `)
	for _, test := range tests {
		path := filepath.Join(t.TempDir(), "new", "0.log")
		l, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range test.writes {
			if err := l.write("stdout", []byte(w)); err != nil {
				t.Error(err)
			}
		}
		if err := l.end("stdout"); err != nil {
			t.Error(err)
		}
		l.close()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(string(text)) {
			if !stamp.MatchString(line) {
				t.Errorf("%s: line %q", test.name, line)
			}
			got = append(got, strings.TrimSuffix(stamp.ReplaceAllString(line, ""), "\n"))
		}
		if strings.Join(got, "|") != strings.Join(test.want, "|") {
			t.Errorf("%s: %.200q, want %.200q", test.name, got, test.want)
		}
	}
}

// The streams of a container are cut into lines apart from each other.
func TestLogStreamsDoNotMix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range [][2]string{{"stdout", "o1"}, {"stderr", "e1\n"}, {"stdout", "o2\n"}} {
		if err := l.write(w[0], []byte(w[1])); err != nil {
			t.Fatal(err)
		}
	}
	l.close()
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "stderr F e1\n") || !strings.Contains(string(text), "stdout F o1o2\n") {
		t.Errorf("%q, %v", text, err)
	}
	if err := l.write("stdout", []byte("late\n")); err != nil {
		t.Errorf("write after close: %v", err)
	}
	if err := l.reopen(); err == nil {
		t.Error("a closed log was opened again")
	}
}

// The kubelet rotates a log by renaming it and asking for a new one: no line
// may be lost or cut between the two.
func TestLogRotation(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"echo"}, func(c *rt.ContainerConfig) { c.Stdin = true })
	path := f.status(id).GetLogPath()
	f.runtime.mu.Lock()
	stdin := f.runtime.containers[id].process.stdin
	f.runtime.mu.Unlock()
	if _, err := stdin.WriteString("first\n"); err != nil {
		t.Fatal(err)
	}
	f.awaitOutput(id, "first")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.WriteString("between\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		text, err := os.ReadFile(path + ".1")
		if err == nil && !strings.Contains(string(text), "between") {
			err = os.ErrNotExist
		}
		return err
	})
	if err := f.runtime.ReopenContainerLog(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.WriteString("second\n"); err != nil {
		t.Fatal(err)
	}
	f.awaitOutput(id, "second")
	if out := f.output(f.status(id)); out != "second\n" {
		t.Errorf("the new log has %q", out)
	}
}

func TestContainerWithoutALog(t *testing.T) {
	f := newFixture(t)
	id := f.start(f.pod("web"), "app", []string{"print", "a", "b", "0"}, func(c *rt.ContainerConfig) { c.LogPath = "" })
	if s := f.await(id); s.GetExitCode() != 0 || s.GetLogPath() != "" {
		t.Errorf("exit code %d, log %q", s.GetExitCode(), s.GetLogPath())
	}
}
