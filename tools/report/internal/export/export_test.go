package export

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"stormgate.internal/tools/report/internal/run"
	"stormgate.internal/tools/report/internal/runtest"
)

func sample(t *testing.T) *run.Run {
	t.Helper()
	r, err := run.Load(runtest.Write(t, t.TempDir(), nil), run.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Promise: the trace has a process for each group of lanes, and only whole events.
func TestTrace(t *testing.T) {
	var out bytes.Buffer
	if err := Trace(&out, sample(t)); err != nil {
		t.Fatal(err)
	}
	var trace struct {
		TraceEvents []struct {
			Name, Ph string
			Ts, Dur  float64
			Pid, Tid int
			Args     map[string]any
		}
	}
	if err := json.Unmarshal(out.Bytes(), &trace); err != nil {
		t.Fatal(err)
	}
	processes, spans := map[int]string{}, 0
	for _, e := range trace.TraceEvents {
		switch e.Ph {
		case "M":
			if e.Name == "process_name" {
				processes[e.Pid] = e.Args["name"].(string)
			}
		case "X":
			spans++
			if e.Dur <= 0 || e.Ts < 0 || processes[e.Pid] == "" || e.Name == "" {
				t.Errorf("%+v", e)
			}
		case "i":
		default:
			t.Errorf("phase %q", e.Ph)
		}
	}
	if spans < 10 || len(processes) < 5 {
		t.Errorf("%d spans, processes %v", spans, processes)
	}
}

// Promise: JUnit has all cases of last attempts, and only what the product did is a failure.
func TestJUnit(t *testing.T) {
	r := sample(t)
	r.Shards[0].Cases[0].Name = "a\x00b\xff]]>"
	var out bytes.Buffer
	if err := JUnit(&out, r); err != nil {
		t.Fatal(err)
	}
	var report struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Name    string    `xml:"name,attr"`
				Failure *struct{} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	cases, failures := 0, 0
	for _, s := range report.Suites {
		for _, c := range s.Cases {
			cases++
			if c.Failure != nil {
				failures++
			}
		}
	}
	if cases != report.Tests || failures != report.Failures || failures != r.Counts.Product || report.Errors == 0 || len(report.Suites) != 12 {
		t.Errorf("%d cases, %d failures, %d suites, %+v", cases, failures, len(report.Suites), r.Counts)
	}
}

// Promise: the JSON export has each failure and shard.
func TestJSON(t *testing.T) {
	r := sample(t)
	var out bytes.Buffer
	if err := JSON(&out, r); err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Version != 1 || len(d.Failures) != len(r.Failures) || len(d.Shards) != len(r.Shards) || d.Verdict != run.Build || d.Shards[0].Lease == nil {
		t.Errorf("%+v", d)
	}
	if !strings.Contains(out.String(), `"headline"`) || strings.Contains(out.String(), `"Seconds"`) {
		t.Error("names are not in one form")
	}
}

// Promise: the summary names failures and commands, and is no markup of the tests' own.
func TestMarkdown(t *testing.T) {
	r := sample(t)
	r.Groups[0].Failures[0].Message = "```\n# not a heading"
	r.Groups[0].Message = "<b>`x`</b> | [y](z) @everyone"
	var out bytes.Buffer
	if err := Markdown(&out, r); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"## Test run: build", "### product: &lt;b&gt;\\`x\\`&lt;/b&gt; \\| \\[y\\](z) &#64;everyone", "````\n```\n# not a heading\n````", "tools/bazel test", "1 tests did not run"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("it lacks %q:\n%s", part, out.String())
		}
	}
}
