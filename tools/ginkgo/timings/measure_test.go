package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testLogs writes test.xml files: folder -> test cases.
func testLogs(t *testing.T, files map[string]string) (workspace, logs string) {
	t.Helper()
	workspace = t.TempDir()
	logs = filepath.Join(workspace, "output", "testlogs")
	for _, folder := range []string{logs, filepath.Join(workspace, "e2e")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for folder, cases := range files {
		file := filepath.Join(logs, folder, "test.xml")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(cases), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(workspace, "bazel-testlogs")
	if err := os.Symlink(logs, link); err != nil {
		t.Fatal(err)
	}
	return workspace, link
}

func suite(cases ...string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><testsuites><testsuite name="x">` +
		`<properties><property name="ginkgo.seed" value="1"></property></properties>` +
		strings.Join(cases, "") + `</testsuite></testsuites>`
}

func passed(text string, seconds float64) string {
	return fmt.Sprintf(`<testcase name="%s" classname="e2e.x" file="e2e/x_test.go" line="3" time="%.3f"></testcase>`, text, seconds)
}

func TestTimingsOfLastRuns(t *testing.T) {
	workspace, logs := testLogs(t, map[string]string{
		"e2e/storm_test/shard_1_of_2_run_1_of_3": suite(passed("storm &lt;opens&gt;", 1.04), `<testcase name="set up" time="9"></testcase>`),
		"e2e/storm_test/shard_1_of_2_run_2_of_3": suite(passed("storm &lt;opens&gt;", 7)),
		"e2e/storm_test/shard_1_of_2_run_3_of_3": suite(passed("storm &lt;opens&gt;", 1.16)),
		"e2e/storm_test/shard_2_of_2_run_1_of_3": suite(
			passed("storm closes", 0.001),
			`<testcase name="storm breaks" file="a" time="30"><failure message="no"></failure></testcase>`,
			`<testcase name="storm waits" file="a" time="30"><error message="no"></error></testcase>`,
			`<testcase name="storm rests" file="a" time="0"><skipped></skipped></testcase>`),
		"e2e/whole_test":                suite(passed("not sharded", 4)),
		"unit/go_test/shard_1_of_2":     `<testsuites><testsuite name="go"><testcase name="TestX" file="a" time="1"></testcase></testsuite></testsuites>`,
		"unit/killed_test/shard_1_of_2": `<testsuites><testsu`,
	})
	var out strings.Builder
	if err := run(&out, workspace, logs, nil); err != nil {
		t.Fatal(err)
	}
	if want := "//e2e:storm_test: 2 specs, 1.3 s in 2 shards; the longest takes 1.2 s: storm <opens>\n"; out.String() != want {
		t.Errorf("summary %q, want %q", out.String(), want)
	}
	content, err := os.ReadFile(filepath.Join(workspace, "e2e", "storm_test.timings.json"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"storm <opens>\": 1.2,\n  \"storm closes\": 0.1\n}\n"; string(content) != want {
		t.Errorf("timings %s, want %s", content, want)
	}
	if _, err := os.Stat(filepath.Join(workspace, "unit")); err == nil {
		t.Error("timings were written for tests that do not run under tools/ginkgo")
	}
}

// Folders of an earlier shard_count stay behind; specs that were only there are
// gone from the suite, or were measured again.
func TestOldShardsDontCount(t *testing.T) {
	workspace, logs := testLogs(t, map[string]string{
		"e2e/storm_test/shard_1_of_2": suite(passed("gone", 5)),
		"e2e/storm_test/shard_1_of_3": suite(passed("here", 1)),
		"e2e/storm_test/shard_3_of_3": suite(passed("there", 1)),
		"e2e/storm_test/shard_1_of_4": suite(passed("long gone", 5)),
	})
	hourAgo := time.Now().Add(-time.Hour)
	for _, old := range []string{"shard_1_of_2", "shard_1_of_4"} {
		if err := os.Chtimes(filepath.Join(logs, "e2e/storm_test", old, "test.xml"), hourAgo, hourAgo); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(&strings.Builder{}, workspace, logs, []string{"//e2e:storm_test"}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(workspace, "e2e", "storm_test.timings.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]float64
	if err := json.Unmarshal(content, &got); err != nil || !maps.Equal(got, map[string]float64{"here": 1, "there": 1}) {
		t.Errorf("timings %v, error %v", got, err)
	}
}

func TestNothingMeasured(t *testing.T) {
	workspace, logs := testLogs(t, map[string]string{"e2e/storm_test/shard_1_of_2": suite(passed("here", 1))})
	for _, c := range []struct {
		logs   string
		labels []string
		want   string
	}{
		{logs, []string{"//e2e:other_test"}, "//e2e:other_test has no test logs"},
		{filepath.Join(workspace, "nowhere"), nil, "run the tests first"},
		{filepath.Join(workspace, "e2e"), nil, "no test log of a sharded Ginkgo test"},
	} {
		err := run(&strings.Builder{}, workspace, c.logs, c.labels)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	unwritable := filepath.Join(workspace, "missing")
	if err := run(&strings.Builder{}, unwritable, logs, nil); err == nil || !strings.Contains(err.Error(), "write timings") {
		t.Errorf("error %v", err)
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(suite(passed("a", 1))))
	f.Add([]byte(suite(`<testcase name="a" file="b" time="NaN"></testcase>`)))
	f.Add([]byte(suite(`<testcase name="a" file="b" time="-Inf"></testcase>`)))
	f.Fuzz(func(t *testing.T, content []byte) {
		one := &target{specs: parseReport(content), shards: "1"}
		for text, median := range one.medians() {
			if !(median >= 0.1) {
				t.Fatalf("%q takes %v", text, median)
			}
		}
		if _, err := json.Marshal(one.medians()); err != nil {
			t.Fatal(err)
		}
		_ = one.summary()
	})
}
