package boottest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/clustertest"
)

// Promise: the control interface of a cluster keeps environments apart by their scopes, ends them, and
// tells what happened to containers and who wrote what; the identities of fixture and leases are as
// narrow as they say. One cluster serves all.
func TestControl(t *testing.T) {
	cluster := run(t, "--expose") // a WebSocket's dialer knows no unix socket
	await(t, cluster, api.EventReady)
	c := &controlled{T: t, cluster: cluster, admin: client(t, cluster, "admin"), fixture: client(t, cluster, "fixture")}
	t.Run("scopes", func(t *testing.T) { c.with(t).scopes() })
	t.Run("end", func(t *testing.T) { c.with(t).end() })
	t.Run("host files", func(t *testing.T) { c.with(t).hostFiles() })
	t.Run("lives", func(t *testing.T) { c.with(t).lives() })
	t.Run("writes", func(t *testing.T) { c.with(t).writesAreTold() })
	t.Run("writes of many", func(t *testing.T) { c.with(t).writesOfMany() })
	t.Run("identities", func(t *testing.T) { c.with(t).identities() })
	t.Run("refusals", func(t *testing.T) { c.with(t).refusals() })
}

type controlled struct {
	*testing.T
	cluster        *clustertest.Cluster
	admin, fixture kubernetes.Interface
}

func (c *controlled) with(t *testing.T) *controlled {
	copied := *c
	copied.T = t
	return &copied
}

// call asks the control interface and returns the status code and the body.
func (c *controlled) call(method, path string, body any) (int, string) {
	c.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		c.Fatal(err)
	}
	return c.send(c.cluster.Control(), method, path, bytes.NewReader(encoded))
}

func (c *controlled) send(client *http.Client, method, path string, body io.Reader) (int, string) {
	c.Helper()
	request, err := http.NewRequestWithContext(deadline(c.T, bootTimeout), method, "http://cluster"+path, body)
	if err != nil {
		c.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		c.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func (c *controlled) must(method, path string, body any) {
	c.Helper()
	if code, answer := c.call(method, path, body); code != http.StatusNoContent {
		c.Fatalf("%s %s = %d %s", method, path, code, answer)
	}
}

func get[T any](c *controlled, path string) (value T) {
	c.Helper()
	code, answer := c.call(http.MethodGet, path, nil)
	if err := json.Unmarshal([]byte(answer), &value); err != nil || code != http.StatusOK {
		c.Fatalf("GET %s = %d %s, %v", path, code, answer, err)
	}
	return value
}

func (c *controlled) namespaces(names ...string) {
	c.Helper()
	for _, name := range names {
		if _, err := c.fixture.CoreV1().Namespaces().Create(c.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			c.Fatal(err)
		}
	}
}

// shell is an image of the machine's programs that says a word and stays.
func shell(word string) api.Image {
	return api.Image{
		Reference:  "app:dev",
		Entrypoint: []string{"/bin/sh", "-c", "trap '' TERM; trap 'exit 3' USR1; echo program " + word + "; while :; do sleep 1; done"},
		Files:      map[string]string{"/bin": "/usr/bin", "/lib": "/usr/lib", "/lib64": "/usr/lib64", "/usr": "/usr"},
	}
}

// pod runs a pod of the image app:dev and waits until it says its program's word.
func (c *controlled) pod(namespace, name, word string, change ...func(*corev1.Pod)) *corev1.Pod {
	c.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:dev", ImagePullPolicy: corev1.PullIfNotPresent}}},
	}
	for _, change := range change {
		change(pod)
	}
	if _, err := c.fixture.CoreV1().Pods(namespace).Create(c.Context(), pod, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
	return c.says(namespace, name, word)
}

// says waits until the pod's container runs and has said the word.
func (c *controlled) says(namespace, name, word string) (pod *corev1.Pod) {
	c.Helper()
	last := ""
	err := wait.PollUntilContextCancel(deadline(c.T, bootTimeout), 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var err error
		if pod, err = c.admin.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return false, err
		}
		text, err := c.admin.CoreV1().Pods(namespace).GetLogs(name, &corev1.PodLogOptions{}).DoRaw(ctx)
		last = fmt.Sprintf("%q, %v, %+v", text, err, pod.Status.ContainerStatuses)
		return err == nil && pod.Status.Phase == corev1.PodRunning && string(text) == "program "+word+"\n", nil
	})
	if err != nil {
		c.Fatalf("wait for pod %s/%s to say %q: %v; last: %s", namespace, name, word, err, last)
	}
	return pod
}

// exec runs a command in a pod, as the administrator.
func (c *controlled) exec(namespace, name string, command ...string) error {
	c.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.cluster.Process.Dir.Kubeconfig())
	if err != nil {
		c.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		c.Fatal(err)
	}
	request := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(name).SubResource("exec")
	request.VersionedParams(&corev1.PodExecOptions{Container: "app", Stderr: true, Command: command}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, request.URL().String())
	if err != nil {
		c.Fatal(err)
	}
	return executor.StreamWithContext(deadline(c.T, bootTimeout), remotecommand.StreamOptions{Stderr: io.Discard})
}

// Two environments of one cluster give one reference different files: each one's pods run its own, at
// first, after a restart and whatever the pull policy is. It was the last registered that ran.
func (c *controlled) scopes() {
	c.namespaces("a", "b")
	c.must(http.MethodPut, api.ScopesPath+"a", api.Scope{Namespaces: []string{"a"}, Images: []api.Image{shell("A")}})
	a := c.pod("a", "web", "A")
	c.must(http.MethodPut, api.ScopesPath+"b", api.Scope{Namespaces: []string{"b"}, Images: []api.Image{shell("B")}})
	b := c.pod("b", "web", "B")
	for _, policy := range []corev1.PullPolicy{corev1.PullNever, corev1.PullAlways} {
		for namespace, word := range map[string]string{"a": "A", "b": "B"} {
			c.pod(namespace, strings.ToLower(string(policy)), word, func(p *corev1.Pod) { p.Spec.Containers[0].ImagePullPolicy = policy })
		}
	}
	if a.Status.ContainerStatuses[0].ImageID == b.Status.ContainerStatuses[0].ImageID || a.Status.ContainerStatuses[0].ImageID != shell("A").ID() {
		c.Errorf("image ids %q and %q, want the first to be %q", a.Status.ContainerStatuses[0].ImageID, b.Status.ContainerStatuses[0].ImageID, shell("A").ID())
	}
	if got := a.Status.ContainerStatuses[0].Image; got != "app:dev" {
		c.Errorf("the status has image %q", got)
	}

	c.crash(a)
	c.says("a", "web", "A")

	if code, answer := c.call(http.MethodPut, api.ScopesPath+"c", api.Scope{Namespaces: []string{"b"}}); code != http.StatusConflict || !strings.Contains(answer, `scope \"b\"`) {
		c.Errorf("a scope with another's namespace: %d %s", code, answer)
	}
	// A replaced scope: running containers stay, restarted ones change.
	c.must(http.MethodPut, api.ScopesPath+"b", api.Scope{Namespaces: []string{"b"}, Images: []api.Image{shell("B2")}})
	c.says("b", "web", "B")
	c.crash(b)
	c.says("b", "web", "B2")
}

// crash makes a pod's program exit with status 3, and waits for its restart.
func (c *controlled) crash(pod *corev1.Pod) {
	c.Helper()
	last := get[api.Lives](c, api.LivesPath).Last
	if err := c.exec(pod.Namespace, pod.Name, "/bin/sh", "-c", "kill -USR1 1"); err != nil {
		c.Fatal(err)
	}
	c.awaitLife(last, func(l api.Life) bool { return l.PodUID == string(pod.UID) && !l.Ended })
}

// awaitLife polls for one after seq.
func (c *controlled) awaitLife(seq uint64, wanted func(api.Life) bool) {
	c.Helper()
	var lives api.Lives
	err := wait.PollUntilContextCancel(deadline(c.T, bootTimeout), 20*time.Millisecond, true, func(context.Context) (bool, error) {
		lives = get[api.Lives](c, fmt.Sprintf("%s?after=%d", api.LivesPath, seq))
		return slices.ContainsFunc(lives.Lives, wanted), nil
	})
	if err != nil {
		c.Fatalf("%v; lives: %+v", err, lives)
	}
}

// When /end answers, no process is left that could reach what comes next, though it does not listen to
// SIGTERM and its pod's object is already gone. Those pods never start again; new ones of the same names do.
func (c *controlled) end() {
	c.namespaces("old")
	c.must(http.MethodPut, api.ScopesPath+"old", api.Scope{Namespaces: []string{"old"}, Images: []api.Image{shell("OLD")}})
	c.pod("old", "gone", "OLD")
	c.pod("old", "deleted", "OLD")
	c.pod("old", "left", "OLD")
	pods := c.fixture.CoreV1().Pods("old")
	at := get[api.Lives](c, api.LivesPath).Last
	if err := pods.Delete(c.Context(), "gone", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
		c.Fatal(err)
	}
	if err := pods.Delete(c.Context(), "deleted", metav1.DeleteOptions{}); err != nil {
		c.Fatal(err)
	}
	begun := time.Now()
	c.must(http.MethodPost, api.EndPath, api.End{Namespaces: []string{"old"}})
	c.Logf("3 pods ended in %v", time.Since(begun))
	for _, process := range tree(c.T, c.cluster) {
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process.Pid))
		if err == nil && strings.Contains(string(command), "program OLD") {
			c.Errorf("process %d of the old environment is left: %s", process.Pid, command)
		}
	}
	lives := get[api.Lives](c, fmt.Sprintf("%s?after=%d", api.LivesPath, at))
	ends := slices.DeleteFunc(lives.Lives, func(l api.Life) bool { return !l.Ended || l.Namespace != "old" })
	if len(ends) != 3 || slices.ContainsFunc(ends, func(l api.Life) bool { return !l.Ordered }) {
		c.Errorf("ends %+v, want three that were ordered", ends)
	}
	err := wait.PollUntilContextCancel(deadline(c.T, bootTimeout), 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		list, err := pods.List(ctx, metav1.ListOptions{})
		return err == nil && len(list.Items) == 1 && list.Items[0].Name == "left", err
	})
	if err != nil {
		c.Errorf("wait for the pods to be gone: %v", err)
	}
	if err := pods.Delete(c.Context(), "left", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
		c.Fatal(err)
	}
	c.must(http.MethodPut, api.ScopesPath+"old", api.Scope{Namespaces: []string{"old"}, Images: []api.Image{shell("NEW")}})
	c.pod("old", "left", "NEW")
	for _, life := range get[api.Lives](c, fmt.Sprintf("%s?after=%d", api.LivesPath, lives.Last)).Lives {
		if life.Namespace == "old" && (life.Ended || life.Pod != "left") {
			c.Errorf("after the end: %+v, want the beginning of the new pod alone", life)
		}
	}
}

// What pods write by hostPath, and into the node's shared memory, is their scope's own, and is gone
// where that ends as a whole. It was one directory for all, for as long as the cluster lived.
func (c *controlled) hostFiles() {
	c.namespaces("files", "beside")
	for _, name := range []string{"files", "beside"} {
		c.must(http.MethodPut, api.ScopesPath+name, api.Scope{Namespaces: []string{name}, Images: []api.Image{shell("F")}})
	}
	onNode := func(p *corev1.Pod) {
		p.Spec.HostIPC = true
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/lib/data"}}}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/data"}}
	}
	has := func(namespace, name string) bool {
		c.pod(namespace, name, "F", onNode)
		found := c.exec(namespace, name, "/bin/sh", "-c", "[ -e /data/mark ]") == nil
		if shared := c.exec(namespace, name, "/bin/sh", "-c", "[ -e /dev/shm/mark ]") == nil; shared != found {
			c.Errorf("pod %s/%s has the file by hostPath: %v, in shared memory: %v", namespace, name, found, shared)
		}
		return found
	}
	c.pod("files", "writer", "F", onNode)
	if err := c.exec("files", "writer", "/bin/sh", "-c", "echo mark >/data/mark; echo mark >/dev/shm/mark"); err != nil {
		c.Fatal(err)
	}
	if !has("files", "reader") || has("beside", "reader") {
		c.Error("the files are not those of the scope alone")
	}
	c.must(http.MethodPost, api.EndPath, api.End{Namespaces: []string{"files"}})
	if !has("files", "after-a-part") {
		c.Error("the files are gone though the scope goes on")
	}
	c.must(http.MethodPost, api.EndPath, api.End{Namespaces: []string{"files"}, HostFiles: true})
	if has("files", "after-the-end") {
		c.Error("the files are there after the end of their scope")
	}
}

// A crash that a restart hides is told, as one that nobody ordered.
func (c *controlled) lives() {
	c.namespaces("lives")
	c.must(http.MethodPut, api.ScopesPath+"lives", api.Scope{Namespaces: []string{"lives"}, Images: []api.Image{shell("L")}})
	pod := c.pod("lives", "web", "L")
	c.crash(pod)
	var got []string
	for _, l := range get[api.Lives](c, api.LivesPath).Lives {
		if l.PodUID == string(pod.UID) {
			got = append(got, fmt.Sprint(l.Pod, l.Container, l.Image, l.Ended, l.Ordered, l.ExitCode))
		}
	}
	want := []string{fmt.Sprint("web", "app", "app:dev", false, false, 0), fmt.Sprint("web", "app", "app:dev", true, false, 3), fmt.Sprint("web", "app", "app:dev", false, false, 0)}
	if !slices.Equal(got, want) {
		c.Errorf("lives %q, want %q", got, want)
	}
}

// writesAfter describes the writes of all that are not the fixture.
func (c *controlled) writesAfter(seq uint64) []string {
	c.Helper()
	var told []string
	for _, w := range get[api.Writes](c, fmt.Sprintf("%s?after=%d", api.WritesPath, seq)).Writes {
		resource := w.Resource
		if w.Subresource != "" {
			resource += "/" + w.Subresource
		}
		told = append(told, fmt.Sprintf("%s %s %s %s/%s %d", strings.TrimPrefix(w.User, "stormgate:"), w.Verb, resource, w.Namespace, w.Name, w.Code))
	}
	return told
}

// Each write is told at once, with who it was, and what the cluster does by itself is not.
func (c *controlled) writesAreTold() {
	c.namespaces("told")
	c.must(http.MethodPut, api.ScopesPath+"told", api.Scope{Namespaces: []string{"told"}, Images: []api.Image{shell("T")}})
	c.pod("told", "web", "T")
	last := get[api.Writes](c, api.WritesPath).Last
	ctx := c.Context()
	patch := []byte(`{"metadata":{"labels":{"drift":"yes"}}}`)
	if _, err := c.admin.CoreV1().Pods("told").Patch(ctx, "web", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		c.Fatal(err)
	}
	c.check(last, "admin patch pods told/web 200")

	// A refusal, a read and a rehearsal change nothing.
	if _, err := c.admin.CoreV1().Pods("told").Patch(ctx, "nobody", types.MergePatchType, patch, metav1.PatchOptions{}); !apierrors.IsNotFound(err) {
		c.Errorf("patch of nothing: %v", err)
	}
	if _, err := c.admin.CoreV1().Pods("told").Patch(ctx, "web", types.MergePatchType, patch, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		c.Error(err)
	}
	c.check(last, "admin patch pods told/web 200")
	if _, err := c.admin.CoreV1().Events("told").Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e"}, InvolvedObject: corev1.ObjectReference{Namespace: "told"}}, metav1.CreateOptions{}); err != nil {
		c.Error(err)
	}
	c.check(last, "admin patch pods told/web 200", "admin create events told/e 201")

	last = get[api.Writes](c, api.WritesPath).Last
	if err := c.exec("told", "web", "/bin/true"); err != nil {
		c.Error(err)
	}
	c.check(last, "admin get pods/exec told/web 101")

	// Whoever impersonates is told by their own name.
	config, err := c.cluster.RESTConfig(ctx, "admin")
	if err != nil {
		c.Fatal(err)
	}
	for _, mask := range []string{"system:kube-scheduler", "stormgate:fixture", "stormgate:init"} {
		last = get[api.Writes](c, api.WritesPath).Last
		config.Impersonate = rest.ImpersonationConfig{UserName: mask, Groups: []string{"system:masters"}}
		masked, err := kubernetes.NewForConfig(config)
		if err != nil {
			c.Fatal(err)
		}
		if err := masked.CoreV1().ConfigMaps("told").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "none=such"}); err != nil {
			c.Error(err)
		}
		c.check(last, "admin deletecollection configmaps told/ 200")
	}

	// A token of an environment's service account is a way to write as that.
	last = get[api.Writes](c, api.WritesPath).Last
	if _, err := c.admin.CoreV1().ServiceAccounts("told").CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{}); err != nil {
		c.Error(err)
	}
	c.check(last, "admin create serviceaccounts/token told/default 201")
}

func (c *controlled) check(seq uint64, want ...string) {
	c.Helper()
	if got := c.writesAfter(seq); !slices.Equal(got, want) {
		c.Errorf("writes %q, want %q", got, want)
	}
}

// Whoever has the answer to a write finds it in the record, however many write.
func (c *controlled) writesOfMany() {
	c.namespaces("many")
	var group errgroup.Group
	for writer := range 8 {
		group.Go(func() error {
			name := fmt.Sprint("writer-", writer)
			last := uint64(0)
			for i := range 25 {
				// More than the server's buffers hold, so that the answer is sent in pieces.
				object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(name, "-", i)}, Data: map[string]string{"x": strings.Repeat("x", 20_000)}}
				if _, err := c.admin.CoreV1().ConfigMaps("many").Create(c.Context(), object, metav1.CreateOptions{}); err != nil {
					return err
				}
				writes := get[api.Writes](c, fmt.Sprintf("%s?after=%d", api.WritesPath, last))
				if !slices.ContainsFunc(writes.Writes, func(w api.Write) bool { return w.Name == object.Name }) {
					return fmt.Errorf("the write of %s is not among %d after number %d", object.Name, len(writes.Writes), last)
				}
				last = writes.Last
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		c.Error(err)
	}
}

// What the fixture does carries its name. A lease is a service account of stormgate-leases: it sees all but
// Secrets and writes nothing outside the namespaces that it is given. It can't become a controller.
func (c *controlled) identities() {
	ctx := c.Context()
	last := get[api.Writes](c, api.WritesPath).Last
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "lease-1"}}
	if _, err := c.fixture.CoreV1().ServiceAccounts("stormgate-leases").Create(ctx, account, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
	c.check(last, "fixture create serviceaccounts stormgate-leases/lease-1 201")
	token, err := c.fixture.CoreV1().ServiceAccounts("stormgate-leases").CreateToken(ctx, "lease-1", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
	config, err := c.cluster.RESTConfig(ctx, "admin")
	if err != nil {
		c.Fatal(err)
	}
	config = rest.AnonymousClientConfig(config)
	config.BearerToken = token.Status.Token
	lease, err := kubernetes.NewForConfig(config)
	if err != nil {
		c.Fatal(err)
	}
	if _, err := lease.CoreV1().Pods("").List(ctx, metav1.ListOptions{}); err != nil {
		c.Errorf("a lease lists pods: %v", err)
	}
	if _, err := lease.CoreV1().Secrets("").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		c.Errorf("a lease lists secrets: %v, want Forbidden", err)
	}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "own"}}
	if _, err := lease.CoreV1().ConfigMaps("identities").Create(ctx, object, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		c.Errorf("a lease writes anywhere: %v, want Forbidden", err)
	}
	c.namespaces("identities")
	for _, role := range []string{"stormgate:suite", "stormgate:environment"} {
		if _, err := c.fixture.RbacV1().RoleBindings("identities").Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "stormgate-leases", Name: "lease-1"}},
		}, metav1.CreateOptions{}); err != nil {
			c.Fatal(err)
		}
	}
	err = wait.PollUntilContextCancel(deadline(c.T, bootTimeout), 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := lease.CoreV1().ConfigMaps("identities").Create(ctx, object, metav1.CreateOptions{})
		return err == nil, nil
	})
	if err != nil {
		c.Errorf("a lease writes in its own namespace: %v", err)
	}
	if err := c.fixture.CoreV1().ServiceAccounts("stormgate-leases").Delete(ctx, "lease-1", metav1.DeleteOptions{}); err != nil {
		c.Fatal(err)
	}
	controller := "system:serviceaccount:kube-system:clusterrole-aggregation-controller"
	review, err := c.admin.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: controller, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "escalate", Group: rbacv1.GroupName, Resource: "clusterroles"},
	}}, metav1.CreateOptions{})
	if err != nil || review.Status.Allowed {
		c.Errorf("%s, which a lease may run pods as, may escalate roles: %v, %v", controller, review.Status, err)
	}
}
