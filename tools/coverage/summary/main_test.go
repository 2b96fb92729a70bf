package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const unit = `SF:gateway/storm/window.go
DA:1,1
DA:2,0
DA:3,0
end_of_record
SF:gateway/storm/group.go
DA:1,1
end_of_record
SF:gateway/doc.go
end_of_record
SF:tools/x.go
DA:1,0
end_of_record
`

const pods = `SF:gateway/storm/window.go
DA:1,1
DA:2,5
DA:3,0
end_of_record
SF:gateway/app/app.go
DA:1,1
DA:2,1
end_of_record
`

func run(t *testing.T, workspace string, args ...string) (string, error) {
	t.Helper()
	t.Setenv("BUILD_WORKSPACE_DIRECTORY", workspace)
	var out strings.Builder
	cmd := command()
	cmd.SetOut(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A report that lacks a file counts its lines as not executed, and a file without lines
// is named.
func TestComparesReports(t *testing.T) {
	dir := files(t, map[string]string{"unit.dat": unit, "pods.dat": pods})
	got, err := run(t, "", "--under=gateway", "unit="+filepath.Join(dir, "unit.dat"), "pods="+filepath.Join(dir, "pods.dat"))
	if err != nil {
		t.Fatal(err)
	}
	want := `
  lines    unit     pods  together
      2   0.0 %  100.0 %   100.0 %  gateway/app
      4  50.0 %   50.0 %    75.0 %  gateway/storm
      6  33.3 %   66.7 %    83.3 %  all
not counted, since no program with them ran (or they have no code): gateway/doc.go
`
	if got != want[1:] {
		t.Errorf("got\n%s\nwant%s", got, want)
	}
}

// Without arguments it is the report of the last `bazel coverage`.
func TestLastReportByFile(t *testing.T) {
	got, err := run(t, files(t, map[string]string{last: pods}), "--files")
	if err != nil {
		t.Fatal(err)
	}
	want := `
  lines  covered
      2  100.0 %  gateway/app/app.go
      3   66.7 %  gateway/storm/window.go
      5   80.0 %  all
`
	if got != want[1:] {
		t.Errorf("got\n%s\nwant%s", got, want)
	}
}

// What pods left in the outputs of tests is added up, under the workspace's names.
func TestDirectoryOfPods(t *testing.T) {
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join("..", "covdata", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	const hash = "11334ee6eb9112878f120c3f21c3b1af"
	const sources = `{"example.com/tiny/main.go": "main.go", "example.com/tiny/lib/lib.go": "lib/lib.go"}`
	dir := files(t, map[string]string{
		"logs/one/coverage/calm/gateway/p/covmeta." + hash:              read("covmeta.1"),
		"logs/one/coverage/calm/gateway/p/covcounters." + hash + ".1.1": read("covcounters.1"),
		"logs/one/coverage/calm/gateway/p/sources.json":                 sources,
		"logs/two/coverage/calm/gateway/q/covmeta." + hash:              read("covmeta.1"),
		"logs/two/coverage/calm/gateway/q/covcounters." + hash + ".1.1": read("covcounters.2"),
		"logs/two/coverage/calm/gateway/q/sources.json":                 sources,
		"logs/none/test.log":                 "",
		"logs/packed/outputs.zip":            "",
		"old/p/covmeta." + hash:              read("covmeta.1"),
		"old/p/covcounters." + hash + ".1.1": read("covcounters.1"),
		"old/p/sources.json":                 sources,
		// Of another build, in which both files changed places.
		"old/q/covmeta." + hash:                read("covmeta.1"),
		"old/q/covcounters." + hash + ".1.1":   read("covcounters.1"),
		"old/q/sources.json":                   `{"example.com/tiny/main.go": "lib/lib.go", "example.com/tiny/lib/lib.go": "main.go"}`,
		"unknown/covmeta." + hash:              read("covmeta.1"),
		"unknown/covcounters." + hash + ".1.1": read("covcounters.1"),
		"unknown/sources.json":                 `{"example.com/tiny/main.go": "main.go"}`,
		"bad/covmeta." + hash:                  "x",
	})
	one, err := run(t, dir, "--files", "pods="+filepath.Join(dir, "logs", "one"))
	if err != nil {
		t.Fatal(err)
	}
	both, err := run(t, dir, "--files", "pods="+filepath.Join(dir, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string]string{"58.3 %  main.go": one, "75.0 %  main.go": both, "100.0 %  lib/lib.go": both} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for name, want := range map[string]string{
		"logs/none": "no covmeta.* lies below", "logs/packed": "outputs.zip is packed", "old": "they are of two builds",
		"unknown": "does not say which source example.com/tiny/lib/lib.go is", "bad": "covmeta." + hash,
	} {
		if _, err := run(t, dir, "pods="+filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
}

func TestErrors(t *testing.T) {
	dir := files(t, map[string]string{"unit.dat": unit, "bad.dat": "SF:x\nDA:x\n", "empty.dat": ""})
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "tools/bazel coverage TARGETS"},
		{[]string{at("unit.dat")}, "is not NAME=REPORT"},
		{[]string{"a=" + at("nothing.dat")}, "tools/bazel coverage TARGETS"},
		{[]string{"a=" + at("bad.dat")}, "bad.dat:2"},
		{[]string{"a=" + at("empty.dat")}, "no line was measured"},
		{[]string{"--under=nowhere", "a=" + at("unit.dat")}, "no line was measured in nowhere"},
		{[]string{"a=" + at("unit.dat"), "a=" + at("unit.dat")}, "given twice"},
	} {
		if _, err := run(t, dir, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.args, err, c.want)
		}
	}
}
