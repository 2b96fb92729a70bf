package e2e_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 09: the senders are real. Two AlertManagers that know of each other notify the
// gateway, and forwarders send it the events of the cluster. Whatever fails meanwhile,
// in the end each alert that AlertManager holds as firing is named in one object.

// sizes are those of AlertManager's groups. All alerts of a group are in one notification,
// and are sent again with it.
var sizes = []int{1, 150, 2000}

var _ = DescribeTable("AlertManager's group",
	func(ctx SpecContext, size int) {
		tenant := suite.NewNamespace(ctx)
		alert := tenant.NewAlert()

		suite.Fire(ctx, alert.OnPods(1, size)...)
		expectEachNamedOnce(ctx, tenant, size)

		// With one more alert the group is sent again as a whole. AlertManager sends it with
		// the second one when it has the answer to that.
		for more := size + 1; more <= size+2; more++ {
			suite.Fire(ctx, alert.OnPods(more, more)...)
			expectEachNamedOnce(ctx, tenant, more)
		}
	},
	Entry("of one alert is stored, and once however often it is sent", sizes[0]),
	Entry("of 150 alerts is stored, and once however often it is sent", sizes[1]),
	Entry("of 2,000 alerts is stored, and once however often it is sent", Label("weight:4"), sizes[2]),
)

var _ = Describe("The cluster's own events", func() {
	It("are incidents, each one, in whichever version of the API they are watched", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		tenant.ForwardEvents(ctx)
		before := suite.ForwardedEvents(ctx)

		tenant.NewPod(ctx, "without-image", "stormgate/unknown:none", "")
		tenant.NewPod(ctx, "without-node", "stormgate/gateway:dev", "stormgate.internal/no-such-node")

		// What the kubelet reports, and what the scheduler does.
		incidents := ConsistOf("Failed of Pod without-image", "FailedScheduling of Pod without-node")
		Eventually(ctx, tenant.Signals).Should(incidents)

		// Both forwarders have sent both.
		for name := range before {
			Eventually(ctx, func(ctx SpecContext) float64 {
				return suite.ForwardedEvents(ctx)[name]["accepted"] - before[name]["accepted"]
			}).Should(BeNumerically(">=", 2), name)
		}
		Expect(tenant.Signals(ctx)).To(incidents)
		for name, counts := range suite.ForwardedEvents(ctx) {
			Expect(counts["refused"]).To(BeZero(), name)
		}
	})
})

// AlertManager counts all of its notifications together, and the gateway is everybody's,
// so these specs have the environment to themselves.
var _ = Describe("AlertManager's groups of all sizes lose nothing and repeat nothing", Serial, Label("weight:12"), func() {
	var (
		tenant *suite.Namespace
		groups []suite.Alert // one alert for each of sizes
		before suite.Notifications
	)
	BeforeEach(func(ctx SpecContext) {
		tenant = suite.NewNamespace(ctx)
		groups = nil
		for range sizes {
			groups = append(groups, tenant.NewAlert())
		}
		before = suite.CountNotifications(ctx)
	})
	fire := func(ctx SpecContext) {
		GinkgoHelper()
		for i, size := range sizes {
			suite.Fire(ctx, groups[i].OnPods(1, size)...)
		}
	}
	failures := func(ctx SpecContext) float64 { return suite.CountNotifications(ctx).Since(before).FailedRequests }
	// expectAll is called when nothing is broken any more.
	expectAll := func(ctx SpecContext) {
		GinkgoHelper()
		expectEachNamedOnce(ctx, tenant, sizes[0]+sizes[1]+sizes[2])
		Expect(suite.CountNotifications(ctx).Since(before).Dropped).To(BeZero(), "notifications that AlertManager does not repeat")
	}

	It("when the gateway is away", func(ctx SpecContext) {
		suite.ScaleGateway(ctx, 0)
		fire(ctx)
		// One for each group at the least, and no object yet.
		Eventually(ctx, failures).Should(BeNumerically(">=", len(sizes)))
		Expect(tenant.Remediations(ctx)).To(BeEmpty())

		suite.ScaleGateway(ctx, 1)

		expectAll(ctx)
	})

	It("when the gateway crashes in the middle of them", func(ctx SpecContext) {
		fire(ctx)
		Eventually(ctx, tenant.Remediations).ShouldNot(BeEmpty())

		suite.CrashGateway(ctx)

		expectAll(ctx)
	})

	It("when Redis is paused", func(ctx SpecContext) {
		resume := suite.PauseRedis(ctx)
		fire(ctx)
		Eventually(ctx, failures).Should(BeNumerically(">", 0))
		Expect(tenant.Remediations(ctx)).To(BeEmpty())

		resume(ctx)

		expectAll(ctx)
	})

	It("when the Kubernetes API is slow", func(ctx SpecContext) {
		const delay = time.Second
		slow := tenant.SlowWrites(ctx, delay)
		fire(ctx)

		expectAll(ctx)
		Expect(slow.End(ctx)).To(BeNumerically(">", 0))
	})
})

// settled is how long AlertManager and the gateway may take for groups of thousands, on a
// machine with much else to do.
const settled = 2 * time.Minute

// look is how often objects of thousands of alerts are read.
const look = 200 * time.Millisecond

// expectEachNamedOnce waits until that many alerts of the namespace fire in each
// AlertManager, and each is named in one object.
func expectEachNamedOnce(ctx SpecContext, tenant *suite.Namespace, count int) {
	GinkgoHelper()
	var firing []string
	for i, manager := range suite.AlertManagers() {
		Eventually(ctx, func(ctx SpecContext) int {
			firing = manager.Firing(ctx, tenant)
			return len(firing)
		}).Should(Equal(count), fmt.Sprintf("alerts that fire in AlertManager %d", i))
	}
	Eventually(ctx, tenant.AffectedResources).WithTimeout(settled).WithPolling(look).Should(suite.BeExactly(firing))
}
