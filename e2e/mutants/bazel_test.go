package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

const report = `<testsuites><testsuite><testcase name="%s" file="e2e/a_test.go"></testcase></testsuite></testsuites>`

func TestReadEvents(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "1 of 2/test.xml", fmt.Sprintf(report, "one"))
	write(t, dir, "2 of 2/test.xml", fmt.Sprintf(report, "two"))
	write(t, dir, "unit/test.xml", `<testsuites><testsuite><testcase name="unit"></testcase></testsuite></testsuites>`)
	result := func(outputs string) string {
		return `{"id":{"testResult":{"label":"//e2e:a_test","run":1,"shard":1}},"testResult":{"testActionOutput":[` + outputs + `],"status":"PASSED"}}` + "\n"
	}
	file := func(name, path string) string {
		return fmt.Sprintf(`{"name":%q,"uri":"file://%s"}`, name, strings.ReplaceAll(filepath.Join(dir, path), " ", "%20"))
	}
	for _, c := range []struct {
		name, events string
		want         string
		err          string
	}{
		{
			"shards",
			`{"id":{"started":{}},"started":{}}` + "\n" +
				result(file("test.log", "test.log")+","+file("test.xml", "1 of 2/test.xml")) +
				result(file("test.xml", "2 of 2/test.xml")) +
				`{"id":{"testSummary":{"label":"//e2e:a_test"}},"testSummary":{}}`,
			"one two", "",
		},
		{"test of the gateway", strings.ReplaceAll(result(file("test.xml", "unit/test.xml")), "//e2e:a_test", "//gateway/a:a_test"), "unit of //gateway/a:a_test", ""},
		{"no tests", `{"id":{"started":{}}}`, "", ""},
		{"no test.xml", result(file("test.log", "test.log")), "", "no test.xml"},
		{"test.xml that is gone", result(file("test.xml", "3 of 2/test.xml")), "", "//e2e:a_test"},
		{"test.xml elsewhere", result(`{"name":"test.xml","uri":"bytestream://cache/blobs/1"}`), "", "bytestream"},
		{"cut off", `{"id":`, "", "build events"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cases, err := readEvents(strings.NewReader(c.events))
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			var names []string
			for _, one := range cases {
				name := one.Name
				if one.File != "e2e/a_test.go" {
					name += " of " + one.File
				}
				names = append(names, name)
			}
			if got := strings.Join(names, " "); err == nil && got != c.want {
				t.Errorf("cases %q, want %q", got, c.want)
			}
		})
	}
}

func TestTail(t *testing.T) {
	for _, c := range []struct{ output, want string }{
		{"one\n", "one"},
		{"one\ntwo\nthree\n", "three"},
		{"nine and a half", "nd a half"},
	} {
		if got := tail([]byte(c.output), 9); got != c.want {
			t.Errorf("the last of %q is %q, want %q", c.output, got, c.want)
		}
	}
}

// The run of a mutant, with a program in Bazel's place: what it was asked to do, and
// that the mutant is in the copy then, and not afterwards.
func TestTry(t *testing.T) {
	s := &scratch{dir: t.TempDir()}
	write(t, s.dir, "test.xml", fmt.Sprintf(report, "one"))
	write(t, s.root(), "gateway/a.go", "one")
	executable(t, s, `
echo "$@" >"$0.args"
read -r line <gateway/a.go || : # no line break ends it
printf %s "$line" >"$0.saw"
for argument; do
	case "$argument" in --build_event_json_file=*) events="${argument#*=}" ;; esac
done
echo '{"id":{"testResult":{"label":"l"}},"testResult":{"testActionOutput":[{"name":"test.xml","uri":"file://`+s.dir+`/test.xml"}]}}' >"$events"
`)
	m := mutant{name: "m", scenario: "01_a", specs: "one|two", edits: []edit{{"gateway/a.go", "one", "two"}}}
	o := try(t.Context(), &bazel{scratch: s}, m)
	if o.err != nil || !o.survived() {
		t.Errorf("outcome %+v, want a survivor", o)
	}
	if saw := read(t, s.root(), "tools/bazel.saw"); saw != "two" {
		t.Errorf("Bazel saw %q", saw)
	}
	if now := read(t, s.root(), "gateway/a.go"); now != "one" {
		t.Errorf("the copy is left with %q", now)
	}
	args := read(t, s.root(), "tools/bazel.args")
	for _, want := range []string{"--output_base=" + s.outputBase() + " test ", "--test_filter=one|two", " -- //e2e:01_a_test\n"} {
		if !strings.Contains(args, want) {
			t.Errorf("Bazel is called with %s, without %q", args, want)
		}
	}
}

func TestTryOfWhatDoesNotCompile(t *testing.T) {
	s := &scratch{dir: t.TempDir()}
	write(t, s.root(), "gateway/a.go", "one")
	executable(t, s, "echo undefined: two; exit 1")
	o := try(t.Context(), &bazel{scratch: s}, mutant{name: "m", edits: []edit{{"gateway/a.go", "one", "two"}}})
	if o.err == nil || !strings.Contains(o.err.Error(), "undefined: two") || o.survived() {
		t.Errorf("outcome %+v, want an error with the compiler's", o)
	}
	if now := read(t, s.root(), "gateway/a.go"); now != "one" {
		t.Errorf("the copy is left with %q", now)
	}
}
