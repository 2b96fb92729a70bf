// Package eventforwarder posts the events of a Kubernetes cluster to a webhook, each at
// least once.
//
// It watches the events of one API version, core/v1 or events.k8s.io/v1, and sends each
// state of an event that it sees as JSON, one after the other. An answer that may be
// another next time (5xx, 408, 429, none) makes it send again, for as long as it takes.
// Any other refusal is counted and logged, and the event is left out. While the receiver
// is away, events stay where they are, in the API server: nothing piles up here.
package eventforwarder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// Versions are the API versions that an event can be watched in.
var Versions = map[string]schema.GroupVersionResource{
	"v1":               {Version: "v1", Resource: "events"},
	"events.k8s.io/v1": {Group: "events.k8s.io", Version: "v1", Resource: "events"},
}

const (
	// firstWait is how long it waits before it tries again what has failed. The wait
	// doubles each time, up to longestWait.
	firstWait   = 100 * time.Millisecond
	longestWait = 5 * time.Second
	// postTimeout bounds one request to the receiver.
	postTimeout = 30 * time.Second
)

// Options say which events go where.
type Options struct {
	// API reads events and namespaces. Required.
	API dynamic.Interface
	// Version is one of Versions. Required.
	Version string
	// FieldSelector selects events, like "type=Warning". Default all.
	FieldSelector string
	// Namespaces selects events by the labels of their object's namespace. Default all,
	// those of objects without a namespace included, which a selector leaves out.
	Namespaces labels.Selector
	// URL is where they are posted. Required.
	URL string
	// HTTP posts. Default a client with a timeout of 30 s.
	HTTP *http.Client
	// Logger is required.
	Logger *slog.Logger
	// Registry gets the metric event_forwarder_events_total. Required.
	Registry prometheus.Registerer
}

// Outcomes of an event, values of the label outcome of event_forwarder_events_total. All
// but a failed attempt end the event's way.
const (
	accepted = "accepted" // the receiver took it
	refused  = "refused"  // the receiver will never take it
	failed   = "failed"   // an attempt that is repeated
)

// Forwarder is ready after New, and does its work in Run.
type Forwarder struct {
	options Options
	events  dynamic.NamespaceableResourceInterface
	outcome *prometheus.CounterVec
	ready   atomic.Bool
	// posted has the version in which each event that the API server still has was
	// posted.
	posted map[types.UID]string
	// selected are namespaces whose labels fit. Labels that don't may fit later.
	selected map[string]bool
}

// New returns a Forwarder, or what of the options can't be.
func New(o Options) (*Forwarder, error) {
	resource, known := Versions[o.Version]
	if !known {
		return nil, fmt.Errorf("version %q of events is unknown: want v1 or events.k8s.io/v1", o.Version)
	}
	if o.URL == "" {
		return nil, errors.New("no URL to post events to")
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: postTimeout}
	}
	f := &Forwarder{
		options: o,
		events:  o.API.Resource(resource),
		outcome: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "event_forwarder_events_total",
			Help: "Events by what became of them: accepted, refused for good, or failed and sent again.",
		}, []string{"outcome"}),
		posted:   map[types.UID]string{},
		selected: map[string]bool{},
	}
	for _, outcome := range []string{accepted, refused, failed} {
		f.outcome.WithLabelValues(outcome)
	}
	if err := o.Registry.Register(f.outcome); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return f, nil
}

// Ready reports whether it has seen the events that there are and watches for more.
func (f *Forwarder) Ready() bool { return f.ready.Load() }

// Run forwards events until the context ends. What fails is logged and tried again.
func (f *Forwarder) Run(ctx context.Context) {
	wait := firstWait
	for ctx.Err() == nil {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue // the API server ends each watch at times
		}
		if time.Since(began) > longestWait {
			wait = firstWait
		}
		f.options.Logger.Warn("watch events again", "error", err, "after", wait)
		pause(ctx, wait)
		wait = min(2*wait, longestWait)
	}
}

// follow forwards the events that there are, and those that come until the watch ends.
func (f *Forwarder) follow(ctx context.Context) error {
	options := metav1.ListOptions{FieldSelector: f.options.FieldSelector}
	list, err := f.events.List(ctx, options)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	there := map[types.UID]string{}
	for i := range list.Items {
		if version, found := f.posted[list.Items[i].GetUID()]; found {
			there[list.Items[i].GetUID()] = version
		}
	}
	f.posted = there // what the API server has forgotten doesn't come again
	for i := range list.Items {
		if err := f.forward(ctx, &list.Items[i]); err != nil {
			return err
		}
	}
	options.ResourceVersion = list.GetResourceVersion()
	changes, err := f.events.Watch(ctx, options)
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	defer changes.Stop()
	f.ready.Store(true)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case change, more := <-changes.ResultChan():
			if !more {
				return nil
			}
			if err := f.take(ctx, change); err != nil {
				return err
			}
		}
	}
}

// take forwards the event of one change.
func (f *Forwarder) take(ctx context.Context, change watch.Event) error {
	if change.Type == watch.Error {
		return fmt.Errorf("watch events: %w", apierrors.FromObject(change.Object))
	}
	event, isObject := change.Object.(*unstructured.Unstructured)
	if !isObject {
		return fmt.Errorf("watch events: the API server sent a %T", change.Object)
	}
	switch change.Type {
	case watch.Added, watch.Modified:
		return f.forward(ctx, event)
	case watch.Deleted:
		delete(f.posted, event.GetUID())
	}
	return nil
}

// forward posts the event until the receiver has taken or refused it. It fails if the
// API server can't say whether the event is selected, and when the context ends.
func (f *Forwarder) forward(ctx context.Context, event *unstructured.Unstructured) error {
	if f.posted[event.GetUID()] == event.GetResourceVersion() {
		return nil
	}
	wanted, err := f.isSelected(ctx, event)
	if err != nil {
		return err
	}
	if wanted {
		body, err := event.MarshalJSON()
		if err != nil {
			return fmt.Errorf("encode event %s/%s: %w", event.GetNamespace(), event.GetName(), err)
		}
		if err := f.deliver(ctx, event, body); err != nil {
			return err
		}
	}
	f.posted[event.GetUID()] = event.GetResourceVersion()
	return nil
}

// isSelected asks for the labels of the namespace that the event's object is in. An
// event about an object without one is in another namespace than its object.
func (f *Forwarder) isSelected(ctx context.Context, event *unstructured.Unstructured) (bool, error) {
	if f.options.Namespaces == nil || f.options.Namespaces.Empty() {
		return true, nil
	}
	member := "involvedObject"
	if event.GroupVersionKind().Group != "" {
		member = "regarding"
	}
	name, _, err := unstructured.NestedString(event.Object, member, "namespace")
	if err != nil || name == "" || f.selected[name] {
		return err == nil && f.selected[name], nil
	}
	namespace, err := f.options.API.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("get namespace %s: %w", name, err)
	}
	if !f.options.Namespaces.Matches(labels.Set(namespace.GetLabels())) {
		return false, nil
	}
	f.selected[name] = true
	return true, nil
}

func (f *Forwarder) deliver(ctx context.Context, event *unstructured.Unstructured, body []byte) error {
	wait := firstWait
	for {
		code, retryAfter, err := f.post(ctx, body)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		log := f.options.Logger.With("event", event.GetNamespace()+"/"+event.GetName(), "version", event.GetResourceVersion(), "code", code)
		if err == nil && code < http.StatusBadRequest {
			f.outcome.WithLabelValues(accepted).Inc()
			log.Info("event accepted")
			return nil
		}
		if err == nil && code < http.StatusInternalServerError && code != http.StatusRequestTimeout && code != http.StatusTooManyRequests {
			f.outcome.WithLabelValues(refused).Inc()
			log.Error("event refused", "body", string(body))
			return nil
		}
		f.outcome.WithLabelValues(failed).Inc()
		log.Warn("event is sent again", "error", err, "after", max(wait, retryAfter))
		pause(ctx, max(wait, retryAfter))
		wait = min(2*wait, longestWait)
	}
}

// post returns the code of the answer, and how long the receiver wants not to be asked
// again.
func (f *Forwarder) post(ctx context.Context, body []byte) (code int, retryAfter time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.options.URL, bytes.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := f.options.HTTP.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	// Read to its end, so that the connection is used again.
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)); err != nil {
		return 0, 0, err
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		retryAfter = min(time.Duration(seconds)*time.Second, longestWait)
	}
	return response.StatusCode, retryAfter, nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
