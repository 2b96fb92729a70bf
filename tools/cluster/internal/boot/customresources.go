package boot

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
)

var customResourceDefinitions = schema.GroupVersionResource{
	Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
}

// followCustomResources adds the objects of every custom resource that is defined,
// status and scale included, to the roles of suites and leases, from the moment it is
// defined until ctx ends. RBAC has no pattern for "all groups but Kubernetes' own", and
// a plain "*" would make a suite an administrator.
func followCustomResources(ctx context.Context, config *rest.Config, client kubernetes.Interface, log *slog.Logger) {
	dynamicClient, err := dynamic.NewForConfig(config)
	if err != nil {
		log.Error("follow custom resources", "error", err)
		return
	}
	informer := dynamicinformer.NewDynamicSharedInformerFactory(dynamicClient, 0).ForResource(customResourceDefinitions).Informer()
	changed := make(chan struct{}, 1)
	notify := func(any) {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: notify, UpdateFunc: func(_, object any) { notify(object) }, DeleteFunc: notify,
	}); err != nil {
		log.Error("follow custom resources", "error", err)
		return
	}
	go informer.Run(ctx.Done())
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		if err := grantCustomResources(ctx, client, informer.GetStore().List()); err != nil && ctx.Err() == nil {
			log.Warn("grant custom resources; trying again", "error", err)
			time.AfterFunc(time.Second, func() { notify(nil) })
		}
	}
}

// customRules grants the resources that the definitions name, one rule for each
// group, in a stable order: those that wanted accepts by their scope, "Namespaced" or
// "Cluster".
func customRules(definitions []any, verbs []string, wanted func(scope string) bool) []rbacv1.PolicyRule {
	resources := map[string][]string{}
	for _, object := range definitions {
		definition, ok := object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
		plural, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "plural")
		scope, _, _ := unstructured.NestedString(definition.Object, "spec", "scope")
		if group != "" && plural != "" && !isKubernetes(group) && wanted(scope) {
			resources[group] = append(resources[group], plural, plural+"/status", plural+"/scale")
		}
	}
	rules := []rbacv1.PolicyRule{}
	for group, names := range resources {
		slices.Sort(names)
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: names, Verbs: verbs})
	}
	slices.SortFunc(rules, func(a, b rbacv1.PolicyRule) int { return slices.Compare(a.APIGroups, b.APIGroups) })
	return rules
}

// isKubernetes reports whether an API group is Kubernetes' own. A definition may name
// one and is then not served; a rule for it would be about Kubernetes' objects, such
// as roles.
func isKubernetes(group string) bool {
	return scheme.Scheme.IsGroupRegistered(group) || group == "apiextensions.k8s.io" || group == "apiregistration.k8s.io"
}

// customRoles are the roles to which custom resources are added.
func customRoles(definitions []any) map[string][]rbacv1.PolicyRule {
	all := func(string) bool { return true }
	write, read := customRules(definitions, everyVerb, all), customRules(definitions, readVerbs, all)
	return map[string][]rbacv1.PolicyRule{
		suiteRole: append(suiteRules(), write...),
		leaseRole: append(leaseRules(), read...),
		exclusiveRole: append(exclusiveRules(), customRules(definitions, everyVerb, func(scope string) bool {
			return scope == "Cluster"
		})...),
	}
}

func grantCustomResources(ctx context.Context, client kubernetes.Interface, definitions []any) error {
	var errs []error
	for name, rules := range customRoles(definitions) {
		errs = append(errs, retry.RetryOnConflict(retry.DefaultRetry, func() error {
			role, err := client.RbacV1().ClusterRoles().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			role.Rules = rules
			_, err = client.RbacV1().ClusterRoles().Update(ctx, role, metav1.UpdateOptions{})
			return err
		}))
	}
	return errors.Join(errs...)
}
