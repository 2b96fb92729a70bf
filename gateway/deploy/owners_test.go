package deploy_test

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// With the component, the gateway may read whose pods are, and nothing but that of them.
func TestOwnersMayBeRead(t *testing.T) {
	memory := filesys.MakeFsInMemory()
	const kustomization = "resources: [../../base]\ncomponents: [../../components/owners]\n"
	if err := memory.WriteFile("/overlays/test/kustomization.yaml", []byte(kustomization)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"/pods": "get", "apps/replicasets": "get", "batch/jobs": "get"}
	without := one[rbacv1.ClusterRole](t, build(t, "base"), "ClusterRole", "gateway").Rules
	with := one[rbacv1.ClusterRole](t, buildIn(t, memory, "overlays/test"), "ClusterRole", "gateway").Rules
	if len(with) != len(without)+len(want) {
		t.Fatalf("%d rules, and %d without the component", len(with), len(without))
	}
	for _, rule := range with[len(without):] {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				key := group + "/" + resource
				if len(rule.Verbs) != 1 || rule.Verbs[0] != want[key] {
					t.Errorf("%s: %v, want %q", key, rule.Verbs, want[key])
				}
				delete(want, key)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("no rule for %v", want)
	}
}
