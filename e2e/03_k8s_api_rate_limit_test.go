package e2e_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 03: many alerts at a time do not become as many writes to the
// Kubernetes API, and an API that refuses them is asked again, but not for long.
// What was accepted becomes an object all the same.

var _ = Describe("Fifty alerts of one name", func() {
	It("become one RemediationRequest with fifty resources", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 50)

		Expect(suite.Gateway().SendPrometheus(ctx, pods[0])).To(suite.BeBuffered(pods[0]))
		opened := suite.Gateway().SendPrometheus(ctx, pods[1])
		Expect(opened).To(suite.BeStormOpenedBy(pods[1]))
		for _, pod := range pods[2:] {
			Expect(suite.Gateway().SendPrometheus(ctx, pod)).To(suite.BeAddedTo(opened.WindowID, pod))
		}

		Expect(suite.Gateway().Health(ctx)).To(Equal(http.StatusOK))
		Expect(tenant.Remediations(ctx)).To(ConsistOf(suite.BeStorm(pods[1], opened.RemediationRequestName, pods...)))
	})
})

// The counters of retries are those of all of the gateway's requests, so these
// specs take turns. An API that refuses no more often than the gateway may ask for
// one sender shows by the answer whether it asked again, since that would succeed;
// and what the gateway does later on its own does not disturb the counts.
var _ = Describe("While the Kubernetes API refuses to create objects", func() {
	const limited, forbidden = http.StatusTooManyRequests, http.StatusForbidden

	It("the gateway tries again, and succeeds when the third attempt does", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 2)
		Expect(suite.Gateway().SendPrometheus(ctx, pods[0])).To(suite.BeBuffered(pods[0]))
		fault := tenant.RefuseCreates(ctx, limited, 2)
		before := suite.Gateway().Metrics(ctx)

		opened := suite.Gateway().SendPrometheus(ctx, pods[1])

		Expect(opened).To(suite.BeStormOpenedBy(pods[1]))
		Expect(fault.End(ctx)).To(Equal(2))
		retries := suite.Gateway().Metrics(ctx).Since(before)
		Expect(retries.Value("gateway_retry_attempts_total", "error_type", "rate_limited", "status_code", "429")).To(BeEquivalentTo(2))
		Expect(retries.Value("gateway_retry_attempts_total")).To(BeEquivalentTo(2))
		Expect(retries.Value("gateway_retry_success_total", "error_type", "success", "attempt", "3")).To(BeEquivalentTo(1))
		Expect(retries.Value("gateway_retry_success_total")).To(BeEquivalentTo(1))
		Expect(retries.Value("gateway_retry_exhausted_total")).To(BeZero())
		Expect(tenant.Remediations(ctx)).To(ConsistOf(suite.BeStorm(pods[1], opened.RemediationRequestName, pods...)))
	})

	It("the sender is told after three attempts, and what was accepted before is stored later", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 2)
		Expect(suite.Gateway().SendPrometheus(ctx, pods[0])).To(suite.BeBuffered(pods[0]))
		fault := tenant.RefuseCreates(ctx, limited, 3)
		before := suite.Gateway().Metrics(ctx)

		sent := time.Now()
		refused := suite.Gateway().SendPrometheus(ctx, pods[1])
		took := time.Since(sent)

		Expect(refused).To(suite.BeProblem(http.StatusInternalServerError, "Internal Server Error"))
		Expect(fault.Refused(ctx)).To(Equal(3))
		// Two waits, of 100 ms and of 200 ms, and none of the longest that may be.
		Expect(took).To(And(BeNumerically(">=", 300*time.Millisecond), BeNumerically("<", 5*time.Second)))
		retries := suite.Gateway().Metrics(ctx).Since(before)
		Expect(retries.Value("gateway_retry_attempts_total", "error_type", "rate_limited", "status_code", "429")).To(BeEquivalentTo(3))
		Expect(retries.Value("gateway_retry_exhausted_total", "error_type", "rate_limited", "status_code", "429")).To(BeEquivalentTo(1))
		Expect(retries.Value("gateway_retry_success_total")).To(BeZero())

		expectBothOnce(ctx, tenant, pods)
	})

	It("the sender is told at once if the reason will not go away", func(ctx SpecContext) {
		suite.Exclusively(ctx)
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 2)
		Expect(suite.Gateway().SendPrometheus(ctx, pods[0])).To(suite.BeBuffered(pods[0]))
		fault := tenant.RefuseCreates(ctx, forbidden, 1)
		before := suite.Gateway().Metrics(ctx)

		refused := suite.Gateway().SendPrometheus(ctx, pods[1])

		Expect(refused).To(suite.BeProblem(http.StatusInternalServerError, "Internal Server Error"))
		Expect(fault.Refused(ctx)).To(Equal(1))
		Expect(suite.Gateway().Metrics(ctx).Since(before).Value("gateway_retry_attempts_total")).To(BeZero())

		expectBothOnce(ctx, tenant, pods)
	})
})

// expectBothOnce is for when the API works again: the alert that was accepted
// before is not lost, and the one that was refused is sent again, as AlertManager
// does. In the end each is in one object.
func expectBothOnce(ctx SpecContext, tenant *suite.Namespace, pods []suite.Alert) {
	GinkgoHelper()
	Expect(suite.Gateway().SendPrometheus(ctx, pods[1]).Code).To(Equal(http.StatusAccepted))
	both := ConsistOf(pods[0].ResourceID(), pods[1].ResourceID())
	Eventually(ctx, tenant.AffectedResources).Should(both)
	Consistently(ctx, tenant.AffectedResources, suite.DeployedWindows().Inactivity).Should(both)
}
