package testxml

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const report = `<testsuites><testsuite name="//e2e:a_test">
<properties><property name="ginkgo.seed" value="1"></property><property name="environment" value="sha256:12"></property></properties>
<testcase name="acquire the environment" classname="e2e.a_test"><error message="no cluster" type="infrastructure">no cluster</error></testcase>
<testcase name="one" file="e2e/a_test.go" line="1"></testcase>
<testcase name="two" file="e2e/a_test.go" line="2"><failure message="wanted 1" type="failed">wanted 1</failure><system-out>x</system-out></testcase>
<testcase name="three" file="e2e/a_test.go" line="3"><error message="nil" type="panicked"></error></testcase>
<testcase name="four" file="e2e/a_test.go" line="4"><skipped message="not run"></skipped></testcase>
<testcase name="five" file="e2e/a_test.go" line="5"><properties><property name="attempts" value="3"></property></properties><flakyFailure message="a" type="failed">a</flakyFailure><flakyFailure message="b" type="failed">b</flakyFailure></testcase>
<testcase name="six" file="e2e/a_test.go" line="6"><failure message="c" type="failed">c</failure><rerunFailure message="b" type="failed">b</rerunFailure></testcase>
<testcase name="attest environment" classname="e2e.a_test"><failure message="env was changed" type="attestation">env was changed</failure></testcase>
</testsuite></testsuites>`

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.xml")
	if err := os.WriteFile(file, []byte(report), 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []Case{
		{Name: "acquire the environment", Verdict: Errored, Kind: Infrastructure, Message: "no cluster"},
		{Name: "one", File: "e2e/a_test.go", Verdict: Passed},
		{Name: "two", File: "e2e/a_test.go", Verdict: Failed, Kind: "failed", Message: "wanted 1"},
		{Name: "three", File: "e2e/a_test.go", Verdict: Errored, Kind: "panicked", Message: "nil"},
		{Name: "four", File: "e2e/a_test.go", Verdict: Skipped, Message: "not run"},
		{Name: "five", File: "e2e/a_test.go", Verdict: Passed, Retries: 2},
		{Name: "six", File: "e2e/a_test.go", Verdict: Failed, Kind: "failed", Message: "c", Retries: 1},
		{Name: "attest environment", Verdict: Failed, Kind: Attestation, Message: "env was changed"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("cases\n%+v, want\n%+v", got, want)
	}
	properties, err := Properties(file)
	if want := map[string]string{"ginkgo.seed": "1", "environment": "sha256:12"}; err != nil || !maps.Equal(properties, want) {
		t.Errorf("properties %v, %v; want %v", properties, err, want)
	}
	if got[0].IsSpec() || !got[1].IsSpec() {
		t.Errorf("specs are those with a file: %v, %v", got[0].IsSpec(), got[1].IsSpec())
	}
}

func TestReadFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.xml")
	if _, err := Read(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := Properties(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("properties of a file that is not there: %v", err)
	}
	twice := `<testsuites><testsuite><properties><property name="a" value="1"/><property name="a" value="2"/></properties></testsuite></testsuites>`
	if err := os.WriteFile(file, []byte(twice), 0o666); err != nil {
		t.Fatal(err)
	}
	if properties, err := Properties(file); err == nil {
		t.Errorf("a property with two values: %v", properties)
	}
	if err := os.WriteFile(file, []byte("<testsuites>"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil {
		t.Error("half a file reads without an error")
	}
}
