package suite

import (
	"context"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"stormgate.internal/tools/faultproxy"
)

// Fault is what the Kubernetes API does to the gateway's attempts to create
// RemediationRequests in one namespace.
type Fault struct {
	client *faultproxy.Client
	id     string
}

// RefuseCreates makes the API answer the next attempts (count of them, 0 for
// all from now on) to create a RemediationRequest in the namespace with that
// status code, as the API server does, without Retry-After. It ends with the
// spec.
func (n *Namespace) RefuseCreates(ctx context.Context, code, count int) *Fault {
	ginkgo.GinkgoHelper()
	f := &Fault{client: faults(), id: n.Name}
	gomega.Expect(f.client.Put(ctx, faultproxy.Rule{
		ID: f.id,
		Match: faultproxy.Match{
			Namespace: n.Name,
			Verbs:     []string{"create"},
			Resource:  "remediationrequests.remediation.kubernaut.io",
		},
		Count: count,
		Fault: faultproxy.Fault{Kind: faultproxy.Status, Code: code},
	})).To(gomega.Succeed())
	ginkgo.DeferCleanup(func(ctx context.Context) {
		if f.id != "" {
			f.End(ctx)
		}
	})
	return f
}

// Refused is how many attempts were refused so far.
func (f *Fault) Refused(ctx context.Context) int {
	ginkgo.GinkgoHelper()
	state, err := f.client.Get(ctx, f.id)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return state.Hits
}

// End makes the API work again, and returns how many attempts were refused. It
// is called at most once.
func (f *Fault) End(ctx context.Context) int {
	ginkgo.GinkgoHelper()
	state, err := f.client.Delete(ctx, f.id)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	f.id = ""
	return state.Hits
}

func faults() *faultproxy.Client {
	ginkgo.GinkgoHelper()
	gomega.Expect(here.faults).NotTo(gomega.BeNil(), "the environment forwards nothing named %q", faultsForward)
	return here.faults
}
