package eventforwarder_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"

	"stormgate.internal/tools/eventforwarder"
)

// receiver answers each post with the next of its answers, the last one again and again.
type receiver struct {
	*httptest.Server
	posts   chan map[string]any
	answers []int // read by the server's only client, which waits for each answer
}

func newReceiver(t *testing.T, answers ...int) *receiver {
	r := &receiver{posts: make(chan map[string]any, 100), answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		event := map[string]any{}
		if err != nil || json.Unmarshal(body, &event) != nil {
			t.Errorf("body %q, error %v", body, err)
		}
		if got := request.Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type %q", got)
		}
		w.WriteHeader(r.answers[0])
		if len(r.answers) > 1 {
			r.answers = r.answers[1:]
		}
		r.posts <- event
	}))
	t.Cleanup(r.Close)
	return r
}

// next returns the next post's event, by kind, name and message.
func (r *receiver) next(t *testing.T) string {
	t.Helper()
	select {
	case event := <-r.posts:
		metadata, _ := event["metadata"].(map[string]any)
		text, found := event["note"]
		if !found {
			text = event["message"]
		}
		return strings.Join([]string{event["apiVersion"].(string), event["kind"].(string), metadata["name"].(string), text.(string)}, " ")
	case <-t.Context().Done():
		t.Fatal("nothing came")
		return ""
	}
}

// run starts a forwarder that the test's end ends, with the namespaces tenant, which is
// labelled, and other.
func run(t *testing.T, version string, to *receiver, selector string, objects ...kruntime.Object) (*fake.FakeDynamicClient, *prometheus.Registry, *eventforwarder.Forwarder) {
	t.Helper()
	for name, set := range map[string]map[string]any{"tenant": {"events": "forwarded"}, "other": {}} {
		objects = append(objects, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": set},
		}})
	}
	kinds := map[schema.GroupVersionResource]string{{Version: "v1", Resource: "namespaces"}: "NamespaceList"}
	for _, resource := range eventforwarder.Versions {
		kinds[resource] = "EventList"
	}
	api := fake.NewSimpleDynamicClientWithCustomListKinds(kruntime.NewScheme(), kinds, objects...)
	selected, err := labels.Parse(selector)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	forwarder, err := eventforwarder.New(eventforwarder.Options{
		API: api, Version: version, Namespaces: selected, URL: to.URL,
		Logger: slog.New(slog.DiscardHandler), Registry: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		forwarder.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return api, registry, forwarder
}

// event is one of either version about a pod in that namespace.
func event(version, namespace, name, resourceVersion, message string) *unstructured.Unstructured {
	object, text := "involvedObject", "message"
	if version != "v1" {
		object, text = "regarding", "note"
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": version, "kind": "Event", "type": "Warning",
		"metadata": map[string]any{"namespace": namespace, "name": name, "uid": name, "resourceVersion": resourceVersion},
		object:     map[string]any{"kind": "Pod", "namespace": namespace, "name": "web"},
		text:       message,
	}}
}

// counted returns event_forwarder_events_total of an outcome.
func counted(t *testing.T, registry *prometheus.Registry, outcome string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if metric.GetLabel()[0].GetValue() == outcome {
				return metric.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric of %s", outcome)
	return 0
}

// Promise: events that are there, that come and that change are posted as they are, in
// the version that is watched.
func TestEventsAreForwarded(t *testing.T) {
	for version, resource := range eventforwarder.Versions {
		t.Run(version, func(t *testing.T) {
			to := newReceiver(t, http.StatusCreated)
			api, registry, forwarder := run(t, version, to, "", event(version, "tenant", "before", "1", "was there"))
			if got, want := to.next(t), version+" Event before was there"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
			events := api.Resource(resource).Namespace("tenant")
			awaitWatch(t, forwarder)
			if _, err := events.Create(t.Context(), event(version, "tenant", "after", "2", "came"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			if got, want := to.next(t), version+" Event after came"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
			if _, err := events.Update(t.Context(), event(version, "tenant", "after", "3", "again"), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if got, want := to.next(t), version+" Event after again"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
			awaitCount(t, registry, "accepted", 3)
		})
	}
}

// awaitWatch returns when the forwarder has a watch, to which the fake API server sends.
func awaitWatch(t *testing.T, forwarder *eventforwarder.Forwarder) {
	t.Helper()
	for !forwarder.Ready() {
		if t.Context().Err() != nil {
			t.Fatal("no watch")
		}
		runtime.Gosched()
	}
}

func awaitCount(t *testing.T, registry *prometheus.Registry, outcome string, want float64) {
	t.Helper()
	for counted(t, registry, outcome) != want {
		if t.Context().Err() != nil {
			t.Fatalf("%s: %v, want %v", outcome, counted(t, registry, outcome), want)
		}
		runtime.Gosched()
	}
}

// Promise: what may succeed later is sent again until it does; what never will is counted
// and holds up nothing.
func TestAnswers(t *testing.T) {
	to := newReceiver(t, http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusAccepted, http.StatusBadRequest, http.StatusCreated)
	_, registry, _ := run(t, "v1", to, "",
		event("v1", "tenant", "a", "1", "waits"), event("v1", "tenant", "b", "2", "is refused"), event("v1", "tenant", "c", "3", "is taken"))
	for _, want := range []string{"a waits", "a waits", "a waits", "b is refused", "c is taken"} {
		if got := to.next(t); got != "v1 Event "+want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	awaitCount(t, registry, "accepted", 2)
	awaitCount(t, registry, "refused", 1)
	awaitCount(t, registry, "failed", 2)
}

// Promise: only events about objects in namespaces with those labels are posted, and a
// namespace that is gone is no failure.
func TestNamespacesAreSelected(t *testing.T) {
	for version, resource := range eventforwarder.Versions {
		t.Run(version, func(t *testing.T) {
			to := newReceiver(t, http.StatusOK)
			api, _, forwarder := run(t, version, to, "events=forwarded",
				event(version, "gone", "a", "1", "of no namespace"),
				event(version, "other", "b", "2", "not yet"),
				event(version, "tenant", "c", "3", "selected"))
			if got, want := to.next(t), version+" Event c selected"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
			// Labels that come later count for the events after them.
			awaitWatch(t, forwarder)
			namespaces := api.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
			if _, err := namespaces.Patch(t.Context(), "other", types.MergePatchType, []byte(`{"metadata":{"labels":{"events":"forwarded"}}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := api.Resource(resource).Namespace("other").Update(t.Context(), event(version, "other", "b", "4", "now"), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if got, want := to.next(t), version+" Event b now"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// Promise: what can't be is refused at the start.
func TestNewRefuses(t *testing.T) {
	for _, o := range []eventforwarder.Options{
		{Version: "v2", URL: "http://receiver", Registry: prometheus.NewRegistry()},
		{Version: "v1", Registry: prometheus.NewRegistry()},
	} {
		if _, err := eventforwarder.New(withAPI(o)); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func withAPI(o eventforwarder.Options) eventforwarder.Options {
	o.API = fake.NewSimpleDynamicClient(kruntime.NewScheme())
	o.Logger = slog.New(slog.DiscardHandler)
	return o
}
