package controlplane

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"stormgate.internal/tools/cluster/internal/pki"
)

func testSettings(t *testing.T) Settings {
	t.Helper()
	dir := t.TempDir()
	bundle, err := pki.Issue(pki.Request{Dir: dir, Server: "https://10.0.0.1:6443", Hosts: []string{"10.0.0.1"}, NodeName: "n", NodeIP: "10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := bundle.Kubeconfig(pki.Admin, "https://10.0.0.1:6443", "")
	if err != nil {
		t.Fatal(err)
	}
	return Settings{
		DataDir: dir, Files: bundle.Files, Admin: admin.Client, NodeIP: "10.0.0.1", ServiceCIDR: "10.96.0.0/16",
		Journal: func(string) (*Journal, error) { return &Journal{}, nil },
	}
}

// Promise: the flags carry what the cluster's speed and its security stand on. Each was measured or
// argued for once; this keeps an edit from losing one unseen.
func TestFlags(t *testing.T) {
	s := testSettings(t)
	for component, test := range map[string]struct {
		args, want, mustNot []string
	}{
		"etcd": {etcdArgs(s),
			[]string{"--unsafe-no-fsync", "--heartbeat-interval=25", "--election-timeout=125", "--listen-client-urls=unix://" + s.DataDir + "/e.sock"},
			// Pods in the node's network would reach it.
			[]string{"127.0.0.1", "0.0.0.0"}},
		"kube-apiserver": {apiServerArgs(s),
			[]string{"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--disable-admission-plugins=TaintNodesByCondition",
				"--anonymous-auth=false", "--kubelet-certificate-authority=" + s.Files.Authority, "--kubelet-client-certificate=" + s.Files.KubeletClient.Certificate,
				"--kubelet-preferred-address-types=InternalIP", "--service-cluster-ip-range=10.96.0.0/16", "--advertise-address=10.0.0.1",
				"--audit-log-path=-", "--audit-log-mode=blocking", "--audit-policy-file=" + s.AuditPolicy},
			[]string{"AlwaysAllow"}},
		"kube-controller-manager": {controllerManagerArgs(s),
			[]string{"--leader-elect=false", "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000", "--use-service-account-credentials=false",
				"--root-ca-file=" + s.Files.Authority, "--kubeconfig=" + s.Files.ControllerManager},
			// They taint and evict: pods would wait for a node that is there.
			[]string{"node-lifecycle-controller", "taint-eviction-controller"}},
		"kube-scheduler": {schedulerArgs(s),
			[]string{"--leader-elect=false", "--secure-port=0", "--kube-api-qps=500", "--kubeconfig=" + s.Files.Scheduler}, nil},
	} {
		for _, want := range test.want {
			if !slices.Contains(test.args, want) {
				t.Errorf("%s lacks %s", component, want)
			}
		}
		joined := strings.Join(test.args, " ")
		for _, mustNot := range test.mustNot {
			if strings.Contains(joined, mustNot) {
				t.Errorf("%s has %s", component, mustNot)
			}
		}
	}
}

// Promise: what every workload of a suite depends on is switched on.
func TestNeededControllersAreOn(t *testing.T) {
	for _, name := range []string{
		"deployment", "replicaset", "statefulset", "daemonset", "job", "endpointslice", "endpoints", "serviceaccount",
		"root-ca-certificate-publisher", "namespace", "garbage-collector", "pod-garbage-collector",
	} {
		if !slices.Contains(controllers, name+"-controller") {
			t.Errorf("controller %s is off", name)
		}
	}
}

// Promise: an API server that answers but is not done says what is missing.
func TestProbeQuotesTheAnswer(t *testing.T) {
	status := http.StatusInternalServerError
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte("[-]poststarthook/rbac/bootstrap-roles failed\n"))
	}))
	defer server.Close()
	probe := HTTPProbe(server.Client(), server.URL+"/readyz")
	if err := probe(context.Background()); err == nil || !strings.Contains(err.Error(), "bootstrap-roles failed") {
		t.Errorf("error = %v", err)
	}
	status = http.StatusOK
	if err := probe(context.Background()); err != nil {
		t.Error(err)
	}
	server.Close()
	if err := probe(context.Background()); err == nil {
		t.Error("a server that is gone passes")
	}
}

// Promise: all four can be built from the settings alone, each under the name it is dispatched by.
func TestComponentsCarryTheirNames(t *testing.T) {
	s := testSettings(t)
	api, err := NewAPIServer(s)
	if err != nil {
		t.Fatal(err)
	}
	components := []*Component{api.Component}
	for _, build := range []func(Settings) (*Component, error){Etcd, ControllerManager, Scheduler} {
		component, err := build(s)
		if err != nil {
			t.Fatal(err)
		}
		components = append(components, component)
	}
	var names []string
	for _, component := range components {
		names = append(names, component.Name)
	}
	if want := []string{"kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler"}; !slices.Equal(names, want) {
		t.Errorf("names = %q, want %q", names, want)
	}
}
