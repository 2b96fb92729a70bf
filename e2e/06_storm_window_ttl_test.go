package e2e_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 06: how a storm's window ends: by silence, or by its greatest length.
// Alerts that come later are not its members, and none of them is lost.

var _ = Describe("A window that silence has ended", Label("weight:2"), func() {
	It("takes no more alerts: a late one gets an object of its own if it stays alone", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 6)
		Expect(suite.Gateway().SendPrometheus(ctx, pods[0])).To(suite.BeBuffered(pods[0]))
		opened := suite.Gateway().SendPrometheus(ctx, pods[1])
		Expect(opened).To(suite.BeStormOpenedBy(pods[1]))
		for _, pod := range pods[2:5] {
			Expect(suite.Gateway().SendPrometheus(ctx, pod)).To(suite.BeAddedTo(opened.WindowID, pod))
		}
		suite.Silence(ctx, suite.DeployedWindows().Inactivity*7/5)
		storms := tenant.Remediations(ctx)
		Expect(storms).To(ConsistOf(suite.BeStorm(pods[1], opened.RemediationRequestName, pods[:5]...)))

		late := pods[5]
		sent := time.Now()
		Expect(suite.Gateway().SendPrometheus(ctx, late)).To(suite.BeBuffered(late))

		// The storm's object is what it was, to the last field.
		Eventually(ctx, tenant.Remediations).Should(ConsistOf(Equal(storms[0]), suite.BeFlushed(late)))
		// It was given the time to become part of a storm, which began after it was sent.
		Expect(time.Since(sent)).To(BeNumerically(">=", suite.DeployedWindows().Inactivity))
	})
})

var _ = Describe("A window to which alerts keep coming", Label("weight:6"), func() {
	It("ends at its greatest length, and another begins", func(ctx SpecContext) {
		windows := suite.DeployedWindows()
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		// Often enough that no window ends by silence, with margin for late arrivals.
		interval := windows.Inactivity / 5
		// So many would take twice the greatest length.
		pods := alert.OnPods(1, int(2*windows.Maximum/interval))

		Expect(suite.Gateway().SendPrometheus(ctx, pods[0])).To(suite.BeBuffered(pods[0]))
		opening := time.Now()
		pace := suite.NewPace(interval)
		opened := suite.Gateway().SendPrometheus(ctx, pods[1])
		isOpen := time.Now()
		Expect(opened).To(suite.BeStormOpenedBy(pods[1]))

		// The sender's clock brackets the window's: it opened between opening and
		// isOpen, and an alert arrives between sent and the answer.
		members := 2
		for {
			Expect(members).To(BeNumerically("<", len(pods)-1), "the window does not end")
			pace.Wait(ctx)
			sent := time.Now()
			reply := suite.Gateway().SendPrometheus(ctx, pods[members])
			if reply.WindowID == "" {
				Expect(reply).To(suite.BeBuffered(pods[members]))
				Expect(time.Since(opening)).To(BeNumerically(">=", windows.Maximum), "the window was to be open for longer")
				break
			}
			Expect(reply).To(suite.BeAddedTo(opened.WindowID, pods[members]))
			Expect(sent.Sub(isOpen)).To(BeNumerically("<=", windows.Maximum), "the window was to be closed")
			members++
		}
		filler := pods[members+1]
		reopened := suite.Gateway().SendPrometheus(ctx, filler)
		Expect(reopened).To(suite.BeStormOpenedBy(filler))
		Expect(reopened.WindowID).NotTo(Equal(opened.WindowID))
		Expect(reopened.RemediationRequestName).NotTo(Equal(opened.RemediationRequestName))

		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			suite.BeStorm(pods[1], opened.RemediationRequestName, pods[:members]...),
			suite.BeStorm(filler, reopened.RemediationRequestName, pods[members], filler),
		))
	})
})
