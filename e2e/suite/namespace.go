package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime/pkg/client"

	remediationv1alpha1 "stormgate.internal/gateway/api/v1alpha1"
)

// Namespace is a namespace of the cluster that belongs to one spec.
type Namespace struct {
	Name   string
	alerts int
}

// NewNamespace makes one with a name that was never used. It is deleted when the
// lease of the environment ends.
func NewNamespace(ctx context.Context) *Namespace {
	ginkgo.GinkgoHelper()
	name, err := here.environment.Namespace(ctx, "tenant")
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "make a namespace")
	return &Namespace{Name: name}
}

// SetEnvironment labels the namespace with what it is for, such as "production". Call
// it before the first alert, since the gateway caches the label for a while.
func (n *Namespace) SetEnvironment(ctx context.Context, environment string) {
	ginkgo.GinkgoHelper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
	patch := ctrl.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"environment":%q}}}`, environment))
	gomega.Expect(here.objects.Patch(ctx, object, patch)).To(gomega.Succeed())
}

// NewAlert returns a warning about a pod in this namespace, under a name and a
// pod that no other spec and no other call uses.
func (n *Namespace) NewAlert() Alert {
	n.alerts++
	return Alert{
		Name:        fmt.Sprintf("HighMemoryUsage-%s-%d", n.Name, n.alerts),
		Namespace:   n.Name,
		Pod:         fmt.Sprintf("payment-api-%d", n.alerts),
		Severity:    "warning",
		Annotations: map[string]string{"summary": "Memory usage is above 95 percent"},
	}
}

// Remediations returns all RemediationRequests of the namespace, the oldest
// first. The read goes to the API server's storage, not to a cache.
func (n *Namespace) Remediations(ctx context.Context) []remediationv1alpha1.RemediationRequest {
	ginkgo.GinkgoHelper()
	var list remediationv1alpha1.RemediationRequestList
	gomega.Expect(here.objects.List(ctx, &list, ctrl.InNamespace(n.Name))).To(gomega.Succeed())
	slices.SortFunc(list.Items, func(a, b remediationv1alpha1.RemediationRequest) int {
		if order := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); order != 0 {
			return order
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list.Items
}

// Remediation returns the RemediationRequest of that name.
func (n *Namespace) Remediation(ctx context.Context, name string) remediationv1alpha1.RemediationRequest {
	ginkgo.GinkgoHelper()
	var object remediationv1alpha1.RemediationRequest
	gomega.Expect(here.objects.Get(ctx, types.NamespacedName{Namespace: n.Name, Name: name}, &object)).To(gomega.Succeed())
	return object
}

// AffectedResources returns the resources of all RemediationRequests of the namespace,
// one for each incident and all members of each storm. A resource that more than one of
// them has is there more than once.
func (n *Namespace) AffectedResources(ctx context.Context) []string {
	ginkgo.GinkgoHelper()
	var resources []string
	for _, object := range n.Remediations(ctx) {
		if object.Spec.IsStorm && len(object.Spec.AffectedResources) > 0 {
			resources = append(resources, object.Spec.AffectedResources...)
			continue
		}
		resources = append(resources, fmt.Sprintf("%s:Pod:%s", object.Namespace, object.Spec.SignalLabels["pod"]))
	}
	return resources
}

// SetPhase does what the remediation controllers do: it writes the phase into
// the status of a RemediationRequest. When it returns, the API server has it.
func (n *Namespace) SetPhase(ctx context.Context, name, phase string) {
	ginkgo.GinkgoHelper()
	object := &remediationv1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: n.Name, Name: name}}
	// A patch of that one field does not conflict with the gateway's updates.
	patch := ctrl.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"status":{"overallPhase":%q}}`, phase))
	gomega.Expect(here.objects.Status().Patch(ctx, object, patch)).To(gomega.Succeed())
	gomega.Expect(object.Status.OverallPhase).To(gomega.Equal(phase))
}
