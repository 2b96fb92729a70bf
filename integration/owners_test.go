package integration_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/config"
	"stormgate.internal/integration/system"
	"stormgate.internal/integration/testbed"
)

// All pods of a Deployment, as its controllers make them, are one incident.
func TestAlertsAboutPodsAreAboutTheirWorkload(t *testing.T) {
	s := system.New(t, system.Options{Adjust: func(c *config.Config) {
		c.Processing.Owners.Enabled = true
		c.Processing.Owners.Timeout = config.Duration(10 * time.Second)
	}})
	const replicas = 2
	labels := map[string]string{"app": "web"}
	n := int32(replicas)
	s.Create(&appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: s.Namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				// It need not run: nothing is asked but whose it is.
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "example.invalid/none"}}},
			},
		},
	})
	var pods corev1.PodList
	for deadline := time.Now().Add(time.Minute); len(pods.Items) < replicas; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d pods within a minute, want %d", len(pods.Items), replicas)
		}
		if err := s.API.List(t.Context(), &pods, client.InNamespace(s.Namespace), client.MatchingLabels(labels)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	send := func(pod string, gateway int, want int) {
		t.Helper()
		code, body, err := s.Client.Post(ctx, s.Gateways[gateway].URL(), testbed.Notification(testbed.Alert{Name: "Down", Namespace: s.Namespace, Pod: pod}))
		if err != nil || code != want {
			t.Errorf("about %s: %d, want %d: %s, %v", pod, code, want, body, err)
		}
	}
	send(pods.Items[0].Name, 0, http.StatusCreated)
	send(pods.Items[1].Name, 1, http.StatusAccepted)
	send("no-such-pod", 0, http.StatusCreated)
	objects := s.Objects()
	if len(objects) != 2 {
		t.Fatalf("%d objects, want one of the Deployment and one of the pod that is not there", len(objects))
	}
	for _, object := range objects {
		count, want := object.Spec.Deduplication.OccurrenceCount, 1
		if object.StandsFor(testbed.WorkloadFingerprint("Down", s.Namespace, "Deployment", "web").String()) {
			want = replicas
		} else if !object.StandsFor(testbed.Alert{Name: "Down", Namespace: s.Namespace, Pod: "no-such-pod"}.Fingerprint().String()) {
			t.Errorf("%s stands for something else", object.Name)
		}
		if count != want {
			t.Errorf("%s counts %d, want %d", object.Name, count, want)
		}
	}
}
