package testxml

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

const ours = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="4" failures="1" errors="0" skipped="1" time="7.9">
  <testsuite name="storm (shard 1 of 2)" tests="4" time="7.900" timestamp="2026-11-30T12:00:10">
    <properties>
      <property name="ginkgo.seed" value="1"></property>
      <property name="stormgate.slot" value="2"></property>
    </properties>
    <testcase name="acquire the environment" classname="e2e.storm_test" time="3.200"></testcase>
    <testcase name="A storm &lt;ends&gt;" classname="e2e.storm_test" file="e2e/storm_test.go" line="33" time="2.000">
      <properties>
        <property name="began" value="2026-11-30T12:00:14.4Z"></property>
        <property name="attempts" value="3"></property>
      </properties>
      <failure message="Expected" type="failed">Expected
    &lt;int&gt;: 1
</failure>
      <rerunFailure message="first" type="timedout">first, with more</rerunFailure>
      <rerunFailure message="second" type="failed">second</rerunFailure>
      <system-out>sent</system-out>
      <system-err>warned</system-err>
    </testcase>
    <testcase name="A storm waits" file="e2e/storm_test.go" line="40" time="0.000"><skipped message="pending"></skipped></testcase>
    <testcase name="attest environment" time="0.007"><error message="no" type="infrastructure">no answer</error></testcase>
  </testsuite>
</testsuites>
`

// Promise: all that tools/ginkgo writes of a spec is read.
func TestRead(t *testing.T) {
	report, err := Read(strings.NewReader(ours))
	if err != nil || len(report.Suites) != 1 {
		t.Fatalf("%v, %+v", err, report)
	}
	suite := report.Suites[0]
	if !suite.Began.Equal(time.Date(2026, 11, 30, 12, 0, 10, 0, time.UTC)) || suite.Duration != 7900*time.Millisecond || report.Properties()["stormgate.slot"] != "2" {
		t.Errorf("suite: %+v", suite)
	}
	if len(suite.Cases) != 4 {
		t.Fatalf("cases: %+v", suite.Cases)
	}
	setUp, spec, skipped, attest := suite.Cases[0], suite.Cases[1], suite.Cases[2], suite.Cases[3]
	if setUp.IsSpec() || setUp.Verdict != Passed || setUp.Attempts != 1 {
		t.Errorf("set-up: %+v", setUp)
	}
	if spec.Name != "A storm <ends>" || !spec.IsSpec() || spec.Line != 33 || spec.Verdict != Failed || spec.Kind != "failed" || spec.Message != "Expected" ||
		spec.Details != "Expected\n    <int>: 1" || spec.Output != "sent\nwarned" || spec.Attempts != 3 || len(spec.Earlier) != 2 || spec.Earlier[0].Details != "first, with more" ||
		!spec.Began.Equal(time.Date(2026, 11, 30, 12, 0, 14, 4e8, time.UTC)) {
		t.Errorf("spec: %+v", spec)
	}
	if skipped.Verdict != Skipped || skipped.Message != "pending" || skipped.Bad() {
		t.Errorf("skipped: %+v", skipped)
	}
	if attest.Verdict != Errored || attest.Kind != "infrastructure" || !attest.Bad() {
		t.Errorf("attest: %+v", attest)
	}
}

// Promise: of a file that ends too early, the whole cases are returned with the error.
func TestReadCutShort(t *testing.T) {
	report, err := Read(strings.NewReader(ours[:strings.Index(ours, "A storm waits")]))
	if err == nil || len(report.Suites) != 1 || len(report.Suites[0].Cases) != 2 {
		t.Errorf("%v, %+v", err, report)
	}
	if _, err := Read(strings.NewReader("")); err == nil {
		t.Error("an empty file is no report")
	}
	if report, err := Read(strings.NewReader("<testsuites></testsuites>")); err != nil || len(report.Suites) != 0 {
		t.Errorf("a report without suites: %v, %+v", err, report)
	}
	if _, err := Read(strings.NewReader("<html></html>")); err == nil {
		t.Error("a page is no report")
	}
}

// Promise: reports of rules_go and of Bazel itself are read too.
func TestReadOthers(t *testing.T) {
	for content, want := range map[string]Verdict{
		"<testsuites>\n\t<testsuite errors=\"0\" failures=\"1\" timestamp=\"2026-11-30T12:00:05.100Z\">\n\t\t<testcase classname=\"p\" name=\"TestAdd\" time=\"0.000\"><failure message=\"Failed\" type=\"\">x</failure></testcase></testsuite></testsuites>": Failed,
		`<testsuites><testsuite name="sh_test"><testcase name="sh_test" status="run" duration="1" time="1"><error message="exited with error code 1"></error></testcase><system-out>log</system-out></testsuite></testsuites>`:                                Errored,
		`<testsuite name="bare"><testcase name="a"/></testsuite>`:                                                               Passed,
		`<testsuites><testsuite name="outer"><testsuite name="inner"><testcase name="a"/></testsuite></testsuite></testsuites>`: Passed,
		`<testsuites><testcase name="no suite"><skipped/></testcase></testsuites>`:                                              Skipped,
	} {
		report, err := Read(strings.NewReader(content))
		if err != nil {
			t.Errorf("%s: %v", content, err)
			continue
		}
		last := report.Suites[len(report.Suites)-1]
		if len(last.Cases) != 1 || last.Cases[0].Verdict != want {
			t.Errorf("%s: %+v", content, report)
		}
	}
}

// Promise: a time that can't be is none.
func TestSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{"1.5": 1500 * time.Millisecond, "1,234.5": 1234500 * time.Millisecond, "-1": 0, "NaN": 0, "1e300": 0, "soon": 0, "": 0} {
		if got := seconds(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(ours))
	f.Fuzz(func(t *testing.T, data []byte) {
		report, _ := Read(bytes.NewReader(data))
		for _, s := range report.Suites {
			for _, c := range s.Cases {
				if c.Duration < 0 || c.Attempts < 1 {
					t.Errorf("%+v", c)
				}
			}
		}
	})
}
