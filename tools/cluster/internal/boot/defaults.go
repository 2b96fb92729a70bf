package boot

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"

	"stormgate.internal/tools/cluster/internal/pki"
)

// Defaults are the objects that a cluster has from its start: the default roles
// of RBAC and the priority classes of the system.
//
// In other clusters two start hooks of kube-apiserver make them, a second after
// it serves, in half a second, one after the other; and it is unhealthy until
// then, which the controller manager waits for. Here init makes them at once,
// and first those that the boot waits for, and the hooks are off (see
// newAPIServerCommand in the cluster command).
type Defaults struct {
	ClusterRoles        []rbacv1.ClusterRole
	ClusterRoleBindings []rbacv1.ClusterRoleBinding
	// Roles and RoleBindings name their namespaces, which kube-apiserver makes as
	// soon as it serves.
	Roles           []rbacv1.Role
	RoleBindings    []rbacv1.RoleBinding
	PriorityClasses []*schedulingv1.PriorityClass
}

// controllerRolePrefix begins the names of the roles that Kubernetes means for
// the controllers, each of which can work under an identity of its own.
const controllerRolePrefix = "system:controller:"

// controllersGrant lets the controller manager, under its one identity, do what
// any of its controllers may do.
func (d Defaults) controllersGrant() grant {
	g := grant{name: controllersRole, who: pki.ControllerManager}
	for _, role := range d.ClusterRoles {
		if strings.HasPrefix(role.Name, controllerRolePrefix) {
			g.rules = append(g.rules, role.Rules...)
		}
	}
	return g
}

// withoutControllerBindings leaves out the bindings of the controllers' roles to
// service accounts of kube-system. The controllers do without them here (see
// controllersGrant), and whoever may run pods in kube-system would have the rights of
// any controller, among them to change all roles.
func (d Defaults) withoutControllerBindings() Defaults {
	d.ClusterRoleBindings = slices.DeleteFunc(slices.Clone(d.ClusterRoleBindings), func(b rbacv1.ClusterRoleBinding) bool {
		return strings.HasPrefix(b.RoleRef.Name, controllerRolePrefix)
	})
	return d
}

// of returns the part that gives some identities their rights, by name or as
// authenticated users: the bindings whose subject they are and the roles that
// they bind.
func (d Defaults) of(who ...pki.Identity) Defaults {
	isSubject := func(subjects []rbacv1.Subject) bool {
		return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
			if s.Kind == rbacv1.GroupKind {
				return s.Name == user.AllAuthenticated
			}
			return s.Kind == rbacv1.UserKind && slices.ContainsFunc(who, func(w pki.Identity) bool { return w.Name == s.Name })
		})
	}
	var part Defaults
	clusterRoles, roles := map[string]bool{}, map[[2]string]bool{}
	for _, binding := range d.ClusterRoleBindings {
		if isSubject(binding.Subjects) {
			part.ClusterRoleBindings = append(part.ClusterRoleBindings, binding)
			clusterRoles[binding.RoleRef.Name] = true
		}
	}
	for _, binding := range d.RoleBindings {
		if !isSubject(binding.Subjects) {
			continue
		}
		part.RoleBindings = append(part.RoleBindings, binding)
		if binding.RoleRef.Kind == "ClusterRole" {
			clusterRoles[binding.RoleRef.Name] = true
		} else {
			roles[[2]string{binding.Namespace, binding.RoleRef.Name}] = true
		}
	}
	for _, role := range d.ClusterRoles {
		if clusterRoles[role.Name] {
			part.ClusterRoles = append(part.ClusterRoles, role)
		}
	}
	for _, role := range d.Roles {
		if roles[[2]string{role.Namespace, role.Name}] {
			part.Roles = append(part.Roles, role)
		}
	}
	return part
}

// defaultsWriters is how many objects are written at once; more only make the
// components that start meanwhile wait.
const defaultsWriters = 4

// make creates what is missing. It goes on trying until ctx ends: right after it
// begins to serve, the API server still refuses some writes, and its namespaces
// are not there yet.
func (d Defaults) make(ctx context.Context, client kubernetes.Interface) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(defaultsWriters)
	rbac := client.RbacV1()
	for i := range d.ClusterRoles {
		role := &d.ClusterRoles[i]
		group.Go(func() error { return create(ctx, "cluster role "+role.Name, role, rbac.ClusterRoles().Create) })
	}
	for i := range d.ClusterRoleBindings {
		binding := &d.ClusterRoleBindings[i]
		group.Go(func() error {
			return create(ctx, "cluster role binding "+binding.Name, binding, rbac.ClusterRoleBindings().Create)
		})
	}
	for i := range d.Roles {
		role := &d.Roles[i]
		group.Go(func() error {
			return create(ctx, "role "+role.Namespace+"/"+role.Name, role, rbac.Roles(role.Namespace).Create)
		})
	}
	for i := range d.RoleBindings {
		binding := &d.RoleBindings[i]
		group.Go(func() error {
			return create(ctx, "role binding "+binding.Namespace+"/"+binding.Name, binding, rbac.RoleBindings(binding.Namespace).Create)
		})
	}
	for _, class := range d.PriorityClasses {
		group.Go(func() error {
			return create(ctx, "priority class "+class.Name, class, client.SchedulingV1().PriorityClasses().Create)
		})
	}
	return group.Wait()
}
