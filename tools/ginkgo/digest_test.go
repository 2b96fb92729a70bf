package ginkgo

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The command in the digest must run again what failed, with the steps that an Ordered
// container needs.
func TestRerunCommand(t *testing.T) {
	for sample, want := range map[string]string{
		"failing":      `tools/bazel test //e2e:sample_test --test_filter='^outcomes, bad$|^outcomes, panics$' --test_sharding_strategy=disabled`,
		"failing step": `tools/bazel test //e2e:sample_test --test_filter='^story \(long\)( |$)' --test_sharding_strategy=disabled`,
		"before suite": `tools/bazel test //e2e:sample_test`,
	} {
		o := shard{sample: sample}.run(t)
		wantExit(t, o, 1)
		last := o.log[strings.LastIndex(strings.TrimSpace(o.log), "\n")+1:]
		if last != "run again: "+want+"\n" {
			t.Errorf("%s: the log ends with %q", sample, last)
		}
	}
	again := shard{sample: "failing step", filter: `^story \(long\)( |$)`}.run(t)
	wantExit(t, again, 1)
	if !slices.Equal(again.trace, []string{"story (long) begins"}) {
		t.Errorf("running it again ran %q", again.trace)
	}
	outside := shard{sample: "failing", environment: []string{"TEST_TARGET="}}.run(t)
	wantLog(t, outside, "run again: go test -run '^outcomes, bad$|^outcomes, panics$'")
}

// What failed in some order fails again only in that order.
func TestRerunCommandKeepsTheOrder(t *testing.T) {
	random := []string{"-ginkgo.randomize-all", "-ginkgo.seed=7"}
	wantLog(t, shard{sample: "failing", args: random}.run(t),
		" --test_sharding_strategy=disabled --test_arg=-ginkgo.seed=7 --test_arg=-ginkgo.randomize-all\n")
	wantLog(t, shard{sample: "failing", args: []string{"-test.shuffle=7"}}.run(t),
		" --test_sharding_strategy=disabled --test_arg=-ginkgo.seed=7 --test_arg=-ginkgo.randomize-all\n")
	wantLog(t, shard{sample: "failing", args: random, environment: []string{"TEST_TARGET="}}.run(t), " -ginkgo.seed=7 -ginkgo.randomize-all\n")
}

// Without Bazel every process has a time of start as its seed; the one that is
// printed must be that of the specs.
func TestSeedOfSpecsIsTheOneReported(t *testing.T) {
	o := shard{sample: "runner started at another time", environment: []string{"TEST_TARGET="}}.run(t)
	wantExit(t, o, ExitFailure)
	if len(o.trace) != 1 {
		t.Fatalf("ran %q", o.trace)
	}
	wantLog(t, o, "run again: go test -run '^anything fails$' "+o.trace[0]+"\n")
	if got := "-ginkgo.seed=" + o.property(seedProperty); got != o.trace[0] {
		t.Errorf("seed in test.xml: %s, of the specs: %s", got, o.trace[0])
	}
}

func TestDigestIsAScreenful(t *testing.T) {
	for _, sample := range []string{"failing", "many failures"} {
		o := shard{sample: sample}.run(t)
		_, digest, found := strings.Cut(o.log, "--- FAILED: //e2e:sample_test: ")
		if !found {
			t.Fatalf("no digest:\n%s", o.log)
		}
		if lines := strings.Count(digest, "\n"); lines > digestLines {
			t.Errorf("%s: the digest has %d lines:\n%s", sample, lines, digest)
		}
		if !strings.Contains(digest, "samples_test.go:") {
			t.Errorf("the digest has no location:\n%s", digest)
		}
	}
}

// With --runs_per_test each run has a seed of its own: running it again alone
// needs that seed, and the artifacts are in that run's folder.
func TestDigestOfARun(t *testing.T) {
	o := shard{sample: "failing", index: 0, total: 1, environment: []string{"TEST_RUN_NUMBER=4", "TEST_RANDOM_SEED=4"}}.run(t)
	wantExit(t, o, 1)
	wantLog(t, o, "artifacts: bazel-testlogs/e2e/sample_test/run_4_of_*/test.outputs\n",
		"--test_sharding_strategy=disabled --test_arg=-ginkgo.seed=4\n")
	if got := o.property(seedProperty); got != "4" {
		t.Errorf("seed in test.xml: %q", got)
	}
	if got := o.property("bazel.run"); got != "4" {
		t.Errorf("run in test.xml: %q", got)
	}
}

func TestLogsFolder(t *testing.T) {
	for want, p := range map[string]protocol{
		"e2e/storm_test":                            {target: "//e2e:storm_test", shards: 1},
		"top_test":                                  {target: "//:top_test", shards: 1},
		"e2e/storm_test/shard_2_of_3":               {target: "@@//e2e:storm_test", shard: 1, shards: 3},
		"external/other+/a/b/c_test":                {target: "@@other+//a/b:c_test", shards: 1},
		"e2e/storm_test/shard_1_of_2_run_3_of_*":    {target: "//e2e:storm_test", shards: 2, runNumber: "3"},
		"e2e/storm_test/sub/folder_test/run_1_of_*": {target: "//e2e/storm_test:sub/folder_test", shards: 1, runNumber: "1"},
	} {
		if got := p.logsFolder(); got != want {
			t.Errorf("logs of %+v: %q, want %q", p, got, want)
		}
	}
}

// A failed spec's file has what the log and test.xml cut; specs that passed
// leave nothing behind.
func TestFilesOfFailedSpecs(t *testing.T) {
	o := shard{sample: "loud failure"}.run(t)
	wantExit(t, o, 1)
	files, err := os.ReadDir(filepath.Join(o.dir, "outputs", specsFolder))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
	}
	if want := []string{"loud-a-b-2.txt", "loud-a-b.txt"}; !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	content := o.file(t, "outputs", specsFolder, "loud-a-b.txt")
	for _, part := range []string{"loud a/b\nat:     ", "samples_test.go:", "\nbegan:  2", "result: failed", "too loud", "line 39999\n"} {
		if !strings.Contains(content, part) {
			t.Errorf("the file lacks %q: %.400s", part, content)
		}
	}
	if xml := o.testCase(t, "loud a/b").Output.Text; len(xml) > outputLimit+100 || !strings.Contains(xml, "bytes left out") {
		t.Errorf("test.xml has %d bytes of output", len(xml))
	}
	if quiet := (shard{sample: "varied"}).run(t); quiet.exit != 0 || len(quiet.report.Suites) != 1 {
		t.Errorf("exit code %d\n%s", quiet.exit, quiet.log)
	} else if _, err := os.Stat(filepath.Join(quiet.dir, "outputs", specsFolder)); err == nil {
		t.Error("specs that passed left files")
	}
}

// The filter that the digest prints selects the spec that failed, with any text. It is
// one word for the shell and one line in the log.
func FuzzRerunFilter(f *testing.F) {
	f.Add("story (long) begins", "story (long) ends")
	f.Add("a|b.*[c]{2}$ \\d 'quoted' \"x\"", "a")
	f.Add("two\nlines\tand a tab", "two")
	f.Add("\xff broken", "\ufffd broken")
	f.Add("in containers without a text", "")
	f.Fuzz(func(t *testing.T, text, other string) {
		expression := rerunFilter([]spec{{Text: text}})
		if clean := oneLine(expression); clean != strings.Join(strings.Fields(expression), " ") || strings.ContainsAny(expression, "\n\r\t\x00") {
			t.Fatalf("filter of %q can't be printed in a line: %q", text, expression)
		}
		re, err := regexp.Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		chosen := filter{only: re}
		if !chosen.selects("suite", spec{Text: text}) {
			t.Fatalf("%q does not select %q", expression, text)
		}
		if string([]rune(text)) != string([]rune(other)) && chosen.selects("suite", spec{Text: other}) {
			t.Fatalf("%q selects %q", expression, other)
		}
		if got := unquote(t, shellQuote(expression)); got != expression {
			t.Fatalf("the shell reads %q as %q", expression, got)
		}
		// A step of an Ordered container, under one without a text: with it come the
		// other steps.
		step := func(own string) spec {
			s := spec{Ordered: true, Containers: []level{{}, {Text: other}}, Leaf: level{Text: own}}
			s.Text = strings.Join(slices.DeleteFunc([]string{"", other, own}, func(text string) bool { return text == "" }), " ")
			return s
		}
		expression = rerunFilter([]spec{step(text)})
		if strings.ContainsAny(expression, "\n\r\t\x00") {
			t.Fatalf("filter of a step of %q can't be printed in a line: %q", other, expression)
		}
		if re, err = regexp.Compile(expression); err != nil {
			t.Fatal(err)
		}
		for _, s := range []spec{step(text), step("the step before"), step("")} {
			if chosen := (filter{only: re}); !chosen.selects("suite", s) {
				t.Fatalf("%q does not select %q", expression, s.Text)
			}
		}
	})
}

// unquote reads a word as a POSIX shell does: single quotes, and a backslash
// outside of them.
func unquote(t *testing.T, word string) string {
	var text strings.Builder
	quoted, escaped := false, false
	for _, b := range []byte(word) {
		switch {
		case escaped:
			escaped = false
			text.WriteByte(b)
		case b == '\'':
			quoted = !quoted
		case b == '\\' && !quoted:
			escaped = true
		case !quoted:
			t.Fatalf("%q leaves %q to the shell", word, b)
		default:
			text.WriteByte(b)
		}
	}
	if quoted || escaped {
		t.Fatalf("%q does not end", word)
	}
	return text.String()
}

func FuzzFileName(f *testing.F) {
	for _, seed := range []string{"", "..", "a/b", "-rf", strings.Repeat("x y", 100), "\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name := fileName(text)
		if name == "" || len(name) > 120 || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || notInFileNames.MatchString(strings.ReplaceAll(name, "-", "")) {
			t.Fatalf("file name of %q: %q", text, name)
		}
	})
}
