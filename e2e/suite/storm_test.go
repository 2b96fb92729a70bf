package suite

import (
	"testing"

	"github.com/onsi/gomega/types"

	remediationv1alpha1 "stormgate.internal/gateway/api/v1alpha1"
)

const sampleWindow = "High-1700000000"

func storming(code int, status string) Reply {
	return Reply{Code: code, Status: status, Message: "m", Fingerprint: sample.Fingerprint(), IsStorm: true, StormType: "rate"}
}

func opened() Reply {
	return changed(storming(201, "created"), func(r *Reply) {
		r.RemediationRequestName, r.RemediationRequestNamespace = "rr-"+sample.Fingerprint()[:12]+"-1700000000", sample.Namespace
		r.Environment, r.Priority, r.WindowID = "unknown", "P2", sampleWindow
	})
}

func TestStormReplyMatchers(t *testing.T) {
	buffered := storming(202, "accepted")
	added := changed(buffered, func(r *Reply) { r.WindowID = sampleWindow })
	for _, c := range []struct {
		name    string
		matcher types.GomegaMatcher
		reply   Reply
		want    bool
	}{
		{"buffered", BeBuffered(sample), buffered, true},
		{"buffered with 201", BeBuffered(sample), changed(buffered, func(r *Reply) { r.Code = 201 }), false},
		{"buffered with 200", BeBuffered(sample), changed(buffered, func(r *Reply) { r.Code = 200 }), false},
		{"buffered as created", BeBuffered(sample), changed(buffered, func(r *Reply) { r.Status = "created" }), false},
		{"buffered in a window", BeBuffered(sample), added, false},
		{"buffered with an object", BeBuffered(sample), changed(buffered, func(r *Reply) { r.RemediationRequestName = "rr-1" }), false},
		{"buffered without a storm", BeBuffered(sample), changed(buffered, func(r *Reply) { r.IsStorm = false }), false},
		{"buffered as duplicate", BeBuffered(sample), changed(buffered, func(r *Reply) { r.Duplicate = true }), false},
		{"buffered for another", BeBuffered(sample.OnPod("x")), buffered, false},
		{"error", BeBuffered(sample), Reply{Code: 500, Problem: &Problem{}}, false},
		{"opened", BeStormOpenedBy(sample), opened(), true},
		{"opened with 202", BeStormOpenedBy(sample), changed(opened(), func(r *Reply) { r.Code = 202 }), false},
		{"opened without a window", BeStormOpenedBy(sample), changed(opened(), func(r *Reply) { r.WindowID = "" }), false},
		{"opened another's window", BeStormOpenedBy(sample), changed(opened(), func(r *Reply) { r.WindowID = "Low-1700000000" }), false},
		{"opened without an object", BeStormOpenedBy(sample), changed(opened(), func(r *Reply) { r.RemediationRequestName = "" }), false},
		{"opened elsewhere", BeStormOpenedBy(sample), changed(opened(), func(r *Reply) { r.RemediationRequestNamespace = "x" }), false},
		{"opened without a priority", BeStormOpenedBy(sample), changed(opened(), func(r *Reply) { r.Priority = "" }), false},
		{"opened as a pattern", BeStormOpenedBy(sample), changed(opened(), func(r *Reply) { r.StormType = "pattern" }), false},
		{"an individual object", BeStormOpenedBy(sample), created(), false},
		{"added", BeAddedTo(sampleWindow, sample), added, true},
		{"added to another", BeAddedTo("High-1700000009", sample), added, false},
		{"added to none", BeAddedTo(sampleWindow, sample), buffered, false},
		{"added with 201", BeAddedTo(sampleWindow, sample), changed(added, func(r *Reply) { r.Code = 201 }), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := c.matcher.Match(c.reply); err != nil || got != c.want {
				t.Errorf("matches: %t, %v; want %t", got, err, c.want)
			}
		})
	}
}

func storm() remediationv1alpha1.RemediationRequest {
	var r remediationv1alpha1.RemediationRequest
	r.Name, r.Namespace = "rr-1", sample.Namespace
	r.Labels = map[string]string{stormLabel: "true", fingerprintLabel: sample.Fingerprint()[:63]}
	r.Spec.SignalFingerprint, r.Spec.SignalName, r.Spec.Severity = sample.Fingerprint(), sample.Name, sample.Severity
	r.Spec.IsStorm, r.Spec.StormType, r.Spec.StormWindow, r.Spec.StormAlertCount = true, "rate", "1m", 2
	r.Spec.AffectedResources = []string{"tenant-a:Pod:x", "tenant-a:Pod:api-1"}
	return r
}

func flushed() remediationv1alpha1.RemediationRequest {
	r := storm()
	r.Name = "rr-" + sample.Fingerprint()[:12] + "-1700000000"
	r.Labels = map[string]string{bufferedLabel: "true", fingerprintLabel: sample.Fingerprint()[:63]}
	r.Spec.IsStorm, r.Spec.StormType, r.Spec.StormWindow, r.Spec.StormAlertCount, r.Spec.AffectedResources = false, "", "", 0, nil
	r.Spec.Deduplication.OccurrenceCount = 1
	return r
}

func TestStormObjectMatchers(t *testing.T) {
	type object = remediationv1alpha1.RemediationRequest
	is := BeStorm(sample, "rr-1", sample, sample.OnPod("x"))
	for _, c := range []struct {
		name    string
		matcher types.GomegaMatcher
		object  object
		want    bool
	}{
		{"storm", is, storm(), true},
		{"another name", BeStorm(sample, "rr-2", sample, sample.OnPod("x")), storm(), false},
		{"another opener", BeStorm(sample.OnPod("x"), "rr-1", sample, sample.OnPod("x")), storm(), false},
		{"a member too few", BeStorm(sample, "rr-1", sample, sample.OnPod("x"), sample.OnPod("y")), storm(), false},
		{"a member too many", BeStorm(sample, "rr-1", sample), storm(), false},
		{"a member twice", is, changed(storm(), func(o *object) {
			o.Spec.AffectedResources = append(o.Spec.AffectedResources, "tenant-a:Pod:x")
		}), false},
		{"another count", is, changed(storm(), func(o *object) { o.Spec.StormAlertCount = 3 }), false},
		{"without the label", is, changed(storm(), func(o *object) { delete(o.Labels, stormLabel) }), false},
		{"no storm", is, changed(storm(), func(o *object) { o.Spec.IsStorm = false }), false},
		{"flushed", BeFlushed(sample), flushed(), true},
		{"flushed of another", BeFlushed(sample.OnPod("x")), flushed(), false},
		{"flushed without the label", BeFlushed(sample), changed(flushed(), func(o *object) { delete(o.Labels, bufferedLabel) }), false},
		{"flushed as a storm", BeFlushed(sample), changed(flushed(), func(o *object) { o.Spec.IsStorm = true }), false},
		{"flushed twice over", BeFlushed(sample), changed(flushed(), func(o *object) { o.Spec.Deduplication.OccurrenceCount = 2 }), false},
		{"flushed under any name", BeFlushed(sample), changed(flushed(), func(o *object) { o.Name = "rr-1" }), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := c.matcher.Match(c.object); err != nil || got != c.want {
				t.Errorf("matches: %t, %v; want %t", got, err, c.want)
			}
		})
	}
}
