package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"stormgate.internal/tools/affected/truth/internal/actionkeys"
	"stormgate.internal/tools/affected/truth/internal/bazel"
	"stormgate.internal/tools/affected/truth/internal/gittree"
)

const answerText = `{
  "version": 1,
  "base": {"name": "base"},
  "tests": [
    {"label": "//p:a", "kind": "sh_test", "state": "changed", "reason": "//p:a <- data p/in <- p/in modified"},
    {"label": "//p:b", "kind": "sh_test", "state": "new", "reason": "//p:b <- p/BUILD.bazel modified"},
    {"label": "//p:e", "kind": "sh_test", "state": "always", "reason": "//p:e <- tag external"}
  ],
  "removed": ["//p:c"]
}`

func TestReadAnswer(t *testing.T) {
	got, err := readAnswer([]byte(answerText))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"//p:a": "//p:a <- data p/in <- p/in modified",
		"//p:b": "//p:b <- p/BUILD.bazel modified",
		"//p:c": "//p:c is removed",
		"//p:e": "//p:e <- tag external",
	}
	if !maps.Equal(got.reasons, want) || !maps.Equal(got.always, map[string]bool{"//p:e": true}) {
		t.Errorf("answer is %q, of which run always %v; want %q", got.reasons, got.always, want)
	}
	for text, want := range map[string]string{
		`{"version": 2}`: "has version 2, want 1",
		`{"version": `:   "read affected's JSON",
		"":               "read affected's JSON",
	} {
		if _, err := readAnswer([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want one with %q", text, err, want)
		}
	}
}

func TestChangedIsWhatRunsAgainOrCameOrWent(t *testing.T) {
	before := map[string]bazel.Test{"//p:same": {Shards: 1}, "//p:fresh": {Shards: 1, Fresh: true}, "//p:split": {Shards: 2}, "//p:gone": {Shards: 1}}
	after := map[string]bazel.Test{"//p:same": {Shards: 1}, "//p:fresh": {Shards: 1, Fresh: true}, "//p:split": {Shards: 1}, "//p:new": {Shards: 1, Fresh: true}}
	want := map[string]string{"//p:fresh": "another key", "//p:split": "other shards", "//p:gone": "no longer run", "//p:new": "new"}
	if got := changed(before, after); !maps.Equal(got, want) {
		t.Errorf("changed are %q, want %q", got, want)
	}
	keys := func(labels ...string) map[string]actionkeys.Key {
		m := map[string]actionkeys.Key{}
		for _, l := range labels {
			m[l[:1]] = actionkeys.Key([]byte(strings.Repeat(l[1:], 32)))
		}
		return m
	}
	wantKeys := map[string]string{"b": "another key", "c": "no longer there", "d": "new"}
	if got := changedKeys(keys("a1", "b1", "c1"), keys("a1", "b2", "d1")); !maps.Equal(got, wantKeys) {
		t.Errorf("changed keys are %q, want %q", got, wantKeys)
	}
}

func TestCompareNamesMissedAndBeyond(t *testing.T) {
	o := compare(outcome{kind: "k", name: "n"}, map[string]string{"//p:a": "new", "//p:m": "another key", "//p:always": "another key"}, map[string]bool{"//p:c": true},
		selection{reasons: map[string]string{"//p:a": "ra", "//p:b": "rb", "//p:c": "rc", "//p:always": "r", "//p:idle": "r"}, always: map[string]bool{"//p:always": true, "//p:idle": true}})
	want := outcome{kind: "k", name: "n", selected: 4, truth: 3, missed: []string{"//p:m (another key)"}, beyond: []beyond{{"//p:b", "rb", false}, {"//p:c", "rc", true}}}
	if got, want := fmt.Sprintf("%+v", o), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("outcome is %s, want %s", got, want)
	}
}

func TestReportKeepsTheTwoPromises(t *testing.T) {
	good := outcome{kind: "k", name: "good", selected: 20, truth: 19, beyond: []beyond{{"//p:b", "//p:b <- data <- p/in modified", true}}}
	wide := outcome{kind: "w", name: "wide", selected: 3, truth: 1, beyond: []beyond{{"//p:b", "//p:b <- x <- MODULE.bazel modified", false}, {"//p:c", "//p:c <- MODULE.bazel modified", false}}}
	missing := outcome{kind: "k", name: "missing", selected: 1, truth: 2, missed: []string{"//p:m (another key)"}}
	broken := outcome{kind: "k", name: "broken", err: errNothing}
	odd := wide
	odd.setup = true
	for _, c := range []struct {
		name     string
		outcomes []outcome
		part     bool
		fails    bool
		lines    []string
	}{
		{"all well", []outcome{good}, false, false, []string{"| k | 1 | 20 | 19 | 0 | 1 | 1 |", "| all | 1 | 20 | 19 | 0 | 1 | 1 |", "  k: good: //p:b <- data <- p/in modified (cut off)", "2 passed, 0 failed"}},
		{"one missed", []outcome{good, missing}, false, true, []string{"FAILED k: missing: missed //p:m (another key)", "2 passed, 1 failed"}},
		{"too many beyond", []outcome{good, wide}, false, true, []string{"FAILED 3 of 23 selections are beyond truth, more than 5 %", "| w | 1 | 3 | 1 | 0 | 2 | 0 |", "  w: wide: //p:b <- x <- MODULE.bazel modified, and 1 more tests for the same change", "2 passed, 1 failed"}},
		{"too many beyond on a set-up", []outcome{good, odd}, false, true, []string{"FAILED 3 of 23 selections are beyond truth, more than 5 %", "| on set-ups | 1 | 3 | 1 | 0 | 2 | 0 |", "on set-ups: beyond truth are 66.7 % of the selections, without those cut off 66.7 %", "2 passed, 1 failed"}},
		{"too many beyond in a part", []outcome{good, wide}, true, false, []string{"without set-ups: beyond truth are 13.0 % of the selections, without those cut off 8.7 %", "2 passed, 0 failed"}},
		{"one missed in a part", []outcome{good, missing}, true, true, []string{"1 passed, 1 failed"}},
		{"one without an answer", []outcome{good, broken}, false, true, []string{"FAILED k: broken: nothing", "| k | 1 | 20 |", "2 passed, 1 failed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			if err := report(&out, c.outcomes, !c.part); (err != nil) != c.fails {
				t.Errorf("error is %v, want one: %v", err, c.fails)
			}
			for _, line := range c.lines {
				if !strings.Contains(out.String(), line) {
					t.Errorf("report lacks %q:\n%s", line, &out)
				}
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != c.lines[len(c.lines)-1] {
				t.Errorf("last line is %q", last)
			}
		})
	}
}

var errNothing = errorString("nothing")

type errorString string

func (e errorString) Error() string { return string(e) }

func TestTestFlagsAreThoseOfTestAlone(t *testing.T) {
	rc := "build --a\ntest --b --c=1 # why\n  test\t--d\ntest:config --e\n# test --f\ntest\ncommon --g\n"
	if got, want := testFlags(rc), []string{"--b", "--c=1", "--d"}; !slices.Equal(got, want) {
		t.Errorf("flags are %q, want %q", got, want)
	}
}

func TestOwnChangesAreThirty(t *testing.T) {
	changes := ownChanges()
	if len(changes) < 30 {
		t.Errorf("%d changes of this repository, want at least 30", len(changes))
	}
	names := map[string]bool{}
	for _, c := range changes {
		if names[c.Kind+c.Name] {
			t.Errorf("two changes are named %s: %s", c.Kind, c.Name)
		}
		names[c.Kind+c.Name] = true
		if !strings.HasPrefix(c.Kind, "own: ") {
			t.Errorf("kind %q is not marked as one of this repository's", c.Kind)
		}
	}
}

// A finding of other files, of another Bazel or of other rules would be a wrong truth.
func TestTruthsAreRememberedForTheSameFilesAndBazelOnly(t *testing.T) {
	dir := t.TempDir()
	base := gittree.Tree{"a": {Mode: gittree.Regular, Content: "1"}}
	head := gittree.Tree{"a": {Mode: gittree.Regular, Content: "2"}}
	open := func(fingerprint string) *truths {
		t.Helper()
		known, word, err := openTruths(dir, fingerprint)
		if err != nil || word != "" {
			t.Fatal(word, err)
		}
		return known
	}
	first := open("bazel 1")
	want := finding{Tests: []string{"//p:a", "//p:b"}, Truth: map[string]string{"//p:a": otherKey}, CutOff: []string{"//p:b"}}
	if err := first.remember(first.name(base, head), want); err != nil {
		t.Fatal(err)
	}
	again := open("bazel 1")
	if got := again.known[again.name(base, head)]; !reflect.DeepEqual(got, want) {
		t.Errorf("remembered is %+v, want %+v", got, want)
	}
	other := open("bazel 2")
	executable := gittree.Tree{"a": {Mode: gittree.Executable, Content: "2"}}
	for what, name := range map[string]string{
		"another Bazel": other.name(base, head), "another base": again.name(executable, head), "another mode": again.name(base, executable),
		"the way back": again.name(head, base),
	} {
		if _, ok := again.known[name]; ok {
			t.Errorf("%s has the same name", what)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "truths.json"), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if known, word, err := openTruths(dir, ""); err != nil || len(known.known) > 0 || !strings.Contains(word, "all is found out again") {
		t.Errorf("out of a torn file: %v, %q (%v)", known, word, err)
	}
}

func TestFingerprintFollowsWhatIsRunAsBazel(t *testing.T) {
	repository := t.TempDir()
	write := func(path, content string) {
		t.Helper()
		path = filepath.Join(repository, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("tools/bazel", "one")
	write("tools/offline/setup.sh", "one")
	write("tools/other", "one")
	fingerprint := func(version string) string {
		t.Helper()
		f, err := fingerprintOf(version, repository)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := fingerprint("1")
	write("tools/other", "two")
	if fingerprint("1") != first {
		t.Error("it follows a file that has no say")
	}
	if fingerprint("2") == first {
		t.Error("it does not follow the version")
	}
	write("tools/offline/setup.sh", "two")
	if fingerprint("1") == first {
		t.Error("it does not follow tools/offline")
	}
	if _, err := fingerprintOf("1", t.TempDir()); err == nil {
		t.Error("a directory that is not stormgate's has one")
	}
}
