package e2e_test

import (
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 07: all alerts of a storm arrive at the same time. It is one storm all the
// same: one alert opens its one window, and one RemediationRequest has every member.

var _ = Describe("Fifteen alerts at once, sent to one gateway", Label("weight:4"), func() {
	It("are one storm", func(ctx SpecContext) {
		sendStorms(ctx, []*suite.GatewayClient{suite.Gateway()})
	})
})

var _ = Describe("Fifteen alerts at once, sent to two gateways", Label("weight:4"), func() {
	It("are one storm", func(ctx SpecContext) {
		sendStorms(ctx, suite.Replicas())
	})
})

// sendStorms sends storm after storm. It proves that four alerts of each are buffered,
// one opens the window, and all others join it.
func sendStorms(ctx SpecContext, gateways []*suite.GatewayClient) {
	GinkgoHelper()
	const rounds, size, buffered = 20, 15, 4
	tenant := suite.NewNamespace(ctx)
	for range rounds {
		pods := tenant.NewAlert().OnPods(1, size)

		replies := suite.SendAtOnce(ctx, gateways, pods...)

		opened := suite.OnlyReply(replies, http.StatusCreated)
		var opener suite.Alert
		waited, joined := 0, 0
		for i, reply := range replies {
			switch {
			case reply.Code == http.StatusCreated:
				opener = pods[i]
				Expect(reply).To(suite.BeStormOpenedBy(opener))
			case reply.WindowID == "":
				Expect(reply).To(suite.BeBuffered(pods[i]))
				waited++
			default:
				Expect(reply).To(suite.BeAddedTo(opened.WindowID, pods[i]))
				joined++
			}
		}
		Expect(waited).To(Equal(buffered))
		Expect(joined).To(Equal(size - buffered - 1))
		Expect(tenant.Remediation(ctx, opened.RemediationRequestName)).
			To(suite.BeStorm(opener, opened.RemediationRequestName, pods...))
	}
	Expect(tenant.Remediations(ctx)).To(HaveLen(rounds))
}
