// Package catalog holds what the API server knows of services and their
// endpoints.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	coreinformers "k8s.io/client-go/informers/core/v1"
	discoveryinformers "k8s.io/client-go/informers/discovery/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// permissionPoll is how often a fresh API server is asked whether the services
// may be read yet.
const permissionPoll = 25 * time.Millisecond

// Names of the catalog's indexes.
const (
	byClusterIP = "clusterIP"
	byService   = "service"
	byAddress   = "address"
)

// Catalog is what the API server knows of services and their endpoints, kept
// fresh by watches. The service proxy and DNS read the same one.
type Catalog struct {
	client   kubernetes.Interface
	logger   *slog.Logger
	services cache.SharedIndexInformer
	slices   cache.SharedIndexInformer
	synced   chan struct{}

	mu          sync.Mutex
	subscribers []chan struct{}
}

// New makes a catalog that is empty until Run. The client must be
// allowed to list and watch services and endpointslices, as the built-in role
// system:node-proxier is. A nil logger means slog.Default.
func New(client kubernetes.Interface, logger *slog.Logger) *Catalog {
	if logger == nil {
		logger = slog.Default()
	}
	c := &Catalog{client: client, logger: logger, synced: make(chan struct{})}
	c.services = coreinformers.NewServiceInformer(client, metav1.NamespaceAll, 0, cache.Indexers{
		cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
		byClusterIP: func(object any) ([]string, error) {
			service, ok := object.(*corev1.Service)
			if !ok {
				return nil, nil
			}
			return service.Spec.ClusterIPs, nil
		},
	})
	c.slices = discoveryinformers.NewEndpointSliceInformer(client, metav1.NamespaceAll, 0, cache.Indexers{
		byService: func(object any) ([]string, error) {
			slice, ok := object.(*discoveryv1.EndpointSlice)
			if !ok || slice.Labels[discoveryv1.LabelServiceName] == "" {
				return nil, nil
			}
			return []string{ServiceKey(slice.Namespace, slice.Labels[discoveryv1.LabelServiceName])}, nil
		},
		byAddress: func(object any) ([]string, error) {
			var addresses []string
			if slice, ok := object.(*discoveryv1.EndpointSlice); ok {
				for _, endpoint := range slice.Endpoints {
					addresses = append(addresses, endpoint.Addresses...)
				}
			}
			return addresses, nil
		},
	})
	return c
}

func ServiceKey(namespace, name string) string { return namespace + "/" + name }

// Run keeps the catalog fresh until ctx ends. It waits for the permission to
// read services with short steps: on a cluster that is just starting, roles
// come a second after the API, and an informer that was refused once would
// back off for longer than that.
func (c *Catalog) Run(ctx context.Context) error {
	if err := c.awaitPermission(ctx); err != nil {
		return ignoreEnd(ctx, err)
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.announce() },
		UpdateFunc: func(any, any) { c.announce() },
		DeleteFunc: func(any) { c.announce() },
	}
	var running sync.WaitGroup
	for _, informer := range []cache.SharedIndexInformer{c.services, c.slices} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watch services: %w", err)
		}
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	defer running.Wait()
	if !cache.WaitForCacheSync(ctx.Done(), c.services.HasSynced, c.slices.HasSynced) {
		return nil
	}
	close(c.synced)
	c.announce()
	<-ctx.Done()
	return nil
}

// awaitPermission returns once both kinds can be listed. Whatever stands in the
// way may pass while a cluster starts, so only the end of ctx ends it.
func (c *Catalog) awaitPermission(ctx context.Context) error {
	one := metav1.ListOptions{Limit: 1}
	var lastReason metav1.StatusReason = "none"
	return wait.PollUntilContextCancel(ctx, permissionPoll, true, func(ctx context.Context) (bool, error) {
		_, servicesErr := c.client.CoreV1().Services(metav1.NamespaceAll).List(ctx, one)
		_, slicesErr := c.client.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, one)
		err := errors.Join(servicesErr, slicesErr)
		if reason := apierrors.ReasonForError(err); err != nil && reason != lastReason && ctx.Err() == nil {
			c.logger.Info("services can not be read yet; trying again", "error", err)
			lastReason = reason
		}
		return err == nil, nil
	})
}

// ignoreEnd turns the error of a cancelled context into success.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Synced is closed when the catalog is complete for the first time.
func (c *Catalog) Synced() <-chan struct{} { return c.synced }

// Subscribe returns a channel that holds one token whenever something changed
// since the last token was taken.
func (c *Catalog) Subscribe() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	subscriber := make(chan struct{}, 1)
	subscriber <- struct{}{}
	c.subscribers = append(c.subscribers, subscriber)
	return subscriber
}

func (c *Catalog) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, subscriber := range c.subscribers {
		select {
		case subscriber <- struct{}{}:
		default:
		}
	}
}

// Services are all services, as the informer holds them: not to be changed.
func (c *Catalog) Services() []*corev1.Service {
	return typed[corev1.Service](c.services.GetStore().List())
}

func (c *Catalog) Service(namespace, name string) *corev1.Service {
	object, exists, err := c.services.GetStore().GetByKey(ServiceKey(namespace, name))
	if err != nil || !exists {
		return nil
	}
	service, _ := object.(*corev1.Service)
	return service
}

// HasNamespace reports whether any service is in the namespace.
func (c *Catalog) HasNamespace(namespace string) bool {
	keys, err := c.services.GetIndexer().IndexKeys(cache.NamespaceIndex, namespace)
	return err == nil && len(keys) > 0
}

func (c *Catalog) ServicesAt(address netip.Addr) []*corev1.Service {
	return typed[corev1.Service](indexed(c.services, byClusterIP, address.String()))
}

// SlicesOf are the IPv4 endpoint slices of a service.
func (c *Catalog) SlicesOf(namespace, name string) []*discoveryv1.EndpointSlice {
	return onlyIPv4(indexed(c.slices, byService, ServiceKey(namespace, name)))
}

func (c *Catalog) SlicesWith(address netip.Addr) []*discoveryv1.EndpointSlice {
	return onlyIPv4(indexed(c.slices, byAddress, address.String()))
}

func indexed(informer cache.SharedIndexInformer, index, value string) []any {
	objects, err := informer.GetIndexer().ByIndex(index, value)
	if err != nil {
		// Only an index that was never added fails.
		panic(err)
	}
	return objects
}

func onlyIPv4(objects []any) []*discoveryv1.EndpointSlice {
	var slices []*discoveryv1.EndpointSlice
	for _, slice := range typed[discoveryv1.EndpointSlice](objects) {
		if slice.AddressType == discoveryv1.AddressTypeIPv4 {
			slices = append(slices, slice)
		}
	}
	return slices
}

func typed[T any](objects []any) []*T {
	result := make([]*T, 0, len(objects))
	for _, object := range objects {
		if value, ok := object.(*T); ok {
			result = append(result, value)
		}
	}
	return result
}

// Ready reports whether an endpoint takes new connections; unknown means yes.
func Ready(endpoint discoveryv1.Endpoint) bool {
	return endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
}

// Draining reports whether an endpoint is on its way out but still works.
func Draining(endpoint discoveryv1.Endpoint) bool {
	serving, terminating := endpoint.Conditions.Serving, endpoint.Conditions.Terminating
	return serving != nil && *serving && terminating != nil && *terminating
}

// EndpointAddress is the address to use of an endpoint: by the API's contract
// all but the first are to be ignored.
func EndpointAddress(endpoint discoveryv1.Endpoint) (netip.Addr, bool) {
	if len(endpoint.Addresses) == 0 {
		return netip.Addr{}, false
	}
	address, err := netip.ParseAddr(endpoint.Addresses[0])
	return address, err == nil && address.Is4()
}
