package boot

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"stormgate.internal/tools/cluster/internal/pki"
)

// Names of the cluster roles that a boot makes.
const (
	suiteRole        = "stormgate:suite"
	suiteCustomRole  = "stormgate:suite-custom-resources"
	serviceProxyRole = "stormgate:service-proxy"
	controllersRole  = "stormgate:controllers"
)

var everyVerb = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// suiteRules are what a test suite may do, in any namespace: all that belongs
// to running a workload and looking at it. It may not touch RBAC, nodes (but
// for looking), admission webhooks, certificates or API services, and can so
// not make itself an administrator: a scenario that needs more is about the
// cluster rather than about the product. Custom resources come with
// followCustomResources.
func suiteRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Verbs: everyVerb, Resources: []string{
			"namespaces", "namespaces/status",
			"pods", "pods/status", "pods/ephemeralcontainers",
			"services", "services/status", "endpoints",
			"configmaps", "secrets", "serviceaccounts", "events",
			"persistentvolumeclaims", "persistentvolumeclaims/status",
			"replicationcontrollers", "replicationcontrollers/status", "replicationcontrollers/scale",
			"limitranges", "resourcequotas", "resourcequotas/status",
		}},
		// A WebSocket upgrade is a GET and asks for the verb get.
		{APIGroups: []string{""}, Verbs: []string{"get", "create"}, Resources: []string{
			"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy",
		}},
		{APIGroups: []string{""}, Verbs: []string{"get"}, Resources: []string{"pods/log"}},
		{APIGroups: []string{""}, Verbs: []string{"create"}, Resources: []string{"pods/eviction", "serviceaccounts/token"}},
		{APIGroups: []string{""}, Verbs: []string{"get", "list", "watch"}, Resources: []string{"nodes", "persistentvolumes"}},
		{APIGroups: []string{"apps", "batch", "autoscaling", "policy", "networking.k8s.io", "discovery.k8s.io", "events.k8s.io"},
			Verbs: everyVerb, Resources: []string{"*"}},
		{APIGroups: []string{"coordination.k8s.io"}, Verbs: everyVerb, Resources: []string{"leases"}},
		{APIGroups: []string{"apiextensions.k8s.io"}, Verbs: everyVerb, Resources: []string{
			"customresourcedefinitions", "customresourcedefinitions/status",
		}},
		{APIGroups: []string{"storage.k8s.io", "scheduling.k8s.io"}, Verbs: []string{"get", "list", "watch"}, Resources: []string{"*"}},
		{NonResourceURLs: []string{"/metrics", "/livez", "/livez/*", "/readyz", "/readyz/*"}, Verbs: []string{"get"}},
	}
}

// serviceProxyRules are those of system:node-proxier, which RBAC's own
// bootstrap grants more than a second after the API answers: the node is up by
// then and would meet refusals.
func serviceProxyRules() []rbacv1.PolicyRule {
	read := []string{"get", "list", "watch"}
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Verbs: read, Resources: []string{"nodes", "services", "endpoints", "namespaces"}},
		{APIGroups: []string{"discovery.k8s.io"}, Verbs: read, Resources: []string{"endpointslices"}},
		{APIGroups: []string{"", "events.k8s.io"}, Verbs: []string{"create", "patch", "update"}, Resources: []string{"events"}},
	}
}

// A grant is a cluster role, which may be one that Kubernetes brings, bound to
// an identity.
type grant struct {
	name  string
	who   pki.Identity
	role  string              // "": the role is made, with the grant's name
	rules []rbacv1.PolicyRule // of the role that is made
}

// nodeGrant has to be there before the node starts: client-go waits a second
// and more after a refusal.
func nodeGrant() grant {
	return grant{name: serviceProxyRole, who: pki.ServiceProxy, rules: serviceProxyRules()}
}

func otherGrants() []grant {
	return []grant{
		{name: suiteRole, who: pki.Suite, rules: suiteRules()},
		{name: suiteCustomRole, who: pki.Suite, rules: []rbacv1.PolicyRule{}},
		// The role itself comes with RBAC's bootstrap; a binding may precede it.
		{name: "stormgate:kubelet-client", who: pki.KubeletClient, role: "system:kubelet-api-admin"},
	}
}

// make creates the grant. It goes on trying until ctx ends: right after it
// begins to serve, the API server still refuses some writes.
func (g grant) make(ctx context.Context, client kubernetes.Interface) error {
	role := g.role
	if role == "" {
		role = g.name
		object := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: g.name}, Rules: g.rules}
		err := poll(ctx, "cluster role "+g.name+" to be created", func(ctx context.Context) error {
			_, err := client.RbacV1().ClusterRoles().Create(ctx, object, metav1.CreateOptions{})
			return ignoreExisting(err)
		})
		if err != nil {
			return err
		}
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: g.name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: g.who.Name}},
	}
	return poll(ctx, "cluster role binding "+g.name+" to be created", func(ctx context.Context) error {
		_, err := client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
		return ignoreExisting(err)
	})
}

// makeGrants creates several at once.
func makeGrants(ctx context.Context, client kubernetes.Interface, grants []grant) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, g := range grants {
		group.Go(func() error { return g.make(ctx, client) })
	}
	return group.Wait()
}

// ignoreExisting accepts that a create whose answer was lost is repeated.
func ignoreExisting(err error) error {
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return fmt.Errorf("the API answered: %w", err)
}
