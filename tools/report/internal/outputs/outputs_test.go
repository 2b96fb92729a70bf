package outputs

import (
	"archive/zip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var files = map[string]string{
	"attestation.json":                         `{"lease":"9c1e","environment":"//e2e:calm","slot":2,"waited":0.4,"verdict":"changed by somebody else","changes":[{"kind":"foreign","time":"2026-11-28T21:14:03Z","what":"patch configmaps calm/gateway"}]}`,
	"boot.json":                                `{"started":"2026-11-30T12:00:10Z","ready":1.5,"steps":[{"name":"etcd","start":0.2,"end":0.6,"cpuSeconds":0.1,"rssBytes":4}],"components":[]}`,
	"events/calm.txt":                          "2026-11-30T12:00:12Z Normal pod/gateway-0 Started x1: Started container gateway\n2026-11-30T12:00:11.5Z Warning pod/gateway-0 Unhealthy x2: probe failed:\nbody of it\n",
	"logs/calm/gateway-0/gateway.log":          "2026-11-30T12:00:12.5Z one\n2026-11-30T12:00:13Z\nno time\n",
	"logs/calm/gateway-0/gateway.previous.log": "",
	"logs/odd.log":                             "",
	"objects/tenant-1.yaml":                    "---\nkind: ConfigMap\n",
	"specs/A-spec.txt":                         "A spec:\nwith a colon\nat:     e2e/a_test.go:3\nbegan:  2026-11-30T12:00:14.4Z\ntook:   2.000 s\nresult: failed\n\nExpected\n\noutput:\nat: none\n",
	"metrics-before.txt":                       "alerts_total 0\n",
	"requests.json":                            `{"requests":[{"at":"2026-11-30T12:00:12Z","verb":"list","resource":"pods","code":200,"seconds":0.004}],"leftOut":7}`,
	"faults.json":                              `[{"began":"2026-11-30T12:00:12Z","rule":{"id":"tenant-1","match":{"namespace":"tenant-1","verbs":["create"]},"fault":{"kind":"delay","delay":"300ms"}},"hits":2}]`,
	"anything.bin":                             "\x00",
}

func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func archive(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "outputs.zip")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	writer := zip.NewWriter(file)
	for name, content := range files {
		entry, err := writer.Create(name)
		if err == nil {
			_, err = entry.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(writer.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

// Promise: what the fixture's client and the bridge write is read, from a folder and from
// Bazel's archive.
func TestOpen(t *testing.T) {
	for what, name := range map[string]string{"folder": folder(t), "archive": archive(t)} {
		t.Run(what, func(t *testing.T) {
			o, problems, err := Open(name)
			if err != nil || len(problems) > 0 {
				t.Fatal(err, problems)
			}
			defer o.Close()
			if a := o.Attestation; a == nil || a.Lease != "9c1e" || a.Slot != 2 || a.Waited != 0.4 || len(a.Changes) != 1 || a.Changes[0].Time.IsZero() {
				t.Errorf("attestation: %+v", a)
			}
			if b := o.Boot; b == nil || b.Ready != 1.5 || len(b.Steps) != 1 || b.Steps[0].CPUSeconds != 0.1 {
				t.Errorf("boot: %+v", b)
			}
			if len(o.Requests) != 1 || o.Requests[0].Verb != "list" || o.Requests[0].Seconds != 0.004 || o.LeftOut != 7 {
				t.Errorf("requests: %+v and %d more", o.Requests, o.LeftOut)
			}
			if len(o.Faults) != 1 || o.Faults[0].Rule.Fault.Kind != "delay" || !o.Faults[0].Ended.IsZero() || o.Faults[0].Hits != 2 {
				t.Errorf("faults: %+v", o.Faults)
			}
			if len(o.Events) != 2 || o.Events[0].Reason != "Unhealthy" || o.Events[0].Count != 2 || o.Events[0].Message != "probe failed:\nbody of it" ||
				o.Events[1].Object != "pod/gateway-0" || o.Events[1].Namespace != "calm" {
				t.Errorf("events: %+v", o.Events)
			}
			if len(o.Logs) != 2 {
				t.Fatalf("logs: %+v", o.Logs)
			}
			var lines []Line
			for _, log := range o.Logs {
				if log.Previous {
					continue
				}
				if log.Namespace != "calm" || log.Pod != "gateway-0" || log.Container != "gateway" {
					t.Errorf("log: %+v", log)
				}
				if err := o.Lines(log, func(l Line) bool { lines = append(lines, l); return true }); err != nil {
					t.Error(err)
				}
			}
			if len(lines) != 3 || lines[0].Text != "one" || !lines[0].Time.Equal(time.Date(2026, 11, 30, 12, 0, 12, 5e8, time.UTC)) || lines[1].Text != "" || !lines[2].Time.IsZero() {
				t.Errorf("lines: %+v", lines)
			}
			if len(o.Specs) != 1 || o.Specs[0].Name != "A spec:\nwith a colon" || o.Specs[0].At != "e2e/a_test.go:3" || o.Specs[0].Took != 2*time.Second || o.Specs[0].Began.IsZero() ||
				!strings.HasPrefix(o.Specs[0].Text, "Expected") {
				t.Errorf("specs: %+v", o.Specs)
			}
			if o.Objects["tenant-1"] == "" || o.Metrics["metrics-before.txt"] == "" || len(o.Others) != 2 {
				t.Errorf("objects %v, metrics %v, others %v", o.Objects, o.Metrics, o.Others)
			}
		})
	}
}

// Promise: a file that can't be read costs that file, and is named.
func TestOpenDamaged(t *testing.T) {
	dir := folder(t)
	if err := os.WriteFile(filepath.Join(dir, "attestation.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "events", "calm.txt"), []byte("no event\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o, problems, err := Open(dir)
	if err != nil || len(problems) != 2 || o.Boot == nil {
		t.Errorf("%v, %q", err, problems)
	}
	if _, _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	if _, _, err := Open(filepath.Join(dir, "anything.bin")); err == nil {
		t.Error("a file that is no archive was opened")
	}
}

// Promise: a link out of the folder is not followed.
func TestOpenLink(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(outside, []byte("secret"), 0o644), os.Symlink(outside, filepath.Join(dir, "metrics-after.txt"))); err != nil {
		t.Fatal(err)
	}
	o, _, err := Open(dir)
	if err != nil || len(o.Metrics) > 0 {
		t.Errorf("%v, %+v", err, o)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(files["events/calm.txt"])
	f.Add(files["specs/A-spec.txt"])
	f.Fuzz(func(t *testing.T, text string) {
		events, _ := parseEvents("calm", []byte(text))
		for _, e := range events {
			if e.Time.IsZero() && !strings.Contains(text, "0001-01-01") {
				t.Errorf("event without a time: %+v", e)
			}
		}
		if s := parseSpec(text); s.Took < 0 {
			t.Errorf("%+v", s)
		}
		for line := range strings.Lines(text) {
			if l := parseLine(strings.TrimRight(line, "\n")); len(l.Text) > len(line) {
				t.Errorf("%q became %q", line, l.Text)
			}
		}
	})
}
