package e2e_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 03: the Kubernetes API limits the rate of requests. Many alerts of one
// name become one write. If the API refuses a write, the gateway tries again, but
// not for long. An alert that was accepted becomes an object in any case.

var _ = Describe("Fifty alerts of one name", func() {
	It("become one RemediationRequest with fifty resources", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		pods := tenant.NewAlert().OnPods(1, 50)

		opened := suite.OpenStorm(ctx, pods[:2]...)
		suite.JoinStorm(ctx, opened.WindowID, pods[2:]...)

		Expect(suite.Gateway().Health(ctx)).To(Equal(http.StatusOK))
		Expect(tenant.Remediations(ctx)).To(ConsistOf(suite.BeStorm(pods[1], opened.RemediationRequestName, pods...)))
	})
})

// The gateway counts the retries of all requests together, so these specs take turns.
// The API refuses a limited number of attempts, at most as many as the gateway may
// make for one sender. One attempt more would succeed, so the answer shows whether
// the gateway made it. What the gateway does later on its own is not refused, and
// does not disturb the counts.
var _ = Describe("While the Kubernetes API refuses to create objects", func() {
	const limited, forbidden = http.StatusTooManyRequests, http.StatusForbidden

	var (
		tenant *suite.Namespace
		pods   []suite.Alert // the first is buffered, the second opens the storm's window
	)
	BeforeEach(func(ctx SpecContext) {
		suite.Exclusively(ctx)
		tenant = suite.NewNamespace(ctx)
		pods = tenant.NewAlert().OnPods(1, 2)
		suite.Buffer(ctx, pods[0])
	})

	It("the gateway tries again, and succeeds when the third attempt does", func(ctx SpecContext) {
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
		fault := tenant.RefuseCreates(ctx, limited, 3)
		before := suite.Gateway().Metrics(ctx)

		sent := time.Now()
		refused := suite.Gateway().SendPrometheus(ctx, pods[1])
		took := time.Since(sent)

		Expect(refused).To(suite.BeProblem(http.StatusInternalServerError, "Internal Server Error"))
		Expect(fault.Refused(ctx)).To(Equal(3))
		// Two waits, of 100 ms and of 200 ms. The longest wait that is allowed is not
		// among them.
		Expect(took).To(And(BeNumerically(">=", 300*time.Millisecond), BeNumerically("<", 5*time.Second)))
		retries := suite.Gateway().Metrics(ctx).Since(before)
		Expect(retries.Value("gateway_retry_attempts_total", "error_type", "rate_limited", "status_code", "429")).To(BeEquivalentTo(3))
		Expect(retries.Value("gateway_retry_exhausted_total", "error_type", "rate_limited", "status_code", "429")).To(BeEquivalentTo(1))
		Expect(retries.Value("gateway_retry_success_total")).To(BeZero())

		expectBothOnce(ctx, tenant, pods)
	})

	It("the sender is told at once if the reason will not go away", func(ctx SpecContext) {
		fault := tenant.RefuseCreates(ctx, forbidden, 1)
		before := suite.Gateway().Metrics(ctx)

		refused := suite.Gateway().SendPrometheus(ctx, pods[1])

		Expect(refused).To(suite.BeProblem(http.StatusInternalServerError, "Internal Server Error"))
		Expect(fault.Refused(ctx)).To(Equal(1))
		Expect(suite.Gateway().Metrics(ctx).Since(before).Value("gateway_retry_attempts_total")).To(BeZero())

		expectBothOnce(ctx, tenant, pods)
	})
})

// expectBothOnce is called when the API works again. It sends the alert that was
// refused again, as AlertManager does. The alert that was accepted before is not
// lost. In the end each is in one object.
func expectBothOnce(ctx SpecContext, tenant *suite.Namespace, pods []suite.Alert) {
	GinkgoHelper()
	Expect(suite.Gateway().SendPrometheus(ctx, pods[1]).Code).To(Equal(http.StatusAccepted))
	both := ConsistOf(pods[0].ResourceID(), pods[1].ResourceID())
	Eventually(ctx, tenant.AffectedResources).Should(both)
	Consistently(ctx, tenant.AffectedResources, suite.DeployedWindows().Inactivity).Should(both)
}
