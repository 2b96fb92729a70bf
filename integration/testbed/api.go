package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/deploy"
	"stormgate.internal/gateway/kubernetes"
)

// API is the API server as a benchmark or a test sees it, with the same client
// library and settings as the gateway.
type API struct {
	client.Client
	connection *kubernetes.API
}

// ConnectAPI connects to the API server and makes sure that it has the gateway's
// resource. Close it.
func ConnectAPI(ctx context.Context, config *rest.Config) (*API, error) {
	connection, err := kubernetes.Connect(config, "stormgate-testbed", slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	a := &API{Client: connection.Client, connection: connection}
	if err := ensureResource(ctx, config, a); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Close closes idle connections.
func (a *API) Close() { a.connection.Close() }

// ensureResource installs the CustomResourceDefinition where it is missing and
// waits until its objects can be listed.
func ensureResource(ctx context.Context, config *rest.Config, a *API) error {
	list := func() error {
		return a.List(ctx, &v1alpha1.RemediationRequestList{}, client.Limit(1))
	}
	if list() == nil {
		return nil
	}
	scheme, err := kubernetes.Scheme()
	if err != nil {
		return err
	}
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return fmt.Errorf("register API types: %w", err)
	}
	admin, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(deploy.CRD, &definition); err != nil {
		return fmt.Errorf("read resource definition: %w", err)
	}
	if err := admin.Create(ctx, &definition); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("install %s: %w", definition.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := poll(ctx, 20*time.Millisecond, nil, list); err != nil {
		return fmt.Errorf("wait for %s: %w", definition.Name, err)
	}
	return nil
}

// EnsureNamespace creates a namespace if it does not exist.
func (a *API) EnsureNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := a.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}

// listPage is the number of objects that are read at once.
const listPage = 500

// Objects returns the gateway's objects in the namespaces.
func (a *API) Objects(ctx context.Context, namespaces ...string) ([]v1alpha1.RemediationRequest, error) {
	var objects []v1alpha1.RemediationRequest
	for _, namespace := range namespaces {
		var next string
		for {
			var page v1alpha1.RemediationRequestList
			if err := a.List(ctx, &page, client.InNamespace(namespace), client.Limit(listPage), client.Continue(next)); err != nil {
				return nil, fmt.Errorf("list objects of namespace %s: %w", namespace, err)
			}
			objects = append(objects, page.Items...)
			if next = page.Continue; next == "" {
				break
			}
		}
	}
	return objects, nil
}

// DeleteObjects deletes the gateway's objects in the namespaces.
func (a *API) DeleteObjects(ctx context.Context, namespaces ...string) error {
	var errs []error
	for _, namespace := range namespaces {
		if err := a.DeleteAllOf(ctx, &v1alpha1.RemediationRequest{}, client.InNamespace(namespace)); err != nil {
			errs = append(errs, fmt.Errorf("delete objects of namespace %s: %w", namespace, err))
		}
	}
	return errors.Join(errs...)
}
