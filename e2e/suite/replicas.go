package suite

import (
	"context"
	"errors"
	"sync"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// Replicas returns a client for each of the environment's gateways, which share
// their Redis. The spec fails if there is only one.
func Replicas() []*GatewayClient {
	ginkgo.GinkgoHelper()
	gomega.Expect(len(here.gateways)).To(gomega.BeNumerically(">", 1), "the environment forwards nothing named %q", secondGatewayForward)
	return here.gateways
}

// SendAtOnce sends each alert in a notification of its own, all at the same
// time, to these gateways in turn, and returns the answers in the order of the
// alerts. The spec fails as with SendPrometheus.
func SendAtOnce(ctx context.Context, gateways []*GatewayClient, alerts ...Alert) []Reply {
	ginkgo.GinkgoHelper()
	replies, err := sendAtOnce(ctx, gateways, alerts)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return replies
}

func sendAtOnce(ctx context.Context, gateways []*GatewayClient, alerts []Alert) ([]Reply, error) {
	replies, errs := make([]Reply, len(alerts)), make([]error, len(alerts))
	start := make(chan struct{})
	var requests sync.WaitGroup
	for i, alert := range alerts {
		requests.Go(func() {
			<-start
			replies[i], errs[i] = gateways[i%len(gateways)].send(ctx, alert)
		})
	}
	close(start)
	requests.Wait()
	return replies, errors.Join(errs...)
}
