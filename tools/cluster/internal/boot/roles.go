package boot

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/pki"
)

// Names of the cluster roles that a boot makes.
const (
	suiteRole        = "stormgate:suite"
	leaseRole        = "stormgate:lease"
	environmentRole  = "stormgate:environment"
	exclusiveRole    = "stormgate:exclusive"
	serviceProxyRole = "stormgate:service-proxy"
	controllersRole  = "stormgate:controllers"
)

var (
	everyVerb = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
	readVerbs = []string{"get", "list", "watch"}
)

// suiteRules are what a test may do in its own namespaces, where a RoleBinding gives
// it this role: all that belongs to running a workload and looking at it. It may not
// touch RBAC, nodes (but for looking), admission webhooks, certificates or API
// services, and can so not make itself an administrator: a scenario that needs more
// is about the cluster rather than about the product. Custom resources come with
// followCustomResources.
func suiteRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		// Of the namespace's labels makeLeasePolicy keeps some.
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
		{APIGroups: []string{""}, Verbs: readVerbs, Resources: []string{"nodes", "persistentvolumes"}},
		{APIGroups: []string{"apps", "batch", "autoscaling", "policy", "networking.k8s.io", "discovery.k8s.io", "events.k8s.io"},
			Verbs: everyVerb, Resources: []string{"*"}},
		{APIGroups: []string{"coordination.k8s.io"}, Verbs: everyVerb, Resources: []string{"leases"}},
		{APIGroups: []string{"apiextensions.k8s.io"}, Verbs: everyVerb, Resources: []string{
			"customresourcedefinitions", "customresourcedefinitions/status",
		}},
		{APIGroups: []string{"storage.k8s.io", "scheduling.k8s.io"}, Verbs: readVerbs, Resources: []string{"*"}},
		{NonResourceURLs: []string{"/metrics", "/livez", "/livez/*", "/readyz", "/readyz/*"}, Verbs: []string{"get"}},
	}
}

// leaseRules are what each lease may do everywhere: look at all but Secrets. What leads
// into pods is not among them: the software of another environment may change by what it
// is sent, and its tests would not know. RBAC can refuse nothing, so what is in the group of Secrets is
// listed.
func leaseRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Verbs: readVerbs, Resources: []string{
			"namespaces", "namespaces/status", "nodes", "nodes/status",
			"pods", "pods/status", "pods/ephemeralcontainers", "pods/resize", "podtemplates",
			"services", "services/status", "endpoints", "configmaps", "serviceaccounts", "events",
			"persistentvolumes", "persistentvolumes/status", "persistentvolumeclaims", "persistentvolumeclaims/status",
			"replicationcontrollers", "replicationcontrollers/status", "replicationcontrollers/scale",
			"limitranges", "resourcequotas", "resourcequotas/status", "componentstatuses",
		}},
		{APIGroups: []string{""}, Verbs: []string{"get"}, Resources: []string{"pods/log"}},
		{APIGroups: []string{
			"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps", "autoscaling", "batch",
			"coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io", "networking.k8s.io",
			"node.k8s.io", "policy", "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
		}, Verbs: readVerbs, Resources: []string{"*"}},
		{NonResourceURLs: []string{"/metrics", "/livez", "/livez/*", "/readyz", "/readyz/*"}, Verbs: []string{"get"}},
	}
}

// environmentRules are what a lease may do in its environment's namespaces beside leaseRules.
func environmentRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Verbs: readVerbs, Resources: []string{"secrets"}},
		{APIGroups: []string{""}, Verbs: []string{"get"}, Resources: []string{"pods/proxy", "services/proxy"}},
		// A WebSocket upgrade is a GET and asks for the verb get.
		{APIGroups: []string{""}, Verbs: []string{"get", "create"}, Resources: []string{"pods/portforward"}},
	}
}

// exclusiveRules are the objects outside all namespaces that an exclusive lease may
// write: those that workloads are defined by or choose from, which a deployment of
// the environment makes anew. Not among them is what would let it be more than it is
// (RBAC, certificate requests, API services), look into or stop the requests of
// others (admission webhooks and policies, priority levels of the API), or take the
// node from others.
func exclusiveRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Verbs: everyVerb, Resources: []string{"namespaces", "namespaces/status", "persistentvolumes", "persistentvolumes/status"}},
		{APIGroups: []string{"apiextensions.k8s.io"}, Verbs: everyVerb, Resources: []string{"customresourcedefinitions", "customresourcedefinitions/status"}},
		{APIGroups: []string{"scheduling.k8s.io"}, Verbs: everyVerb, Resources: []string{"priorityclasses"}},
		{APIGroups: []string{"storage.k8s.io"}, Verbs: everyVerb, Resources: []string{"storageclasses", "csidrivers", "volumeattributesclasses"}},
		{APIGroups: []string{"node.k8s.io"}, Verbs: everyVerb, Resources: []string{"runtimeclasses"}},
		{APIGroups: []string{"networking.k8s.io"}, Verbs: everyVerb, Resources: []string{"ingressclasses"}},
	}
}

// serviceProxyRules are those of system:node-proxier, which RBAC's own
// bootstrap grants more than a second after the API answers: the node is up by
// then and would meet refusals.
func serviceProxyRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Verbs: readVerbs, Resources: []string{"nodes", "services", "endpoints", "namespaces"}},
		{APIGroups: []string{"discovery.k8s.io"}, Verbs: readVerbs, Resources: []string{"endpointslices"}},
		{APIGroups: []string{"", "events.k8s.io"}, Verbs: []string{"create", "patch", "update"}, Resources: []string{"events"}},
	}
}

// A grant is a cluster role, which may be one that Kubernetes brings, bound to
// an identity or a group.
type grant struct {
	name  string
	who   pki.Identity
	group string              // instead of who; with neither, the role is bound to nobody
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
		// The role itself comes with RBAC's bootstrap; a binding may precede it.
		{name: "stormgate:kubelet-client", who: pki.KubeletClient, role: "system:kubelet-api-admin"},
	}
}

// leaseGroup has the identities of leases.
const leaseGroup = "system:serviceaccounts:" + api.LeaseNamespace

// leaseGrants are for the service accounts of leases, which the fixture makes. It
// binds the roles that are bound to nobody here, in the namespaces that they are for.
func leaseGrants() []grant {
	return []grant{
		{name: leaseRole, group: leaseGroup, rules: leaseRules()},
		{name: suiteRole, rules: suiteRules()},
		{name: environmentRole, rules: environmentRules()},
		{name: exclusiveRole, rules: exclusiveRules()},
	}
}

// make creates the grant.
func (g grant) make(ctx context.Context, client kubernetes.Interface) error {
	role := g.role
	if role == "" {
		role = g.name
		object := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: g.name}, Rules: g.rules}
		if err := create(ctx, "cluster role "+g.name, object, client.RbacV1().ClusterRoles().Create); err != nil {
			return err
		}
	}
	subject := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: g.who.Name}
	switch {
	case g.group != "":
		subject.Kind, subject.Name = rbacv1.GroupKind, g.group
	case subject.Name == "":
		return nil
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: g.name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{subject},
	}
	return create(ctx, "cluster role binding "+g.name, binding, client.RbacV1().ClusterRoleBindings().Create)
}

// makeGrants creates several at once.
func makeGrants(ctx context.Context, client kubernetes.Interface, grants []grant) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, g := range grants {
		group.Go(func() error { return g.make(ctx, client) })
	}
	return group.Wait()
}

// create makes an object. It goes on trying until ctx ends: right after it begins to
// serve, the API server still refuses some writes. That there is one already is accepted,
// since a create whose answer was lost is repeated.
func create[T any](ctx context.Context, what string, object T, create func(context.Context, T, metav1.CreateOptions) (T, error)) error {
	return poll(ctx, what+" to be created", func(ctx context.Context) error {
		_, err := create(ctx, object, metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			return nil
		}
		return fmt.Errorf("the API answered: %w", err)
	})
}
