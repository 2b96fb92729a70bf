package e2e_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 06: the end of a storm's window. Silence ends it, and so does its greatest
// length. Alerts that come later are not its members, and none of them is lost.

var _ = Describe("A window that silence has ended", Label("weight:2"), func() {
	It("takes no more alerts: a late one gets an object of its own if it stays alone", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 6)
		opened := suite.OpenStorm(ctx, pods[:2]...)
		suite.JoinStorm(ctx, opened.WindowID, pods[2:5]...)
		suite.Silence(ctx, suite.DeployedWindows().Inactivity*7/5)
		storms := tenant.Remediations(ctx)
		Expect(storms).To(ConsistOf(suite.BeStorm(pods[1], opened.RemediationRequestName, pods[:5]...)))

		late := pods[5]
		sent := time.Now()
		suite.Buffer(ctx, late)

		// No field of the storm's object has changed.
		Eventually(ctx, tenant.Remediations).Should(ConsistOf(Equal(storms[0]), suite.BeFlushed(late)))
		// The late alert had the time that alerts get to become a storm.
		Expect(time.Since(sent)).To(BeNumerically(">=", suite.DeployedWindows().Inactivity))
	})
})

var _ = Describe("A window to which alerts keep coming", Label("weight:6"), func() {
	It("ends at its greatest length, and another begins", func(ctx SpecContext) {
		windows := suite.DeployedWindows()
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		// Short enough that no window ends by silence, even if an alert arrives late.
		interval := windows.Inactivity / 5
		// Enough for twice the greatest length.
		pods := alert.OnPods(1, int(2*windows.Maximum/interval))

		suite.Buffer(ctx, pods[0])
		opening := time.Now()
		pace := suite.NewPace(interval)
		opened := suite.Gateway().SendPrometheus(ctx, pods[1])
		isOpen := time.Now()
		Expect(opened).To(suite.BeStormOpenedBy(pods[1]))

		// The gateway's clock is not read. The window opened between opening and isOpen,
		// and an alert arrives between sent and its answer.
		members := 2
		for {
			Expect(members).To(BeNumerically("<", len(pods)-1), "the window does not end")
			pace.Wait(ctx)
			sent := time.Now()
			reply := suite.Gateway().SendPrometheus(ctx, pods[members])
			if reply.WindowID == "" {
				Expect(reply).To(suite.BeBuffered(pods[members]))
				Expect(time.Since(opening)).To(BeNumerically(">=", windows.Maximum), "the window ended too early")
				break
			}
			Expect(reply).To(suite.BeAddedTo(opened.WindowID, pods[members]))
			Expect(sent.Sub(isOpen)).To(BeNumerically("<=", windows.Maximum), "the window ended too late")
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
