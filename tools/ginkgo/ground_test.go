package ginkgo

import (
	"strings"
	"testing"
)

// A suite that only leases an environment is attested all the same.
func TestGroundIsAttestedWithoutBeingAsked(t *testing.T) {
	for _, sample := range []string{"ground is changed", "ground is leased late"} {
		o := shard{sample: sample}.run(t)
		wantExit(t, o, ExitInfrastructure)
		wantLog(t, o, "attest environment: infrastructure failure", "somebody changed deployments/gateway")
		if o.property("environment") != "sha256:12" {
			t.Errorf("%s: properties: %+v", sample, o.report.Suites[0].Properties)
		}
	}
}

// Its Serial specs are alone, or refused.
func TestGroundIsTakenForSerialSpecs(t *testing.T) {
	var events []string
	for index := range 2 {
		o := shard{sample: "ground is lent", index: index, total: 2}.run(t)
		wantExit(t, o, 0)
		events = append(events, o.trace...)
	}
	if got, want := strings.Join(events, ", "), "alone, a storm begins, after each, a storm ends, after each, shared, calm reigns"; got != want {
		t.Errorf("events: %s, want %s", got, want)
	}
	failed := 0
	for index := range 2 {
		o := shard{sample: "ground is shared only", index: index, total: 2}.run(t)
		if strings.Contains(o.log, "these specs are Serial") {
			wantExit(t, o, ExitFailure)
			failed++
			if len(o.trace) > 0 {
				t.Errorf("ran %q", o.trace)
			}
		}
	}
	if failed != 1 {
		t.Errorf("%d shards refused their Serial specs, want 1", failed)
	}
}

// A pass lacks nothing of the coverage that is asked for. A failure stays one of the
// product's: nobody wants the coverage of a test that failed.
func TestGroundIsMeasured(t *testing.T) {
	for _, c := range []struct {
		sample, fails string
		exit          int
		trace         string
	}{
		{"ground is measured", "", 0, "measure, failed false"},
		{"ground is measured", "1", ExitFailure, "measure, failed true"},
		{"ground can't be measured", "", ExitInfrastructure, "measure, failed false"},
		{"ground can't be measured", "1", ExitFailure, "measure, failed true"},
	} {
		o := shard{sample: c.sample, environment: []string{"BRIDGE_FAIL=" + c.fails, "COVERAGE_DIR=" + t.TempDir()}}.run(t)
		wantExit(t, o, c.exit)
		if got := strings.Join(o.trace, ", "); got != c.trace {
			t.Errorf("%s: events %s, want %s", c.sample, got, c.trace)
		}
		switch c.exit {
		case ExitFailure:
			wantLog(t, o, "broken", "run again: tools/bazel coverage //e2e:sample_test --test_filter=")
		case ExitInfrastructure:
			wantLog(t, o, "collect coverage of environment: no coverage of gateway-0", "run again: tools/bazel coverage //e2e:sample_test\n")
			if one := o.testCase(t, "collect coverage of environment"); one.Error == nil || one.Error.Type != kindInfrastructure {
				t.Errorf("test case %+v", one)
			}
		}
	}
}
