package suite

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	remediationv1alpha1 "stormgate.internal/gateway/api/v1alpha1"
)

var sample = Alert{Name: "High", Namespace: "tenant-a", Pod: "api-1", Severity: "warning"}

func created() Reply {
	return Reply{
		Code: 201, Status: "created", Message: "m", Fingerprint: sample.Fingerprint(),
		RemediationRequestName: "rr-" + sample.Fingerprint()[:12] + "-1700000000", RemediationRequestNamespace: sample.Namespace,
		Environment: "unknown", Priority: "P2", RemediationPath: "conservative",
	}
}

func repeated() Reply {
	return Reply{
		Code: 202, Status: "duplicate", Message: "m", Fingerprint: sample.Fingerprint(), Duplicate: true,
		RemediationRequestName: "rr-1", RemediationRequestNamespace: sample.Namespace,
		Metadata: &DuplicateMetadata{Fingerprint: sample.Fingerprint(), Count: 2, RemediationRequestRef: "tenant-a/rr-1"},
	}
}

func changed[T any](value T, change func(*T)) T {
	change(&value)
	return value
}

// A matcher that lets one of these through would let a broken gateway through.
func TestReplyMatchers(t *testing.T) {
	for _, c := range []struct {
		name    string
		matcher types.GomegaMatcher
		reply   Reply
		want    bool
	}{
		{"created", BeCreatedFor(sample), created(), true},
		{"created with 202", BeCreatedFor(sample), changed(created(), func(r *Reply) { r.Code = 202 }), false},
		{"created as duplicate", BeCreatedFor(sample), changed(created(), func(r *Reply) { r.Duplicate = true }), false},
		{"created without a name", BeCreatedFor(sample), changed(created(), func(r *Reply) { r.RemediationRequestName = "" }), false},
		{"created elsewhere", BeCreatedFor(sample), changed(created(), func(r *Reply) { r.RemediationRequestNamespace = "default" }), false},
		{"created as storm", BeCreatedFor(sample), changed(created(), func(r *Reply) { r.IsStorm = true }), false},
		{"another fingerprint", BeCreatedFor(sample), changed(created(), func(r *Reply) { r.Fingerprint = sample.OnPod("x").Fingerprint() }), false},
		{"error", BeCreatedFor(sample), Reply{Code: 503, Problem: &Problem{Title: "Service Unavailable"}}, false},
		{"duplicate", BeDuplicateOf(sample, "rr-1", 2), repeated(), true},
		{"duplicate with 200", BeDuplicateOf(sample, "rr-1", 2), changed(repeated(), func(r *Reply) { r.Code = 200 }), false},
		{"duplicate of another", BeDuplicateOf(sample, "rr-2", 2), repeated(), false},
		{"duplicate miscounted", BeDuplicateOf(sample, "rr-1", 3), repeated(), false},
		{"duplicate without metadata", BeDuplicateOf(sample, "rr-1", 2), changed(repeated(), func(r *Reply) { r.Metadata = nil }), false},
		{"duplicate by short reference", BeDuplicateOf(sample, "rr-1", 2), changed(repeated(), func(r *Reply) {
			r.Metadata = &DuplicateMetadata{Fingerprint: sample.Fingerprint(), Count: 2, RemediationRequestRef: "rr-1"}
		}), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.matcher.Match(c.reply)
			if err != nil || got != c.want {
				t.Errorf("matches: %t, %v; want %t", got, err, c.want)
			}
		})
	}
}

// The digest shows the first lines of a failure. They must show what is wrong.
func TestFailuresAreBrief(t *testing.T) {
	reply := changed(repeated(), func(r *Reply) { r.Code = 200; r.Metadata.Count = 5 })
	message := BeDuplicateOf(sample, "rr-1", 2).FailureMessage(reply)
	if want := "wanted 202 duplicate of rr-1, seen 2 times, but\n  code: 200, want 202\n  metadata.Count: 5, want 2\n"; !strings.HasPrefix(message, want) {
		t.Errorf("message:\n%s", message)
	}
	printBriefly()
	objects := gomega.ConsistOf(BeRemediation(sample, "rr-1", "", 1))
	if matches, err := objects.Match([]remediationv1alpha1.RemediationRequest{{}}); matches || err != nil {
		t.Fatalf("matches %t, %v", matches, err)
	}
	message = objects.FailureMessage([]remediationv1alpha1.RemediationRequest{{}})
	for _, want := range []string{`/ of , phase "", seen 0 times`, `tenant-a/rr-1 of High, phase "", seen 1 times`} {
		if !strings.Contains(message, want) || strings.Count(message, "\n") > 20 {
			t.Errorf("message lacks %q or is long:\n%s", want, message)
		}
	}
}

func TestRemediationMatcher(t *testing.T) {
	var object remediationv1alpha1.RemediationRequest
	object.Name, object.Namespace = "rr-1", sample.Namespace
	object.Spec.SignalFingerprint, object.Spec.SignalName, object.Spec.Severity = sample.Fingerprint(), sample.Name, sample.Severity
	object.Spec.Deduplication.OccurrenceCount = 2
	object.Status.OverallPhase = "Completed"
	for name, c := range map[string]struct {
		matcher types.GomegaMatcher
		want    bool
	}{
		"right":          {BeRemediation(sample, "rr-1", "Completed", 2), true},
		"wrong name":     {BeRemediation(sample, "rr-2", "Completed", 2), false},
		"wrong phase":    {BeRemediation(sample, "rr-1", "", 2), false},
		"wrong count":    {BeRemediation(sample, "rr-1", "Completed", 1), false},
		"wrong incident": {BeRemediation(sample.OnPod("x"), "rr-1", "Completed", 2), false},
	} {
		if got, err := c.matcher.Match(object); err != nil || got != c.want {
			t.Errorf("%s: matches %t, %v; want %t", name, got, err, c.want)
		}
	}
}

func TestTimestampMatcher(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	for text, want := range map[string]bool{"2026-01-02T03:04:05Z": true, "2026-01-02T04:04:05+01:00": true, "2026-01-02T03:04:09Z": false} {
		if got, err := BeTimestamp(at).Match(text); err != nil || got != want {
			t.Errorf("%s: matches %t, %v; want %t", text, got, err, want)
		}
	}
	if _, err := BeTimestamp(at).Match("yesterday"); err == nil {
		t.Error("text that is no timestamp matches or not, without an error")
	}
}
