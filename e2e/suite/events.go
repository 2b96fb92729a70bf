package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime/pkg/client"
)

// ForwardEvents makes the environment's forwarders send the namespace's events to the
// gateway. Call it before the first event: what was before is not sent.
func (n *Namespace) ForwardEvents(ctx context.Context) {
	ginkgo.GinkgoHelper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
	patch := ctrl.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"stormgate.internal/events":"forwarded"}}}`))
	gomega.Expect(here.objects.Patch(ctx, object, patch)).To(gomega.Succeed())
}

// NewPod makes a pod that runs an image, on nodes with that label if it is not empty.
func (n *Namespace) NewPod(ctx context.Context, name, image, nodeLabel string) {
	ginkgo.GinkgoHelper()
	grace, noToken := int64(0), false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: n.Name, Name: name},
		Spec: corev1.PodSpec{
			Containers:                    []corev1.Container{{Name: "main", Image: image}},
			TerminationGracePeriodSeconds: &grace,
			// What the token needs may come later than the pod, which would be another event.
			AutomountServiceAccountToken: &noToken,
		},
	}
	if nodeLabel != "" {
		pod.Spec.NodeSelector = map[string]string{nodeLabel: ""}
	}
	// A new namespace has no service account at first, and without one no pod is taken.
	gomega.Eventually(ctx, func(ctx context.Context) error { return here.objects.Create(ctx, pod.DeepCopy()) }).Should(gomega.Succeed())
}

// ForwardedEvents counts the events that each of the environment's forwarders has sent, by
// their forward and what became of them: accepted, or refused for good.
func ForwardedEvents(ctx context.Context) map[string]map[string]float64 {
	ginkgo.GinkgoHelper()
	gomega.Expect(here.forwarders).NotTo(gomega.BeEmpty(), "the environment forwards nothing named %q", forwarderForwards)
	counts := map[string]map[string]float64{}
	for name, base := range here.forwarders {
		code, _, body, err := exchange(ctx, http.DefaultClient, http.MethodGet, base+"/metrics", nil)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		gomega.Expect(code).To(gomega.Equal(http.StatusOK))
		metrics, err := parseMetrics(body)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		counts[name] = map[string]float64{}
		for _, outcome := range []string{"accepted", "refused"} {
			counts[name][outcome] = metrics.Value("event_forwarder_events_total", "outcome", outcome)
		}
	}
	return counts
}

// resourceOf returns the kind and name of what providerData is about.
func resourceOf(providerData []byte) string {
	var data struct {
		Resource struct{ Kind, Name string }
	}
	if err := json.Unmarshal(providerData, &data); err != nil {
		return err.Error()
	}
	return data.Resource.Kind + " " + data.Resource.Name
}

// Signals returns what the namespace's RemediationRequests are about, one for each
// incident: the signal, and the object's kind and name.
func (n *Namespace) Signals(ctx context.Context) []string {
	ginkgo.GinkgoHelper()
	var signals []string
	for _, object := range n.Remediations(ctx) {
		signals = append(signals, fmt.Sprintf("%s of %s", object.Spec.SignalName, resourceOf(object.Spec.ProviderData)))
	}
	return signals
}
