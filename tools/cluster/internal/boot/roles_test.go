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

func definition(group, plural string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"group": group, "names": map[string]any{"plural": plural}},
	}}
}

// Promise: the suite may use exactly the custom resources that are defined, status included.
func TestCustomRules(t *testing.T) {
	rules := customRules([]any{
		definition("monitoring.example.org", "alerts"), definition("apps.example.org", "games"),
		definition("monitoring.example.org", "silences"), &unstructured.Unstructured{Object: map[string]any{}}, "no definition",
	})
	if len(rules) != 2 || rules[0].APIGroups[0] != "apps.example.org" {
		t.Fatalf("rules = %+v, want one for each group, sorted", rules)
	}
	for _, resource := range []string{"alerts", "alerts/status", "silences"} {
		if !allows(rules, "patch", "monitoring.example.org", resource) {
			t.Errorf("%s is not granted", resource)
		}
	}
	if allows(rules, "get", "apps.example.org", "alerts") {
		t.Error("a resource is granted in another group")
	}
	if rules := customRules(nil); rules == nil {
		t.Error("no definitions give nil, which the API would not take as an empty list")
	}
}
