package audit

import (
	"slices"
	"testing"

	"k8s.io/apiserver/pkg/audit/policy"

	"stormgate.internal/tools/cluster/internal/pki"
)

// Promise: kube-apiserver takes the policy, and it leaves out the components by the names that their
// certificates have, and nobody else.
func TestPolicy(t *testing.T) {
	loaded, err := policy.LoadPolicyFromBytes(Policy)
	if err != nil {
		t.Fatal(err)
	}
	silent := loaded.Rules[1].Users
	for _, component := range []pki.Identity{pki.Init, pki.ControllerManager, pki.Scheduler, pki.ServiceProxy} {
		if !slices.Contains(silent, component.Name) {
			t.Errorf("the policy records %s", component.Name)
		}
	}
	for _, other := range []pki.Identity{pki.Admin, pki.Fixture} {
		for _, rule := range loaded.Rules {
			if slices.Contains(rule.Users, other.Name) {
				t.Errorf("the policy has a rule for %s", other.Name)
			}
		}
	}
	if node := pki.Node("n"); !slices.Equal(loaded.Rules[2].UserGroups, node.Groups) {
		t.Errorf("groups %v, want %v", loaded.Rules[2].UserGroups, node.Groups)
	}
	if mark := loaded.Rules[0]; !slices.Equal(mark.Users, []string{pki.Init.Name}) || !slices.Equal(mark.NonResourceURLs, []string{MarkPath}) {
		t.Errorf("the mark's rule is %+v", mark)
	}
}
