package boottest

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/boot"
	"stormgate.internal/tools/cluster/internal/clustertest"
)

func client(t *testing.T, cluster *clustertest.Cluster, identity string) kubernetes.Interface {
	t.Helper()
	config, err := cluster.RESTConfig(deadline(t, bootTimeout), identity)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Promise: from nothing to a cluster whose node is Ready, reachable by its socket, that ends with its
// standard input and leaves nothing.
func TestBootAndEnd(t *testing.T) {
	cluster := run(t)
	await(t, cluster, api.EventAPI)

	// "api" means that administrators may write, long before all is ready.
	ctx := deadline(t, bootTimeout)
	admin := client(t, cluster, "admin")
	if _, err := admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "early"}}, metav1.CreateOptions{}); err != nil {
		t.Errorf("write right after the event %q: %v", api.EventAPI, err)
	}

	await(t, cluster, api.EventReady)
	node, err := admin.CoreV1().Nodes().Get(ctx, boot.NodeName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	}) {
		t.Errorf("after %q the node's conditions are %v", api.EventReady, node.Status.Conditions)
	}
	checkKubeletClient(t, admin)
	checkDefaults(t, admin)
	checkReport(t, cluster)
	checkPrivacy(t, cluster.Dir)

	processes := tree(t, cluster)
	for _, name := range []string{"init", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "node"} {
		if n := len(slices.DeleteFunc(slices.Clone(processes), func(p clustertest.Process) bool { return p.Name != name })); n != 1 {
			t.Errorf("there are %d processes %s, want 1", n, name)
		}
	}
	if err := cluster.CloseInput(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Wait(deadline(t, bootTimeout)); err != nil {
		t.Errorf("an ordered end gives %v", err)
	}
	expectNothingLeft(t, processes, cluster.Dir)
}

// kube-apiserver may use the kubelet's API for logs and the like, and the role of suites does not reach it.
func checkKubeletClient(t *testing.T, admin kubernetes.Interface) {
	t.Helper()
	for user, want := range map[string]bool{"kube-apiserver-kubelet-client": true, "system:serviceaccount:stormgate-leases:lease-1": false} {
		review, err := admin.AuthorizationV1().SubjectAccessReviews().Create(deadline(t, bootTimeout), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:stormgate-leases", "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "nodes", Subresource: "proxy"},
		}}, metav1.CreateOptions{})
		if err != nil || review.Status.Allowed != want {
			t.Errorf("%s may use the kubelet's API: %v, %v, want %v", user, review.Status.Allowed, err, want)
		}
	}
}

// What init makes in the place of kube-apiserver's start hooks is there, and the
// controllers have seen it: view is filled by the one that aggregates roles.
func checkDefaults(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	ctx := deadline(t, bootTimeout)
	roles, err := client.RbacV1().ClusterRoles().List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/bootstrapping=rbac-defaults"})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, role := range roles.Items {
		names[role.Name] = true
	}
	for _, want := range []string{"cluster-admin", "admin", "edit", "view", "system:discovery", "system:node", "system:kubelet-api-admin", "system:controller:job-controller"} {
		if !names[want] {
			t.Errorf("cluster role %s is missing among %d", want, len(names))
		}
	}
	for _, namespace := range []string{"kube-system", "kube-public"} {
		bindings, err := client.RbacV1().RoleBindings(namespace).List(ctx, metav1.ListOptions{})
		if err != nil || len(bindings.Items) == 0 {
			t.Errorf("role bindings in %s: %d, %v", namespace, len(bindings.Items), err)
		}
	}
	for _, name := range []string{"system-cluster-critical", "system-node-critical"} {
		if _, err := client.SchedulingV1().PriorityClasses().Get(ctx, name, metav1.GetOptions{}); err != nil {
			t.Errorf("priority class: %v", err)
		}
	}
	err = wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		view, err := client.RbacV1().ClusterRoles().Get(ctx, "view", metav1.GetOptions{})
		return err == nil && len(view.Rules) > 0, err
	})
	if err != nil {
		t.Errorf("wait for the rules of cluster role view: %v", err)
	}
}

// The report names each step once, in order of time, and what each process uses.
func checkReport(t *testing.T, cluster *clustertest.Cluster) {
	t.Helper()
	report, err := cluster.Report(deadline(t, bootTimeout))
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, step := range report.Steps {
		steps = append(steps, step.Name)
		if step.End < step.Start || step.End > report.Ready {
			t.Errorf("step %+v is out of order, ready at %f", step, report.Ready)
		}
	}
	for _, want := range []string{"namespaces", "isolation", "certificates", "etcd", "kube-apiserver", "node's role", "roles", "defaults", "node", "node ready", "kube-apiserver complete", "kube-controller-manager", "kube-scheduler"} {
		if !slices.Contains(steps, want) {
			t.Errorf("steps = %q lack %q", steps, want)
		}
	}
	if len(report.Components) != 6 {
		t.Errorf("components = %+v, want init and five", report.Components)
	}
	for _, component := range report.Components {
		if component.RSSBytes <= 0 {
			t.Errorf("component %+v uses no memory", component)
		}
	}
}

// What is there is for its owner only, and no credentials are.
func checkPrivacy(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"api.sock", "control.sock", "boot.json", "logs/etcd.log"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v, want it closed to others", name, info, err)
		}
	}
	if found := credentialsIn(t, dir); len(found) > 0 {
		t.Errorf("files with credentials: %q, want none", found)
	}
}

// Promise: logs can be kept, and then nothing else is.
func TestKeepLogs(t *testing.T) {
	cluster := run(t, "--keep-logs")
	await(t, cluster, "etcd")
	if err := cluster.CloseInput(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Wait(deadline(t, bootTimeout)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(cluster.Dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "logs" {
		t.Fatalf("left: %v, %v, want logs alone", entries, err)
	}
	log, err := os.ReadFile(filepath.Join(cluster.Dir, "logs", "etcd.log"))
	if err != nil || !strings.Contains(string(log), "{") {
		t.Errorf("etcd's log = %q, %v", log, err)
	}
}
