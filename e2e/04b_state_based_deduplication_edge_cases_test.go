package e2e_test

import (
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 04b: the edge cases of scenario 04. Identical alerts arrive at the same
// time, a repeat arrives in the second in which the remediation ends, and repeats
// arrive at two gateways that share Redis and the cluster and nothing else.

var _ = Describe("Ten identical alerts at once, sent to one gateway", Label("weight:4"), func() {
	It("begin one incident", func(ctx SpecContext) {
		sendIdentical(ctx, []*suite.GatewayClient{suite.Gateway()})
	})
})

var _ = Describe("Ten identical alerts at once, sent to two gateways", Label("weight:4"), func() {
	It("begin one incident", func(ctx SpecContext) {
		sendIdentical(ctx, suite.Replicas())
	})
})

// sendIdentical proves that exactly one of the alerts is the first.
func sendIdentical(ctx SpecContext, gateways []*suite.GatewayClient) {
	GinkgoHelper()
	const rounds, senders = 20, 10
	tenant := suite.NewNamespace(ctx)
	for range rounds {
		alert := tenant.NewAlert()
		replies := suite.SendAtOnce(ctx, gateways, suite.Repeat(alert, senders)...)

		opened := suite.OnlyReply(replies, http.StatusCreated)
		Expect(opened).To(suite.BeCreatedFor(alert))
		incident := opened.RemediationRequestName
		// Each of the others gets another number of occurrences.
		var duplicates []any
		for count := 2; count <= senders; count++ {
			duplicates = append(duplicates, suite.BeDuplicateOf(alert, incident, count))
		}
		Expect(suite.RepliesWith(replies, http.StatusAccepted)).To(ConsistOf(duplicates...))
		Expect(tenant.Remediation(ctx, incident)).To(suite.BeRemediation(alert, incident, "", senders))

		tenant.SetPhase(ctx, incident, "Pending")
		Expect(gateways[0].SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, incident, senders+1))
	}
	Expect(tenant.Remediations(ctx)).To(HaveLen(rounds))
}

var _ = DescribeTable("Alerts of different names are different incidents",
	func(ctx SpecContext, send func(SpecContext, []suite.Alert) []suite.Reply) {
		tenant := suite.NewNamespace(ctx)
		var alerts []suite.Alert
		for _, severity := range []string{"critical", "warning", "info", "warning", "critical"} {
			alert := tenant.NewAlert()
			alert.Severity, alert.Pod = severity, "payment-api-1"
			alerts = append(alerts, alert)
		}

		replies := send(ctx, alerts)

		var objects []any
		fingerprints := map[string]bool{}
		for i, alert := range alerts {
			Expect(replies[i]).To(suite.BeCreatedFor(alert))
			objects = append(objects, suite.BeRemediation(alert, replies[i].RemediationRequestName, "", 1))
			fingerprints[replies[i].Fingerprint] = true
		}
		Expect(fingerprints).To(HaveLen(len(alerts)))
		Expect(tenant.Remediations(ctx)).To(ConsistOf(objects...))
	},
	Entry("one after the other", func(ctx SpecContext, alerts []suite.Alert) (replies []suite.Reply) {
		for _, alert := range alerts {
			replies = append(replies, suite.Gateway().SendPrometheus(ctx, alert))
		}
		return replies
	}),
	Entry("at once, to one gateway", func(ctx SpecContext, alerts []suite.Alert) []suite.Reply {
		return suite.SendAtOnce(ctx, []*suite.GatewayClient{suite.Gateway()}, alerts...)
	}),
	Entry("at once, to two gateways", func(ctx SpecContext, alerts []suite.Alert) []suite.Reply {
		return suite.SendAtOnce(ctx, suite.Replicas(), alerts...)
	}),
)

var _ = Describe("An alert that repeats while its remediation goes on", func() {
	It("sees each phase at once, and begins anew in the very second of the end", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		incident := suite.BeginIncident(ctx, alert)

		for i, phase := range []string{"Pending", "Processing"} {
			tenant.SetPhase(ctx, incident, phase)
			Expect(suite.Gateway().SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, incident, i+2))
		}
		tenant.SetPhase(ctx, incident, "Completed")
		next := suite.BeginNextIncident(ctx, alert, incident)

		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			suite.BeRemediation(alert, incident, "Completed", 3),
			suite.BeRemediation(alert, next, "", 1),
		))
	})
})

var _ = DescribeTable("After a remediation that did not succeed, the alert is news",
	func(ctx SpecContext, end string) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		failed := suite.BeginIncident(ctx, alert)
		tenant.SetPhase(ctx, failed, "Processing")
		tenant.SetPhase(ctx, failed, end)

		retried := suite.BeginNextIncident(ctx, alert, failed)

		// The second remediation goes its own way.
		tenant.SetPhase(ctx, retried, "Processing")
		Expect(suite.Gateway().SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, retried, 2))
		Expect(tenant.Remediations(ctx)).To(ConsistOf(
			suite.BeRemediation(alert, failed, end, 1),
			suite.BeRemediation(alert, retried, "Processing", 2),
		))
	},
	Entry("if it Failed", "Failed"),
	Entry("if it was Cancelled", "Cancelled"),
)

var _ = DescribeTable("A remediation whose phase the gateway does not know is in progress, also for another replica",
	func(ctx SpecContext, phase string) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()
		replicas := suite.Replicas()
		opened := replicas[0].SendPrometheus(ctx, alert)
		Expect(opened).To(suite.BeCreatedFor(alert))
		tenant.SetPhase(ctx, opened.RemediationRequestName, phase)

		Expect(replicas[1].SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, opened.RemediationRequestName, 2))
		Expect(replicas[0].SendPrometheus(ctx, alert)).To(suite.BeDuplicateOf(alert, opened.RemediationRequestName, 3))
	},
	Entry("Paused", "Paused"),
	Entry("completed, in lower case", "completed"),
)
