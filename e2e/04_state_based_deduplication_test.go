package e2e_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 04: the phase of the remediation decides what a repeat is. While the
// remediation is in progress, every repeat of the alert is one more occurrence of the
// same incident. Once it is Completed, Failed or Cancelled, the next alert begins a
// new incident.

var _ = Describe("The life of an incident", func() {
	It("counts repeats until its remediation is completed, and then another begins", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()

		incident := suite.BeginIncident(ctx, alert)
		object := tenant.Remediation(ctx, incident)
		Expect(object.Spec.Deduplication.OccurrenceCount).To(Equal(1))
		Expect(object.Spec.Deduplication.IsDuplicate).To(BeFalse())
		Expect(object.Status.OverallPhase).To(BeEmpty())

		tenant.SetPhase(ctx, incident, "Pending")
		Expect(suite.Gateway().SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, incident, 2))
		seen := tenant.Remediation(ctx, incident).Spec.Deduplication
		Expect(seen.OccurrenceCount).To(Equal(2))
		Expect(seen.FirstSeen).To(Equal(object.Spec.Deduplication.FirstSeen))
		Expect(seen.LastSeen.Time).To(BeTemporally(">=", seen.FirstSeen.Time))

		tenant.SetPhase(ctx, incident, "Processing")
		Expect(suite.Gateway().SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, incident, 3))
		Expect(tenant.Remediation(ctx, incident).Spec.Deduplication.OccurrenceCount).To(Equal(3))

		tenant.SetPhase(ctx, incident, "Completed")
		next := suite.BeginNextIncident(ctx, alert, incident)

		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			suite.BeRemediation(alert, incident, "Completed", 3),
			suite.BeRemediation(alert, next, "", 1),
		))
	})

	It("is not mixed up with the one before it", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		first := suite.BeginIncident(ctx, alert)
		tenant.SetPhase(ctx, first, "Completed")
		second := suite.BeginNextIncident(ctx, alert, first)

		Expect(suite.Gateway().SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, second, 2))

		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			suite.BeRemediation(alert, first, "Completed", 1),
			suite.BeRemediation(alert, second, "", 2),
		))
	})
})

var _ = DescribeTable("A phase that ends the remediation makes the next alert a new incident",
	func(ctx SpecContext, phase string) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		first := suite.BeginIncident(ctx, alert)

		tenant.SetPhase(ctx, first, phase)

		// At once: the new object needs a new name, even within the same second.
		second := suite.BeginNextIncident(ctx, alert, first)
		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			suite.BeRemediation(alert, first, phase, 1),
			suite.BeRemediation(alert, second, "", 1),
		))
	},
	Entry("Completed", "Completed"),
	Entry("Failed", "Failed"),
	Entry("Cancelled", "Cancelled"),
)

var _ = DescribeTable("Any other phase leaves the incident open for repeats",
	func(ctx SpecContext, phase string) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		first := suite.BeginIncident(ctx, alert)

		tenant.SetPhase(ctx, first, phase)

		Expect(suite.Gateway().SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, first, 2))
		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			suite.BeRemediation(alert, first, phase, 2),
		))
	},
	Entry("when no controller has taken it up", ""),
	Entry("when it waits", "Pending"),
	Entry("when it is worked on", "Processing"),
	Entry("when the phase is one that the gateway does not know", "Paused"),
	Entry("when the phase only looks like an end: completed", "completed"),
	Entry("when the phase only looks like an end: FAILED", "FAILED"),
)

var _ = Describe("Incidents of different resources", func() {
	It("are deduplicated one by one", func(ctx SpecContext) {
		tenant, neighbour := suite.NewNamespace(ctx), suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		otherPod := alert.OnPod("checkout-1")
		otherTenant := alert.InNamespace(neighbour)

		incidents := map[string]string{}
		for _, a := range []suite.Alert{alert, otherPod, otherTenant} {
			incidents[a.ResourceID()] = suite.BeginIncident(ctx, a)
		}

		// The end of one does not touch the others.
		tenant.SetPhase(ctx, incidents[alert.ResourceID()], "Completed")
		Expect(suite.Gateway().SendPrometheus(ctx, otherPod)).To(suite.BeDuplicateOf(otherPod, incidents[otherPod.ResourceID()], 2))
		Expect(suite.Gateway().SendPrometheus(ctx, otherTenant)).To(suite.BeDuplicateOf(otherTenant, incidents[otherTenant.ResourceID()], 2))
		Expect(tenant.Remediations(ctx)).To(HaveLen(2))
		Expect(neighbour.Remediations(ctx)).To(HaveLen(1))
	})
})
