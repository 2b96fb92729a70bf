package e2e_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 01: a storm has one window and one RemediationRequest as long as its
// alerts keep coming. After a silence that is longer than the window lives
// without them, what comes next is another storm.

var _ = Describe("A storm's window", func() {
	It("takes the alerts that follow, ends in silence, and is followed by another", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		pods := alert.OnPods(1, 6)

		Expect(suite.Gateway().SendPrometheus(ctx, pods[0])).To(suite.BeBuffered(pods[0]))
		opened := suite.Gateway().SendPrometheus(ctx, pods[1])
		Expect(opened).To(suite.BeStormOpenedBy(pods[1]))
		for _, late := range pods[2:4] {
			Expect(suite.Gateway().SendPrometheus(ctx, late)).To(suite.BeAddedTo(opened.WindowID, late))
		}
		first := suite.BeStorm(pods[1], opened.RemediationRequestName, pods[:4]...)
		Expect(tenant.Remediations(ctx)).To(ConsistOf(first))

		// 7 s of 5 in the contract.
		suite.Silence(ctx, suite.DeployedWindows().Inactivity*7/5)

		Expect(suite.Gateway().SendPrometheus(ctx, pods[4])).To(suite.BeBuffered(pods[4]))
		reopened := suite.Gateway().SendPrometheus(ctx, pods[5])
		Expect(reopened).To(suite.BeStormOpenedBy(pods[5]))
		Expect(reopened.RemediationRequestName).NotTo(Equal(opened.RemediationRequestName))
		Expect(reopened.WindowID).NotTo(Equal(opened.WindowID))

		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			first,
			suite.BeStorm(pods[5], reopened.RemediationRequestName, pods[4:]...),
		))
	})
})

var _ = Describe("A member of a storm that fires again", func() {
	It("is one more occurrence of the storm, whichever member it is", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		pods := alert.OnPods(1, 3)
		Expect(suite.Gateway().SendPrometheus(ctx, pods[0])).To(suite.BeBuffered(pods[0]))
		opened := suite.Gateway().SendPrometheus(ctx, pods[1])
		Expect(opened).To(suite.BeStormOpenedBy(pods[1]))
		Expect(suite.Gateway().SendPrometheus(ctx, pods[2])).To(suite.BeAddedTo(opened.WindowID, pods[2]))

		for i, again := range pods {
			Expect(suite.Gateway().SendPrometheus(ctx, again)).To(suite.BeDuplicateOf(again, opened.RemediationRequestName, i+2))
		}

		Expect(tenant.Remediations(ctx)).To(ConsistOf(suite.BeStorm(pods[1], opened.RemediationRequestName, pods...)))
		Expect(tenant.Remediation(ctx, opened.RemediationRequestName).Spec.Deduplication.OccurrenceCount).To(Equal(4))
	})

	It("begins another storm once the remediation of the first is over", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		pods := alert.OnPods(1, 2)
		Expect(suite.Gateway().SendPrometheus(ctx, pods[0])).To(suite.BeBuffered(pods[0]))
		opened := suite.Gateway().SendPrometheus(ctx, pods[1])
		Expect(opened).To(suite.BeStormOpenedBy(pods[1]))
		tenant.SetPhase(ctx, opened.RemediationRequestName, "Completed")

		// At once: the window would still take alerts, but its object is over.
		Expect(suite.Gateway().SendPrometheus(ctx, pods[0])).To(suite.BeBuffered(pods[0]))
		reopened := suite.Gateway().SendPrometheus(ctx, pods[1])
		Expect(reopened).To(suite.BeStormOpenedBy(pods[1]))
		Expect(reopened.RemediationRequestName).NotTo(Equal(opened.RemediationRequestName))
		var members [][]string
		for _, object := range tenant.Remediations(ctx) {
			members = append(members, object.Spec.AffectedResources)
		}
		both := ConsistOf(pods[0].ResourceID(), pods[1].ResourceID())
		Expect(members).To(ConsistOf(both, both))
	})
})
