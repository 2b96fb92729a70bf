package boot

import (
	"context"
	"errors"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

func testPolicy() Policy {
	return Policy{
		ClusterRoles:        []rbacv1.ClusterRole{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, {ObjectMeta: metav1.ObjectMeta{Name: "b"}}},
		ClusterRoleBindings: []rbacv1.ClusterRoleBinding{{ObjectMeta: metav1.ObjectMeta{Name: "c"}}},
	}
}

// Promise: the head start makes what is missing and leaves alone what kube-apiserver made meanwhile.
func TestPolicy(t *testing.T) {
	made := rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "b", Labels: map[string]string{"by": "kube-apiserver"}}}
	client := fake.NewClientset(&made)
	if err := testPolicy().apply(context.Background(), client); err != nil {
		t.Fatal(err)
	}
	roles, err := client.RbacV1().ClusterRoles().List(context.Background(), metav1.ListOptions{})
	if err != nil || len(roles.Items) != 2 {
		t.Errorf("roles = %v, %v", roles, err)
	}
	if b, err := client.RbacV1().ClusterRoles().Get(context.Background(), "b", metav1.GetOptions{}); err != nil || b.Labels["by"] != "kube-apiserver" {
		t.Errorf("role b = %v, %v, want it unchanged", b, err)
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Get(context.Background(), "c", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

// An error ends the head start and is handed up, for the log.
func TestPolicyStopsAtError(t *testing.T) {
	client := fake.NewClientset()
	refusal := errors.New("storage is away")
	client.PrependReactor("create", "*", func(ktesting.Action) (bool, runtime.Object, error) { return true, nil, refusal })
	if err := testPolicy().apply(context.Background(), client); !errors.Is(err, refusal) {
		t.Errorf("error = %v", err)
	}
}

// Promise: the controller manager may do what its controllers may, and not what other roles allow.
func TestControllersGrant(t *testing.T) {
	role := func(name, resource string) rbacv1.ClusterRole {
		return rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
			{Verbs: []string{"create"}, APIGroups: []string{""}, Resources: []string{resource}},
		}}
	}
	g := Policy{ClusterRoles: []rbacv1.ClusterRole{
		role("system:controller:job-controller", "pods"), role("cluster-admin", "nodes"), role("system:controller:namespace-controller", "events"),
	}}.controllersGrant()
	if g.who.Name != "system:kube-controller-manager" {
		t.Errorf("granted to %s", g.who.Name)
	}
	for resource, want := range map[string]bool{"pods": true, "events": true, "nodes": false} {
		if allows(g.rules, "create", "", resource) != want {
			t.Errorf("%s granted = %v", resource, !want)
		}
	}
}
