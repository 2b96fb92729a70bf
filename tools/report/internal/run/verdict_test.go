package run

import "testing"

// Promise: a spec that was ended because the infrastructure failed was not interrupted by
// anybody; one that was is.
func TestEndedByInfrastructure(t *testing.T) {
	ended := func() *Case {
		return &Case{Verdict: Interrupted, Kind: "interrupted", Message: "Interrupted by User", Details: "Interrupted by User"}
	}
	lost := &Shard{Status: "FAILED", Cases: []*Case{ended(), {Verdict: Infrastructure, Kind: "infrastructure", Message: "environment lost"}}}
	lost.judge()
	if c := lost.Cases[0]; lost.Verdict != Infrastructure || c.Verdict != Infrastructure || c.Message != "ended early, for the infrastructure failed" || c.Details != "" {
		t.Errorf("%s, %+v", lost.Verdict, c)
	}
	by := &Shard{Status: "FAILED", Cases: []*Case{ended()}}
	by.judge()
	if c := by.Cases[0]; by.Verdict != Interrupted || c.Verdict != Interrupted || c.Message != "Interrupted by User" {
		t.Errorf("%s, %+v", by.Verdict, c)
	}
}
