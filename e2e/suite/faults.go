package suite

import (
	"context"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stormgate.internal/tools/faultproxy"
)

// Fault is what the Kubernetes API does to the gateway's writes of RemediationRequests
// in one namespace.
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
	f.put(ctx, faultproxy.Rule{
		Match: faultproxy.Match{Namespace: n.Name, Verbs: []string{"create"}, Resource: remediationRequests},
		Count: count,
		Fault: faultproxy.Fault{Kind: faultproxy.Status, Code: code},
	})
	return f
}

// SlowWrites makes the API take that much longer for each write of a RemediationRequest in
// the namespace. It ends with the spec.
func (n *Namespace) SlowWrites(ctx context.Context, by time.Duration) *Fault {
	ginkgo.GinkgoHelper()
	f := &Fault{client: faults(), id: n.Name}
	f.put(ctx, faultproxy.Rule{
		Match: faultproxy.Match{Namespace: n.Name, Verbs: []string{"create", "update", "patch"}, Resource: remediationRequests},
		Fault: faultproxy.Fault{Kind: faultproxy.Delay, Delay: metav1.Duration{Duration: by}},
	})
	return f
}

const remediationRequests = "remediationrequests.remediation.kubernaut.io"

func (f *Fault) put(ctx context.Context, rule faultproxy.Rule) {
	ginkgo.GinkgoHelper()
	rule.ID = f.id
	gomega.Expect(f.client.Put(ctx, rule)).To(gomega.Succeed())
	ginkgo.DeferCleanup(func(ctx context.Context) {
		if f.id != "" {
			f.End(ctx)
		}
	})
}

// Refused is how many requests met the fault so far.
func (f *Fault) Refused(ctx context.Context) int {
	ginkgo.GinkgoHelper()
	state, err := f.client.Get(ctx, f.id)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return state.Hits
}

// End makes the API work again, and returns how many requests met the fault. It
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
