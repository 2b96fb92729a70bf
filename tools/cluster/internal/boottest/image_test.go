package boottest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"stormgate.internal/tools/cluster/api"
)

// Promise: a pod whose image the cluster does not have says so, and which images there are; nothing is
// pulled, and the kubelet's own message is what kubectl shows.
func TestUnknownImage(t *testing.T) {
	images := filepath.Join(t.TempDir(), "images.json")
	if err := os.WriteFile(images, []byte(`[{"reference": "shop/cart:1", "entrypoint": ["/cart"], "files": {"/cart": "/proc/self/exe"}}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster := run(t, "--images="+images)
	await(t, cluster, api.EventReady)
	ctx := deadline(t, bootTimeout)
	pods := client(t, cluster, "admin").CoreV1().Pods(metav1.NamespaceDefault)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "stranger"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "shop/cart:2"}}},
	}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	last := ""
	err := wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		pod, err := pods.Get(ctx, "stranger", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = fmt.Sprintf("phase %s, %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
		if len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].State.Waiting == nil {
			return false, nil
		}
		waiting := pod.Status.ContainerStatuses[0].State.Waiting
		return waiting.Reason == "ErrImagePull" && strings.Contains(waiting.Message, `image "shop/cart:2" is not part of this cluster`) &&
			strings.Contains(waiting.Message, "known images: ") && strings.Contains(waiting.Message, "shop/cart:1"), nil
	})
	if err != nil {
		t.Errorf("%v; last seen: %s", err, last)
	}
}
