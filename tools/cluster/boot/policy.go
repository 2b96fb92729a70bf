package boot

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"stormgate.internal/tools/cluster/pki"
)

// Policy is RBAC's bootstrap policy: the default roles of Kubernetes.
//
// kube-apiserver makes them itself, but begins a second after it serves and
// then takes half a second, one object after the other, and the controllers can
// not start before. That second is idle: init makes the same objects in it, and
// kube-apiserver, which reconciles them in any case, finds them done.
type Policy struct {
	ClusterRoles        []rbacv1.ClusterRole
	ClusterRoleBindings []rbacv1.ClusterRoleBinding
	// Roles and RoleBindings name their namespaces, which kube-apiserver makes as
	// soon as it serves.
	Roles        []rbacv1.Role
	RoleBindings []rbacv1.RoleBinding
}

// controllerRolePrefix begins the names of the roles that Kubernetes means for
// the controllers, each of which can work under an identity of its own.
const controllerRolePrefix = "system:controller:"

// controllersGrant lets the controller manager, under its one identity, do what
// any of its controllers may do.
func (p Policy) controllersGrant() grant {
	g := grant{name: controllersRole, who: pki.ControllerManager}
	for _, role := range p.ClusterRoles {
		if strings.HasPrefix(role.Name, controllerRolePrefix) {
			g.rules = append(g.rules, role.Rules...)
		}
	}
	return g
}

// policyWriters is how many objects are written at once; more only make
// kube-apiserver's own start wait.
const policyWriters = 4

// apply makes what is missing. What is missing after an error is left to
// kube-apiserver: the first error ends the head start, not the boot.
func (p Policy) apply(ctx context.Context, client kubernetes.Interface) error {
	rbac := client.RbacV1()
	var create []func(context.Context) error
	for i := range p.ClusterRoles {
		create = append(create, func(ctx context.Context) error {
			_, err := rbac.ClusterRoles().Create(ctx, &p.ClusterRoles[i], metav1.CreateOptions{})
			return err
		})
	}
	for i := range p.ClusterRoleBindings {
		create = append(create, func(ctx context.Context) error {
			_, err := rbac.ClusterRoleBindings().Create(ctx, &p.ClusterRoleBindings[i], metav1.CreateOptions{})
			return err
		})
	}
	for i := range p.Roles {
		create = append(create, func(ctx context.Context) error {
			_, err := rbac.Roles(p.Roles[i].Namespace).Create(ctx, &p.Roles[i], metav1.CreateOptions{})
			return err
		})
	}
	for i := range p.RoleBindings {
		create = append(create, func(ctx context.Context) error {
			_, err := rbac.RoleBindings(p.RoleBindings[i].Namespace).Create(ctx, &p.RoleBindings[i], metav1.CreateOptions{})
			return err
		})
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(policyWriters)
	for _, one := range create {
		group.Go(func() error { return ignoreExisting(one(ctx)) })
	}
	return group.Wait()
}
