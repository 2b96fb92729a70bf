package suite

import (
	"context"
	"encoding/json"
	"sync"
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
	number int // in the world's list
}

// injected are the faults of all specs, for who looks at the run afterwards.
type injected struct {
	mu  sync.Mutex
	all []injectedFault
}

type injectedFault struct {
	Began time.Time       `json:"began"`
	Ended time.Time       `json:"ended,omitzero"`
	Rule  faultproxy.Rule `json:"rule"`
	// Hits is how many requests met it, once it has ended.
	Hits int `json:"hits"`
}

func (i *injected) begin(rule faultproxy.Rule) (number int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all = append(i.all, injectedFault{Began: time.Now().UTC(), Rule: rule})
	return len(i.all) - 1
}

func (i *injected) end(number, hits int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all[number].Ended, i.all[number].Hits = time.Now().UTC(), hits
}

// file is faults.json; nil if there were none.
func (i *injected) file() ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.all) == 0 {
		return nil, nil
	}
	return json.Marshal(i.all)
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
	f.number = here.injected.begin(rule)
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
	here.injected.end(f.number, state.Hits)
	return state.Hits
}

func faults() *faultproxy.Client {
	ginkgo.GinkgoHelper()
	gomega.Expect(here.faults).NotTo(gomega.BeNil(), "the environment forwards nothing named %q", faultsForward)
	return here.faults
}
