package e2e_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"stormgate.internal/e2e/suite"
)

// Scenario 10: the gateway is updated while it is used. Its replicas are replaced one by
// one, as in production, and clients reach it through its Service.

var _ = Describe("A rolling update of the gateway", Serial, Label("weight:8"), func() {
	const (
		clients  = 4
		interval = 20 * time.Millisecond
		warm     = 50                     // alerts, so that every client has connections and the storm its window
		look     = 200 * time.Millisecond // how often the objects of all of them are read
	)

	It("loses no alert, repeats none, and no client notices", func(ctx SpecContext) {
		tenant := suite.NewNamespace(ctx)
		load := suite.StartLoad(ctx, tenant, clients, interval)
		Eventually(ctx, load.Accepted).Should(BeNumerically(">=", warm))
		// The last of these wait in a buffer for others, which never come.
		early := tenant.NewAlert().OnPods(1, 8)
		for _, each := range early {
			Expect(suite.Gateway().SendPrometheus(ctx, each).Problem).To(BeNil())
		}

		suite.RollGateway(ctx)
		// The new replicas serve, too.
		during := load.Accepted()
		Eventually(ctx, load.Accepted).Should(BeNumerically(">=", during+warm))

		accepted, failures := load.Stop()
		Expect(failures).To(BeEmpty())
		for _, each := range early {
			accepted = append(accepted, each.ResourceID())
		}
		Eventually(ctx, tenant.AffectedResources).WithPolling(look).Should(suite.BeExactly(accepted))
	})
})
