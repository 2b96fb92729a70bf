package boot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

func allows(rules []rbacv1.PolicyRule, verb, group, resource string) bool {
	matches := func(list []string, want string) bool {
		return slices.Contains(list, want) || slices.Contains(list, "*")
	}
	return slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool {
		return matches(rule.Verbs, verb) && matches(rule.APIGroups, group) && matches(rule.Resources, resource)
	})
}

// Promise: a suite can run and look at workloads, and can not become an administrator.
func TestSuiteRules(t *testing.T) {
	rules := suiteRules()
	for _, can := range [][3]string{
		{"create", "", "namespaces"}, {"deletecollection", "", "pods"}, {"get", "", "pods/log"},
		{"create", "", "pods/exec"}, {"get", "", "pods/exec"}, {"get", "", "pods/portforward"}, {"create", "", "pods/portforward"},
		{"patch", "", "configmaps"}, {"create", "", "secrets"}, {"watch", "", "events"},
		{"patch", "apps", "deployments"}, {"update", "apps", "statefulsets/scale"}, {"create", "batch", "jobs"},
		{"create", "apiextensions.k8s.io", "customresourcedefinitions"}, {"list", "discovery.k8s.io", "endpointslices"},
	} {
		if !allows(rules, can[0], can[1], can[2]) {
			t.Errorf("a suite may not %s %s in group %q", can[0], can[2], can[1])
		}
	}
	for _, cannot := range [][3]string{
		{"create", "rbac.authorization.k8s.io", "clusterrolebindings"}, {"escalate", "rbac.authorization.k8s.io", "clusterroles"},
		{"impersonate", "", "users"}, {"create", "", "nodes"}, {"get", "", "nodes/proxy"},
		{"create", "certificates.k8s.io", "certificatesigningrequests"}, {"create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"},
		{"create", "monitoring.example.org", "alerts"},
	} {
		if allows(rules, cannot[0], cannot[1], cannot[2]) {
			t.Errorf("a suite may %s %s in group %q", cannot[0], cannot[2], cannot[1])
		}
	}
}

// Promise: a lease sees everything but Secrets, writes nothing and enters no pod by its role for all
// namespaces. What it has in its own, in its environment's, and while it is exclusive, is no way to more.
func TestLeaseRules(t *testing.T) {
	for _, test := range []struct {
		role  string
		rules []rbacv1.PolicyRule
		can   [][3]string
		not   [][3]string
	}{
		{leaseRole, leaseRules(), [][3]string{
			{"list", "", "pods"}, {"watch", "", "configmaps"}, {"get", "", "nodes"}, {"list", "apps", "deployments"}, {"get", "", "pods/log"},
			{"get", "rbac.authorization.k8s.io", "clusterroles"}, {"watch", "apiextensions.k8s.io", "customresourcedefinitions"},
			{"list", "discovery.k8s.io", "endpointslices"},
		}, [][3]string{
			{"get", "", "secrets"}, {"list", "", "secrets"}, {"create", "", "pods"}, {"patch", "apps", "deployments"}, {"create", "", "pods/exec"}, {"get", "", "pods/exec"},
			{"get", "", "pods/attach"}, {"get", "", "services/proxy"}, {"get", "", "pods/portforward"}, {"get", "", "nodes/proxy"}, {"create", "", "serviceaccounts/token"}, {"create", "", "namespaces"},
			{"delete", "", "pods"}, {"patch", "", "pods/ephemeralcontainers"}, {"create", "events.k8s.io", "events"}, {"update", "coordination.k8s.io", "leases"},
		}},
		{environmentRole, environmentRules(), [][3]string{
			{"list", "", "secrets"}, {"create", "", "pods/portforward"}, {"get", "", "pods/portforward"}, {"get", "", "services/proxy"},
		}, [][3]string{{"create", "", "secrets"}, {"get", "", "pods"}, {"create", "", "services/proxy"}, {"get", "", "pods/exec"}}},
		{exclusiveRole, exclusiveRules(), [][3]string{
			{"create", "", "namespaces"}, {"delete", "", "persistentvolumes"}, {"create", "apiextensions.k8s.io", "customresourcedefinitions"},
			{"create", "scheduling.k8s.io", "priorityclasses"}, {"create", "storage.k8s.io", "storageclasses"}, {"create", "node.k8s.io", "runtimeclasses"},
		}, [][3]string{
			{"create", "rbac.authorization.k8s.io", "clusterrolebindings"}, {"update", "", "nodes"}, {"create", "admissionregistration.k8s.io", "validatingwebhookconfigurations"},
			{"create", "admissionregistration.k8s.io", "validatingadmissionpolicies"}, {"create", "apiregistration.k8s.io", "apiservices"}, {"get", "", "secrets"},
			{"create", "certificates.k8s.io", "certificatesigningrequests"}, {"create", "flowcontrol.apiserver.k8s.io", "flowschemas"}, {"patch", "apps", "deployments"},
		}},
		{suiteRole, suiteRules(), [][3]string{{"create", "", "serviceaccounts/token"}}, nil},
	} {
		for _, can := range test.can {
			if !allows(test.rules, can[0], can[1], can[2]) {
				t.Errorf("%s may not %s %s in group %q", test.role, can[0], can[2], can[1])
			}
		}
		for _, not := range test.not {
			if allows(test.rules, not[0], not[1], not[2]) {
				t.Errorf("%s may %s %s in group %q", test.role, not[0], not[2], not[1])
			}
		}
	}
}

// Promise: leases are a group; the roles for some namespaces only are bound to nobody by the boot.
func TestLeaseGrants(t *testing.T) {
	client := fake.NewClientset()
	if err := makeGrants(t.Context(), client, leaseGrants()); err != nil {
		t.Fatal(err)
	}
	bindings, err := client.RbacV1().ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(bindings.Items) != 1 || bindings.Items[0].RoleRef.Name != leaseRole || bindings.Items[0].Subjects[0].Kind != rbacv1.GroupKind || bindings.Items[0].Subjects[0].Name != "system:serviceaccounts:stormgate-leases" {
		t.Errorf("bindings = %+v", bindings.Items)
	}
	for _, name := range []string{leaseRole, suiteRole, environmentRole, exclusiveRole} {
		if _, err := client.RbacV1().ClusterRoles().Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
}

// Promise: roles are made although the API server refuses at first and loses an answer.
func TestGrantsInsist(t *testing.T) {
	client := fake.NewClientset()
	refusals := 3
	client.PrependReactor("create", "clusterroles", func(ktesting.Action) (bool, runtime.Object, error) {
		if refusals--; refusals >= 0 {
			return true, nil, errors.New("not yet")
		}
		return false, nil, nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for range 2 { // the second time all exist
		if err := makeGrants(ctx, client, append(otherGrants(), nodeGrant())); err != nil {
			t.Fatal(err)
		}
	}
	binding, err := client.RbacV1().ClusterRoleBindings().Get(ctx, "stormgate:kubelet-client", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if binding.RoleRef.Name != "system:kubelet-api-admin" || len(binding.Subjects) != 1 || binding.Subjects[0].Name != "kube-apiserver-kubelet-client" {
		t.Errorf("binding = %+v", binding)
	}
}

// Promise: a boot that gives up says at what, and what the API answered.
func TestGrantsGiveUp(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("create", "clusterroles", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("storage is away")
	})
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("deadline passed")
	cancel(cause)
	err := nodeGrant().make(ctx, client)
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), serviceProxyRole) || !strings.Contains(err.Error(), "storage is away") {
		t.Errorf("error = %v", err)
	}
}

func definition(group, plural, scope string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"group": group, "scope": scope, "names": map[string]any{"plural": plural}},
	}}
}

// Promise: exactly the custom resources that are defined are added to the roles, status included, and no
// definition can stand for objects of Kubernetes itself.
func TestCustomRoles(t *testing.T) {
	roles := customRoles([]any{
		definition("monitoring.example.org", "alerts", "Namespaced"), definition("apps.example.org", "games", "Namespaced"),
		definition("monitoring.example.org", "silences", "Cluster"), &unstructured.Unstructured{Object: map[string]any{}}, "no definition",
		definition("rbac.authorization.k8s.io", "clusterroles", "Cluster"), definition("apiregistration.k8s.io", "apiservices", "Cluster"),
	})
	for _, test := range []struct {
		role, verb, group, resource string
		want                        bool
	}{
		{suiteRole, "patch", "monitoring.example.org", "alerts", true},
		{suiteRole, "patch", "monitoring.example.org", "alerts/status", true},
		{suiteRole, "patch", "apps.example.org", "games", true},
		{suiteRole, "patch", "apps.example.org", "alerts", false},
		{suiteRole, "create", "", "pods", true},
		{suiteRole, "delete", "monitoring.example.org", "silences", true},
		{leaseRole, "watch", "monitoring.example.org", "alerts", true},
		{leaseRole, "patch", "monitoring.example.org", "alerts", false},
		{leaseRole, "list", "", "pods", true},
		{exclusiveRole, "patch", "monitoring.example.org", "silences", true},
		{exclusiveRole, "patch", "monitoring.example.org", "alerts", false},
		{exclusiveRole, "create", "", "namespaces", true},
	} {
		if got := allows(roles[test.role], test.verb, test.group, test.resource); got != test.want {
			t.Errorf("%s may %s %s in group %q: %v", test.role, test.verb, test.resource, test.group, got)
		}
	}
	for name, rules := range roles {
		for _, cannot := range [][3]string{{"update", "rbac.authorization.k8s.io", "clusterroles"}, {"create", "apiregistration.k8s.io", "apiservices"}} {
			if allows(rules, cannot[0], cannot[1], cannot[2]) {
				t.Errorf("%s may %s %s", name, cannot[0], cannot[2])
			}
		}
	}
	if rules := customRules(nil, everyVerb, nil); rules == nil {
		t.Error("no definitions give nil, which the API would not take as an empty list")
	}
}
