package kubernetes

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
)

func connect(t *testing.T, handler http.HandlerFunc) *API {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	api, err := Connect(&rest.Config{Host: server.URL}, "test/1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	return api
}

func TestCheck(t *testing.T) {
	status := http.StatusOK
	api := connect(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" || r.UserAgent() != "test/1" {
			t.Errorf("asked for %s by %s", r.URL.Path, r.UserAgent())
		}
		w.WriteHeader(status)
	})
	if err := api.Check(t.Context()); err != nil {
		t.Error(err)
	}
	status = http.StatusForbidden
	if err := api.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("forbidden: %v", err)
	}
}

// Requests go straight to the objects: no discovery, no waiting in the client.
func TestClientAsksOnlyForWhatItNeeds(t *testing.T) {
	var asked []string
	api := connect(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"Any","apiVersion":"v1","metadata":{"name":"x"}}`)
	})
	key := client.ObjectKey{Namespace: "shop", Name: "x"}
	object := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "x"}}
	for _, request := range []func() error{
		func() error { return api.Client.Get(t.Context(), client.ObjectKey{Name: "shop"}, &corev1.Namespace{}) },
		func() error { return api.Client.Get(t.Context(), key, &corev1.ConfigMap{}) },
		func() error { return api.Client.Get(t.Context(), key, &v1alpha1.RemediationRequest{}) },
		func() error { return api.Client.Create(t.Context(), object) },
		func() error { return api.Client.Create(t.Context(), &authenticationv1.TokenReview{}) },
		func() error { return api.Client.Create(t.Context(), &authorizationv1.SubjectAccessReview{}) },
	} {
		_ = request() // what the replies say does not matter here
	}
	want := "GET /api/v1/namespaces/shop GET /api/v1/namespaces/shop/configmaps/x " +
		"GET /apis/remediation.kubernaut.io/v1alpha1/namespaces/shop/remediationrequests/x POST /apis/remediation.kubernaut.io/v1alpha1/namespaces/shop/remediationrequests " +
		"POST /apis/authentication.k8s.io/v1/tokenreviews POST /apis/authorization.k8s.io/v1/subjectaccessreviews"
	if got := strings.Join(asked, " "); got != want {
		t.Errorf("asked for\n%s, want\n%s", got, want)
	}
}

const kubeconfig = `
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://%s"}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
current-context: x
`

func TestConfigOrder(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, fmt.Appendf(nil, kubeconfig, filepath.Base(name)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flag, env := write("flag"), write("env")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, c := range []struct{ flag, env, want string }{
		{flag, env, "https://flag"}, {"", env, "https://env"}, {flag, "", "https://flag"},
	} {
		t.Setenv("KUBECONFIG", c.env)
		cfg, err := Config(c.flag)
		if err != nil || cfg.Host != c.want {
			t.Errorf("flag %q, KUBECONFIG %q: %v, %v", c.flag, c.env, cfg, err)
		}
	}
	if _, err := Config(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("missing file: %v", err)
	}
}
