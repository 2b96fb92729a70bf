package e2e_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 02: Redis forgets an incident, and the cluster does not. In this
// environment Redis keeps the record of an incident for seconds. The
// RemediationRequest decides whether a repeat belongs to the incident: it does until
// the remediation is over.

var _ = Describe("An incident that outlives its record in Redis", func() {
	It("still takes its repeats while it is in progress, and gets its record back", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		incident := suite.BeginIncident(ctx, alert)

		suite.AwaitExpiry(ctx, alert)

		repeated := suite.Gateway().SendPrometheus(ctx, alert)
		Expect(repeated).To(suite.BeDuplicateOf(alert, incident, 2))

		Expect(tenant.Remediations(ctx)).To(ConsistOf(suite.BeRemediation(alert, incident, "", 2)))
		seen := tenant.Remediation(ctx, incident).Spec.Deduplication
		Expect(seen.LastSeen.Time).To(BeTemporally(">", seen.FirstSeen.Time))
		Expect(repeated.Metadata.FirstSeen).To(BeTemporally("~", seen.FirstSeen.Time, time.Second))
		Expect(repeated.Metadata.LastSeen).To(BeTemporally("~", seen.LastSeen.Time, time.Second))

		// The record is complete again. It has more than what the repeat changed.
		Expect(expectRecord(ctx, alert, incident, "2").Fields).To(SatisfyAll(
			HaveKeyWithValue("firstSeen", suite.BeTimestamp(seen.FirstSeen.Time)),
			HaveKeyWithValue("lastSeen", suite.BeTimestamp(seen.LastSeen.Time)),
		))
	})
})

var _ = Describe("An incident whose remediation ends when Redis has forgotten it", func() {
	It("is followed by a new one", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		first := suite.BeginIncident(ctx, alert)

		suite.AwaitExpiry(ctx, alert)
		tenant.SetPhase(ctx, first, "Completed")

		second := suite.BeginNextIncident(ctx, alert, first)
		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			suite.BeRemediation(alert, first, "Completed", 1),
			suite.BeRemediation(alert, second, "", 1),
		))
	})
})

var _ = Describe("The record of an incident in Redis", func() {
	It("describes the incident and has a limited life", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		Expect(suite.Record(ctx, alert).Exists()).To(BeFalse())

		incident := suite.BeginIncident(ctx, alert)

		expectRecord(ctx, alert, incident, "1")
	})

	It("lives longer with every repeat", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		incident := suite.BeginIncident(ctx, alert)

		// Without a repeat the record's TTL only falls. Below half of the full TTL a rise is
		// seen, even if the repeat takes almost as long as the other half.
		var waning suite.DedupRecord
		Eventually(ctx, func(ctx SpecContext) time.Duration {
			waning = suite.Record(ctx, alert)
			return waning.TTL
		}).Should(BeNumerically("<", suite.DeployedWindows().Record/2))
		Expect(waning.Exists()).To(BeTrue())

		Expect(suite.Gateway().SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, incident, 2))

		renewed := suite.Record(ctx, alert)
		Expect(renewed.TTL).To(BeNumerically(">", waning.TTL))
		Expect(renewed.Fields).To(SatisfyAll(
			HaveKeyWithValue("count", "2"),
			HaveKeyWithValue("firstSeen", waning.Fields["firstSeen"]),
			HaveKeyWithValue("remediationRequestRef", waning.Fields["remediationRequestRef"]),
		))
	})
})

// expectRecord proves that Redis has the whole record of the incident, for a limited
// time, and returns the record.
func expectRecord(ctx SpecContext, alert suite.Alert, incident, count string) suite.DedupRecord {
	GinkgoHelper()
	record := suite.Record(ctx, alert)
	Expect(record.TTL).To(And(BeNumerically(">", 0), BeNumerically("<=", suite.DeployedWindows().Record)))
	Expect(record.Fields).To(SatisfyAll(
		HaveKeyWithValue("fingerprint", alert.Fingerprint()),
		HaveKeyWithValue("alertName", alert.Name),
		HaveKeyWithValue("namespace", alert.Namespace),
		HaveKeyWithValue("resource", alert.Pod),
		HaveKeyWithValue("count", count),
		HaveKeyWithValue("remediationRequestRef", alert.Namespace+"/"+incident),
	))
	return record
}
