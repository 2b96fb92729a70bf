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
