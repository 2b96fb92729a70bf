package suite

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A rollout is over when the controller has seen the change, all replicas are new, all
// are available, and there are no others.
func TestRolledOut(t *testing.T) {
	over := func() *appsv1.Deployment {
		replicas := int32(2)
		return &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "gateway", Generation: 3},
			Spec:       appsv1.DeploymentSpec{Replicas: &replicas},
			Status:     appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: 2},
		}
	}
	if err := rolledOut(over()); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*appsv1.Deployment){
		"not seen":      func(d *appsv1.Deployment) { d.Status.ObservedGeneration = 2 },
		"one too many":  func(d *appsv1.Deployment) { d.Status.Replicas = 3 },
		"one old":       func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 1 },
		"one not ready": func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 1 },
	} {
		d := over()
		change(d)
		if err := rolledOut(d); err == nil || !strings.Contains(err.Error(), "gateway") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestResourceOf(t *testing.T) {
	if got, want := resourceOf([]byte(`{"namespace":"n","resource":{"kind":"Pod","name":"web","namespace":"n"},"labels":{}}`)), "Pod web"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := resourceOf([]byte(`{`)); !strings.Contains(got, "JSON") {
		t.Errorf("%q names no error", got)
	}
}
