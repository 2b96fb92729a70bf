// Package networktest has what tests of the network's parts share: an API server
// for services and endpoint slices, and sockets in place of service addresses.
package networktest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"stormgate.internal/tools/cluster/internal/network/catalog"
)

const Patience = 20 * time.Second

// Eventually polls until the condition holds.
func Eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("in %s it never came that %s", Patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// API is an API server that knows how to list and watch services and endpoint
// slices, over real HTTP.
type API struct {
	server *httptest.Server

	mu        sync.Mutex
	forbidden bool
	lists     int
	version   int
	objects   map[string]map[string]metav1.Object // by collection and key
	events    []apiEvent
	changed   chan struct{}
}

type apiEvent struct {
	collection string
	version    int
	kind       watch.EventType
	object     metav1.Object
}

const (
	serviceCollection = "/api/v1/services"
	sliceCollection   = "/apis/discovery.k8s.io/v1/endpointslices"
)

func NewAPI(t *testing.T, objects ...metav1.Object) *API {
	t.Helper()
	a := &API{
		objects: map[string]map[string]metav1.Object{serviceCollection: {}, sliceCollection: {}},
		changed: make(chan struct{}),
	}
	a.server = httptest.NewServer(a)
	t.Cleanup(func() {
		a.server.CloseClientConnections()
		a.server.Close()
	})
	a.Put(objects...)
	return a
}

// Catalog runs a catalog on the API for the duration of the test.
func (a *API) Catalog(t *testing.T) *catalog.Catalog {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: a.server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	catalog := catalog.New(client, Quiet())
	Run(t, "catalog", catalog.Run)
	return catalog
}

// Run runs something until the test ends and wants no error from it.
func Run(t *testing.T, name string, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%s ended with %v", name, err)
			}
		case <-time.After(Patience):
			t.Errorf("%s did not end", name)
		}
	})
}

func Quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func collectionOf(object metav1.Object) string {
	switch object := object.(type) {
	case *corev1.Service:
		object.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
		return serviceCollection
	case *discoveryv1.EndpointSlice:
		object.TypeMeta = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
		return sliceCollection
	}
	panic(fmt.Sprintf("%T has no collection", object))
}

func (a *API) Put(objects ...metav1.Object) {
	for _, object := range objects {
		a.change(object, false)
	}
}

func (a *API) Remove(object metav1.Object) { a.change(object, true) }

func (a *API) change(object metav1.Object, deleted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	collection, key := collectionOf(object), object.GetNamespace()+"/"+object.GetName()
	kind := watch.Added
	if _, exists := a.objects[collection][key]; exists {
		kind = watch.Modified
	}
	a.version++
	object.SetResourceVersion(strconv.Itoa(a.version))
	a.objects[collection][key] = object
	if deleted {
		kind = watch.Deleted
		delete(a.objects[collection], key)
	}
	a.events = append(a.events, apiEvent{collection, a.version, kind, object})
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *API) SetForbidden(forbidden bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forbidden = forbidden
}

func (a *API) ListCount() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lists
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	forbidden := a.forbidden
	_, known := a.objects[r.URL.Path]
	if r.URL.Query().Get("watch") == "" {
		a.lists++
	}
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case forbidden:
		a.fail(w, http.StatusForbidden, metav1.StatusReasonForbidden)
	case !known:
		a.fail(w, http.StatusNotFound, metav1.StatusReasonNotFound)
	case r.URL.Query().Get("watch") != "":
		a.watch(w, r)
	default:
		a.list(w, r)
	}
}

func (a *API) fail(w http.ResponseWriter, code int32, reason metav1.StatusReason) {
	w.WriteHeader(int(code))
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: code, Reason: reason, Message: string(reason),
	})
}

func (a *API) list(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	items := []any{}
	for _, object := range a.objects[r.URL.Path] {
		items = append(items, object)
	}
	apiVersion, kind := "v1", "ServiceList"
	if r.URL.Path == sliceCollection {
		apiVersion, kind = "discovery.k8s.io/v1", "EndpointSliceList"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"apiVersion": apiVersion, "kind": kind, "items": items,
		"metadata": map[string]string{"resourceVersion": strconv.Itoa(a.version)},
	})
}

// watch sends all changes since a version, or the present state first where
// the client asks for that.
func (a *API) watch(w http.ResponseWriter, r *http.Request) {
	seen, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	send := func(kind watch.EventType, object any) {
		_ = json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": object})
	}
	a.mu.Lock()
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		seen = a.version
		for _, object := range a.objects[r.URL.Path] {
			send(watch.Added, object)
		}
		send(watch.Bookmark, a.bookmark(r.URL.Path))
	}
	a.mu.Unlock()
	for {
		a.mu.Lock()
		for _, event := range a.events {
			if event.version > seen && event.collection == r.URL.Path {
				send(event.kind, event.object)
			}
		}
		seen = a.version
		changed := a.changed
		a.mu.Unlock()
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (a *API) bookmark(collection string) any {
	meta := metav1.ObjectMeta{
		ResourceVersion: strconv.Itoa(a.version),
		Annotations:     map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}
	if collection == sliceCollection {
		slice := &discoveryv1.EndpointSlice{ObjectMeta: meta}
		collectionOf(slice)
		return slice
	}
	service := &corev1.Service{ObjectMeta: meta}
	collectionOf(service)
	return service
}

// Service makes a service from "namespace/name" and "port name:protocol:port"
// descriptions.
func Service(key, clusterIP string, ports ...string) *corev1.Service {
	namespace, name, _ := strings.Cut(key, "/")
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.Type = corev1.ServiceTypeClusterIP
	s.Spec.ClusterIP, s.Spec.ClusterIPs = clusterIP, []string{clusterIP}
	for _, port := range ports {
		name, protocol, number := parsePort(port)
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: name, Protocol: protocol, Port: number})
	}
	return s
}

// Slice makes an endpoint slice of a service, with the number that a port has
// on the endpoints.
func Slice(service, name, port string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	namespace, serviceName, _ := strings.Cut(service, "/")
	portName, protocol, number := parsePort(port)
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels: map[string]string{discoveryv1.LabelServiceName: serviceName},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &portName, Protocol: &protocol, Port: &number}},
		Endpoints:   endpoints,
	}
}

func parsePort(port string) (string, corev1.Protocol, int32) {
	parts := strings.Split(port, ":")
	number, err := strconv.Atoi(parts[2])
	if err != nil {
		panic(err)
	}
	return parts[0], corev1.Protocol(parts[1]), int32(number)
}

// Endpoint makes an endpoint; conditions are letters: r ready, s serving, t
// terminating.
func Endpoint(address, conditions string) discoveryv1.Endpoint {
	is := func(letter string) *bool { value := strings.Contains(conditions, letter); return &value }
	return discoveryv1.Endpoint{
		Addresses:  []string{address},
		Conditions: discoveryv1.EndpointConditions{Ready: is("r"), Serving: is("s"), Terminating: is("t")},
	}
}
