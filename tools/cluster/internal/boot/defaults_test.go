package boot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"stormgate.internal/tools/cluster/internal/pki"
)

// Promise: all that is missing is made, although the API server refuses at
// first, and what there is already is left alone.
func TestDefaults(t *testing.T) {
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	in := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name}
	}
	defaults := Defaults{
		ClusterRoles:        []rbacv1.ClusterRole{{ObjectMeta: named("a")}, {ObjectMeta: named("b")}},
		ClusterRoleBindings: []rbacv1.ClusterRoleBinding{{ObjectMeta: named("c")}},
		Roles:               []rbacv1.Role{{ObjectMeta: in("kube-system", "d")}, {ObjectMeta: in("kube-public", "d")}},
		RoleBindings:        []rbacv1.RoleBinding{{ObjectMeta: in("kube-system", "e")}},
		PriorityClasses:     []*schedulingv1.PriorityClass{{ObjectMeta: named("f"), Value: 7}},
	}
	made := rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "b", Labels: map[string]string{"by": "a person"}}}
	client := fake.NewClientset(&made)
	var refusals atomic.Int32
	client.PrependReactor("create", "*", func(ktesting.Action) (bool, runtime.Object, error) {
		if refusals.Add(1) <= 5 {
			return true, nil, apierrors.NewServiceUnavailable("not yet")
		}
		return false, nil, nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := defaults.make(ctx, client); err != nil {
		t.Fatal(err)
	}
	if b, err := client.RbacV1().ClusterRoles().Get(ctx, "b", metav1.GetOptions{}); err != nil || b.Labels["by"] != "a person" {
		t.Errorf("role b = %v, %v, want it unchanged", b, err)
	}
	get := metav1.GetOptions{}
	for what, one := range map[string]func() (metav1.Object, error){
		"cluster role":         func() (metav1.Object, error) { return client.RbacV1().ClusterRoles().Get(ctx, "a", get) },
		"cluster role binding": func() (metav1.Object, error) { return client.RbacV1().ClusterRoleBindings().Get(ctx, "c", get) },
		"role":                 func() (metav1.Object, error) { return client.RbacV1().Roles("kube-system").Get(ctx, "d", get) },
		"role of the same name": func() (metav1.Object, error) {
			return client.RbacV1().Roles("kube-public").Get(ctx, "d", get)
		},
		"role binding":   func() (metav1.Object, error) { return client.RbacV1().RoleBindings("kube-system").Get(ctx, "e", get) },
		"priority class": func() (metav1.Object, error) { return client.SchedulingV1().PriorityClasses().Get(ctx, "f", get) },
	} {
		if _, err := one(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Promise: a boot that gives up says at which object, and what the API answered.
func TestDefaultsGiveUp(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("create", "*", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("storage is away")
	})
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("deadline passed")
	cancel(cause)
	err := Defaults{Roles: []rbacv1.Role{{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "reader"}}}}.make(ctx, client)
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "role kube-system/reader") || !strings.Contains(err.Error(), "storage is away") {
		t.Errorf("error = %v", err)
	}
}

// Promise: the part of an identity has its bindings and those of anybody who is
// authenticated, wherever they are, the roles that they bind, and nothing else.
func TestDefaultsOf(t *testing.T) {
	subject := func(kind, name string) []rbacv1.Subject { return []rbacv1.Subject{{Kind: kind, Name: name}} }
	role := func(kind, name string) rbacv1.RoleRef { return rbacv1.RoleRef{Kind: kind, Name: name} }
	in := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name}
	}
	who := pki.Scheduler
	part := Defaults{
		ClusterRoles: []rbacv1.ClusterRole{{ObjectMeta: in("", "mine")}, {ObjectMeta: in("", "shared")}, {ObjectMeta: in("", "other")}, {ObjectMeta: in("", "discovery")}},
		ClusterRoleBindings: []rbacv1.ClusterRoleBinding{
			{ObjectMeta: in("", "mine"), Subjects: subject(rbacv1.UserKind, who.Name), RoleRef: role("ClusterRole", "mine")},
			{ObjectMeta: in("", "anybody"), Subjects: subject(rbacv1.GroupKind, "system:authenticated"), RoleRef: role("ClusterRole", "discovery")},
			{ObjectMeta: in("", "namesake"), Subjects: subject(rbacv1.GroupKind, who.Name), RoleRef: role("ClusterRole", "other")},
		},
		Roles: []rbacv1.Role{{ObjectMeta: in("kube-system", "reader")}, {ObjectMeta: in("kube-public", "reader")}},
		RoleBindings: []rbacv1.RoleBinding{
			{ObjectMeta: in("kube-system", "reader"), Subjects: subject(rbacv1.UserKind, who.Name), RoleRef: role("Role", "reader")},
			{ObjectMeta: in("kube-public", "shared"), Subjects: subject(rbacv1.UserKind, who.Name), RoleRef: role("ClusterRole", "shared")},
			{ObjectMeta: in("kube-public", "other"), Subjects: subject(rbacv1.UserKind, "somebody"), RoleRef: role("Role", "reader")},
		},
		PriorityClasses: []*schedulingv1.PriorityClass{{}},
	}.of(who)
	var got []string
	for _, r := range part.ClusterRoles {
		got = append(got, "clusterrole "+r.Name)
	}
	for _, b := range part.ClusterRoleBindings {
		got = append(got, "clusterrolebinding "+b.Name)
	}
	for _, r := range part.Roles {
		got = append(got, "role "+r.Namespace+"/"+r.Name)
	}
	for _, b := range part.RoleBindings {
		got = append(got, "rolebinding "+b.Namespace+"/"+b.Name)
	}
	want := []string{"clusterrole mine", "clusterrole shared", "clusterrole discovery", "clusterrolebinding mine", "clusterrolebinding anybody",
		"role kube-system/reader", "rolebinding kube-system/reader", "rolebinding kube-public/shared"}
	if !slices.Equal(got, want) || part.PriorityClasses != nil {
		t.Errorf("part = %q and %d priority classes, want %q and none", got, len(part.PriorityClasses), want)
	}
}

// Promise: the controller manager may do what its controllers may, and not what other roles allow.
func TestControllersGrant(t *testing.T) {
	role := func(name, resource string) rbacv1.ClusterRole {
		return rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
			{Verbs: []string{"create"}, APIGroups: []string{""}, Resources: []string{resource}},
		}}
	}
	g := Defaults{ClusterRoles: []rbacv1.ClusterRole{
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
