package e2e_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 01: the window of a storm. As long as alerts keep coming, they are one
// storm, with one window and one RemediationRequest. A silence ends the window. The
// alerts that come after it are another storm.

var _ = Describe("A storm's window", func() {
	It("takes the alerts that follow, ends in silence, and is followed by another", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 6)

		opened := suite.OpenStorm(ctx, pods[:2]...)
		suite.JoinStorm(ctx, opened.WindowID, pods[2:4]...)
		first := suite.BeStorm(pods[1], opened.RemediationRequestName, pods[:4]...)
		Expect(tenant.Remediations(ctx)).To(ConsistOf(first))

		// 7 s of 5 in the contract.
		suite.Silence(ctx, suite.DeployedWindows().Inactivity*7/5)

		reopened := suite.OpenStorm(ctx, pods[4:]...)
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
		pods := tenant.NewAlert().OnPods(1, 3)
		opened := suite.OpenStorm(ctx, pods[:2]...)
		suite.JoinStorm(ctx, opened.WindowID, pods[2])

		for i, again := range pods {
			Expect(suite.Gateway().SendPrometheus(ctx, again)).To(suite.BeDuplicateOf(again, opened.RemediationRequestName, i+2))
		}

		Expect(tenant.Remediations(ctx)).To(ConsistOf(suite.BeStorm(pods[1], opened.RemediationRequestName, pods...)))
		Expect(tenant.Remediation(ctx, opened.RemediationRequestName).Spec.Deduplication.OccurrenceCount).To(Equal(4))
	})

	It("begins another storm once the remediation of the first is over", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 2)
		opened := suite.OpenStorm(ctx, pods...)
		tenant.SetPhase(ctx, opened.RemediationRequestName, "Completed")

		// At once: the window would still take alerts, but the remediation is over.
		reopened := suite.OpenStorm(ctx, pods...)
		Expect(reopened.RemediationRequestName).NotTo(Equal(opened.RemediationRequestName))
		var members [][]string
		for _, object := range tenant.Remediations(ctx) {
			members = append(members, object.Spec.AffectedResources)
		}
		both := ConsistOf(pods[0].ResourceID(), pods[1].ResourceID())
		Expect(members).To(ConsistOf(both, both))
	})
})
