// Package kubernetes connects the gateway to the Kubernetes API.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
)

// requestTimeout limits each request to the API, so that an API server which does
// not answer leaves time for a retry.
const requestTimeout = 10 * time.Second

const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// Config finds the API server: the given kubeconfig file if not empty, else the
// one named by KUBECONFIG, else the pod's service account, else ~/.kube/config.
func Config(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" && os.Getenv(clientcmd.RecommendedConfigPathEnvVar) == "" {
		cfg, err := rest.InClusterConfig()
		if err == nil {
			return cfg, nil
		}
		if !errors.Is(err, rest.ErrNotInCluster) {
			return nil, fmt.Errorf("read the pod's service account: %w", err)
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the Kubernetes API: %w (set --kubeconfig or KUBECONFIG)", err)
	}
	return cfg, nil
}

// API is a connection to the API server.
type API struct {
	// Client reads and writes without a cache and without a limit of its own.
	Client client.Client

	http    *http.Client
	version string
}

// Connect returns a connection. It does not yet talk to the server.
func Connect(cfg *rest.Config, userAgent string, logger *slog.Logger) (*API, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	cfg.Timeout = requestTimeout
	cfg.UserAgent = userAgent
	cfg.WarningHandler = warnings{logger}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return brokenConnections{next} })
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up the connection to %s: %w", cfg.Host, err)
	}
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("address of the Kubernetes API %q: %w", cfg.Host, err)
	}
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(cfg, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: mapper()})
	if err != nil {
		return nil, fmt.Errorf("set up the client of %s: %w", cfg.Host, err)
	}
	return &API{Client: c, http: httpClient, version: base.JoinPath("version").String()}, nil
}

// Check asks the API server for its version, which costs it nothing, and returns
// why it did not answer. It ends with the context.
func (a *API) Check(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.version, nil)
	if err != nil {
		return err
	}
	response, err := a.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<16)) // so that the connection can be used again
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", a.version, response.Status)
	}
	return nil
}

// Close closes idle connections.
func (a *API) Close() { a.http.CloseIdleConnections() }

// Scheme returns a scheme of the types that the gateway uses.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, authenticationv1.AddToScheme, authorizationv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register API types: %w", err)
		}
	}
	return scheme, nil
}

// mapper knows the few kinds that the gateway uses, which saves it the discovery
// of all that the API server has.
func mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	m.Add(v1alpha1.GroupVersion.WithKind("RemediationRequest"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	m.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	m.Add(authenticationv1.SchemeGroupVersion.WithKind("TokenReview"), meta.RESTScopeRoot)
	m.Add(authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"), meta.RESTScopeRoot)
	// Of these it reads metadata only.
	m.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	m.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"}, meta.RESTScopeNamespace)
	m.Add(schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}, meta.RESTScopeNamespace)
	return m
}

// PodNamespace returns the namespace that this process runs in as a pod, or "".
func PodNamespace() string {
	content, err := os.ReadFile(namespaceFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// warnings logs what the API server warns of.
type warnings struct{ logger *slog.Logger }

// HandleWarningHeader implements rest.WarningHandler.
func (w warnings) HandleWarningHeader(code int, _ string, text string) {
	if code == 299 && text != "" {
		w.logger.Warn("Kubernetes API warns", "warning", text)
	}
}
