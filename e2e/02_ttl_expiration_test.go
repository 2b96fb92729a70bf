package e2e_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 02: Redis forgets, the cluster does not. The record of an incident in
// Redis lives for seconds in this environment; whether a repeat belongs to
// the incident is decided by the RemediationRequest, which lives until its
// remediation is over.

var _ = Describe("An incident that outlives its record in Redis", func() {
	It("still takes its repeats while it is in progress, and gets its record back", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		opened := suite.Gateway().SendPrometheus(ctx, alert)
		Expect(opened).To(suite.BeCreatedFor(alert))
		incident := opened.RemediationRequestName

		suite.AwaitExpiry(ctx, alert)

		repeated := suite.Gateway().SendPrometheus(ctx, alert)
		Expect(repeated).To(suite.BeDuplicateOf(alert, incident, 2))

		Expect(tenant.Remediations(ctx)).To(ConsistOf(suite.BeRemediation(alert, incident, "", 2)))
		seen := tenant.Remediation(ctx, incident).Spec.Deduplication
		Expect(seen.LastSeen.Time).To(BeTemporally(">", seen.FirstSeen.Time))
		Expect(repeated.Metadata.FirstSeen).To(BeTemporally("~", seen.FirstSeen.Time, time.Second))
		Expect(repeated.Metadata.LastSeen).To(BeTemporally("~", seen.LastSeen.Time, time.Second))

		// The record is the whole of it again, not only what the repeat changed.
		record := suite.Record(ctx, alert)
		Expect(record.TTL).To(And(BeNumerically(">", 0), BeNumerically("<=", suite.DeployedWindows().Record)))
		Expect(record.Fields).To(SatisfyAll(
			HaveKeyWithValue("fingerprint", alert.Fingerprint()),
			HaveKeyWithValue("alertName", alert.Name),
			HaveKeyWithValue("namespace", tenant.Name),
			HaveKeyWithValue("resource", alert.Pod),
			HaveKeyWithValue("count", "2"),
			HaveKeyWithValue("remediationRequestRef", tenant.Name+"/"+incident),
			HaveKeyWithValue("firstSeen", suite.BeTimestamp(seen.FirstSeen.Time)),
			HaveKeyWithValue("lastSeen", suite.BeTimestamp(seen.LastSeen.Time)),
		))
	})
})

var _ = Describe("An incident whose remediation ends when Redis has forgotten it", func() {
	It("is followed by a new one", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		first := suite.Gateway().SendPrometheus(ctx, alert)
		Expect(first).To(suite.BeCreatedFor(alert))

		suite.AwaitExpiry(ctx, alert)
		tenant.SetPhase(ctx, first.RemediationRequestName, "Completed")

		second := suite.Gateway().SendPrometheus(ctx, alert)
		Expect(second).To(suite.BeCreatedFor(alert))
		Expect(second.RemediationRequestName).NotTo(Equal(first.RemediationRequestName))
		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			suite.BeRemediation(alert, first.RemediationRequestName, "Completed", 1),
			suite.BeRemediation(alert, second.RemediationRequestName, "", 1),
		))
	})
})

var _ = Describe("The record of an incident in Redis", func() {
	It("describes the incident and has a limited life", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		Expect(suite.Record(ctx, alert).Exists()).To(BeFalse())

		reply := suite.Gateway().SendPrometheus(ctx, alert)
		Expect(reply).To(suite.BeCreatedFor(alert))

		record := suite.Record(ctx, alert)
		Expect(record.TTL).To(And(BeNumerically(">", 0), BeNumerically("<=", suite.DeployedWindows().Record)))
		Expect(record.Fields).To(SatisfyAll(
			HaveKeyWithValue("fingerprint", alert.Fingerprint()),
			HaveKeyWithValue("alertName", alert.Name),
			HaveKeyWithValue("namespace", tenant.Name),
			HaveKeyWithValue("resource", alert.Pod),
			HaveKeyWithValue("count", "1"),
			HaveKeyWithValue("remediationRequestRef", tenant.Name+"/"+reply.RemediationRequestName),
		))
	})

	It("lives longer with every repeat", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		first := suite.Gateway().SendPrometheus(ctx, alert)
		Expect(first).To(suite.BeCreatedFor(alert))

		// Left alone, the rest of its life only falls; below half of it, a rise is seen
		// even if the answer to a repeat takes almost the other half.
		var waning suite.DedupRecord
		Eventually(ctx, func(ctx SpecContext) time.Duration {
			waning = suite.Record(ctx, alert)
			return waning.TTL
		}).Should(BeNumerically("<", suite.DeployedWindows().Record/2))
		Expect(waning.Exists()).To(BeTrue())

		Expect(suite.Gateway().SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, first.RemediationRequestName, 2))

		renewed := suite.Record(ctx, alert)
		Expect(renewed.TTL).To(BeNumerically(">", waning.TTL))
		Expect(renewed.Fields).To(SatisfyAll(
			HaveKeyWithValue("count", "2"),
			HaveKeyWithValue("firstSeen", waning.Fields["firstSeen"]),
			HaveKeyWithValue("remediationRequestRef", waning.Fields["remediationRequestRef"]),
		))
	})
})
