package suite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime/pkg/client"
)

// What operators do to the gateway. Only Serial specs may: they have the environment to
// themselves, and it is deployed anew after them.

// gatewayName is that of the gateway's Deployment, and the value of its pods' label.
const gatewayName = "gateway"

// ScaleGateway changes the number of the gateway's replicas, and returns when there are
// that many, all ready, and no others.
func ScaleGateway(ctx context.Context, replicas int) {
	ginkgo.GinkgoHelper()
	patchGateway(ctx, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	awaitGateway(ctx)
}

// RollGateway replaces every pod of the gateway, as kubectl rollout restart does, and
// returns when the new ones are ready and the last of the old ones has ended.
func RollGateway(ctx context.Context) {
	ginkgo.GinkgoHelper()
	before := gatewayPods(ctx)
	gomega.Expect(before).NotTo(gomega.BeEmpty())
	restarted := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339Nano))
	patchGateway(ctx, restarted)
	awaitGateway(ctx)
	after := gatewayPods(ctx)
	gomega.Expect(after).To(gomega.HaveLen(len(before)))
	for uid := range after {
		gomega.Expect(before).NotTo(gomega.HaveKey(uid), "a pod of the gateway was not replaced")
	}
}

// CrashGateway ends the gateway's pods at once, without a word to them: what they were
// doing is left half done. It returns when others are ready in their place.
func CrashGateway(ctx context.Context) {
	ginkgo.GinkgoHelper()
	for uid, pod := range gatewayPods(ctx) {
		gomega.Expect(here.objects.Delete(ctx, &pod, ctrl.GracePeriodSeconds(0), ctrl.Preconditions{UID: &uid})).To(gomega.Succeed())
	}
	awaitGateway(ctx)
}

func patchGateway(ctx context.Context, patch []byte) {
	ginkgo.GinkgoHelper()
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: here.environment.Home(), Name: gatewayName}}
	gomega.Expect(here.objects.Patch(ctx, deployment, ctrl.RawPatch(types.MergePatchType, patch))).To(gomega.Succeed())
}

// awaitGateway waits until the Deployment is as it should be, and its pods are the only
// ones: the controller does not count those that are ending.
func awaitGateway(ctx context.Context) {
	ginkgo.GinkgoHelper()
	gomega.Eventually(ctx, func(g gomega.Gomega, ctx context.Context) {
		var deployment appsv1.Deployment
		g.Expect(here.objects.Get(ctx, types.NamespacedName{Namespace: here.environment.Home(), Name: gatewayName}, &deployment)).To(gomega.Succeed())
		g.Expect(rolledOut(&deployment)).To(gomega.Succeed())
		pods, err := listGatewayPods(ctx)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(pods).To(gomega.HaveLen(int(*deployment.Spec.Replicas)), "pods of the gateway")
		for _, pod := range pods {
			// The Deployment's status may still be about a pod that is gone.
			g.Expect(isReady(&pod)).To(gomega.BeTrue(), "pod %s is not ready", pod.Name)
		}
	}).WithTimeout(rolloutDeadline).Should(gomega.Succeed())
}

// rolloutDeadline is longer than a pod's grace period and the start of another.
const rolloutDeadline = 90 * time.Second

// rolledOut returns what of a Deployment is not yet as it should be.
func rolledOut(d *appsv1.Deployment) error {
	s, want := d.Status, *d.Spec.Replicas
	if s.ObservedGeneration < d.Generation {
		return fmt.Errorf("generation %d of Deployment %s was not seen yet, %d was", d.Generation, d.Name, s.ObservedGeneration)
	}
	if s.Replicas != want || s.UpdatedReplicas != want || s.AvailableReplicas != want {
		return fmt.Errorf("Deployment %s has %d replicas, %d of this generation, %d available, and is to have %d", d.Name, s.Replicas, s.UpdatedReplicas, s.AvailableReplicas, want)
	}
	return nil
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func gatewayPods(ctx context.Context) map[types.UID]corev1.Pod {
	ginkgo.GinkgoHelper()
	pods, err := listGatewayPods(ctx)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return pods
}

func listGatewayPods(ctx context.Context) (map[types.UID]corev1.Pod, error) {
	var list corev1.PodList
	err := here.objects.List(ctx, &list, ctrl.InNamespace(here.environment.Home()), ctrl.MatchingLabels{"app.kubernetes.io/name": gatewayName})
	pods := map[types.UID]corev1.Pod{}
	for _, pod := range list.Items {
		pods[pod.UID] = pod
	}
	return pods, err
}
