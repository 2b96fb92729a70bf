// Package owners finds out what signals about pods are really about: the Deployment,
// StatefulSet, DaemonSet or CronJob that the pod belongs to. All pods of a workload are
// one incident then.
package owners

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/signal"
)

const (
	// maxCached bounds the answers that are kept: names of pods come from senders.
	maxCached = 10_000
	// foundFor is how long an answer is taken as it is. A pod keeps its owner for life, so
	// older ones are still used if there is no newer one.
	foundFor = 10 * time.Minute
	// missingFor is that for pods that are not there.
	missingFor = 30 * time.Second
	// maxDepth is how many objects are asked for one signal: the pod and what stands
	// between it and its workload.
	maxDepth = 3
)

// followed are the kinds whose own owner counts in their place. The owners of other kinds
// do not: that of a Deployment is the tool which made it.
var followed = map[string]schema.GroupVersionKind{
	"Pod":        {Version: "v1", Kind: "Pod"},
	"ReplicaSet": {Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	"Job":        {Group: "batch", Version: "v1", Kind: "Job"},
}

// Options are the parts of Owners.
type Options struct {
	// Reader reads the metadata of pods, ReplicaSets and Jobs. Required.
	Reader client.Reader
	// Timeout is how long one signal waits for the Kubernetes API. Required.
	Timeout time.Duration
	// Metrics and Logger are required.
	Metrics *metrics.Metrics
	Logger  *slog.Logger
}

// Owners finds the workloads of signals. It keeps what it found.
type Owners struct {
	reader  client.Reader
	timeout time.Duration
	metrics *metrics.Metrics
	logger  *slog.Logger
	now     func() time.Time
	flight  singleflight.Group
	cache   *lru.Cache // signal.Resource -> answer

	mu      sync.Mutex
	refused bool // it is logged that the API refuses
}

// answer is what is known of a resource.
type answer struct {
	workload signal.Resource // the resource itself if it has no other
	until    time.Time
}

// New returns an Owners that knows nothing yet.
func New(o Options) *Owners {
	return &Owners{reader: o.Reader, timeout: o.Timeout, metrics: o.Metrics, logger: o.Logger, now: time.Now, cache: lru.New(maxCached)}
}

// Results of a look-up, as the metric names them.
const (
	resultCached  = "cached"
	resultFound   = "found"
	resultMissing = "missing"
	resultStale   = "stale"
	resultFailed  = "failed"
)

// Resolve makes a signal about a pod, ReplicaSet or Job one about its workload, and
// changes the fingerprint with it. A signal stays as it is if its resource has no owner,
// is not there, or can't be asked for within the time-out: it is never lost for that. An
// answer that was found before is used even then.
func (o *Owners) Resolve(ctx context.Context, sig *signal.Signal) {
	r := sig.Resource
	if _, ok := followed[r.Kind]; !ok || !isName(r) {
		return
	}
	workload := o.workloadOf(ctx, r)
	if workload == r {
		return
	}
	sig.Resource = workload
	sig.Fingerprint = signal.Fingerprint(sig.Name, workload.Namespace, workload.Kind, workload.Name+sig.Detail)
}

// isName reports whether the API server could have such an object.
func isName(r signal.Resource) bool {
	return len(validation.IsDNS1123Label(r.Namespace)) == 0 && len(validation.IsDNS1123Subdomain(r.Name)) == 0
}

func (o *Owners) workloadOf(ctx context.Context, r signal.Resource) signal.Resource {
	known, ok := o.cached(r)
	if ok && o.now().Before(known.until) {
		o.metrics.OwnerLookedUp(resultCached)
		return known.workload
	}
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	looked := o.flight.DoChan(r.ID(), func() (any, error) {
		// Shared by all who ask meanwhile, so it must not end with one of them.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.timeout)
		defer cancel()
		// It may have been found since the signal looked.
		if known, ok := o.cached(r); ok && o.now().Before(known.until) {
			return known.workload, nil
		}
		found, err := o.look(ctx, r)
		switch {
		case err == nil:
			o.cache.Add(r, answer{found, o.now().Add(foundFor)})
		case apierrors.IsNotFound(err) && !ok:
			o.cache.Add(r, answer{r, o.now().Add(missingFor)})
		}
		return found, err
	})
	var err error
	select {
	case result := <-looked:
		if found, _ := result.Val.(signal.Resource); result.Err == nil {
			o.metrics.OwnerLookedUp(resultFound)
			return found
		}
		err = result.Err
	case <-waiting.Done():
		err = context.Cause(waiting)
	}
	switch {
	case ok && known.workload != r:
		o.metrics.OwnerLookedUp(resultStale)
		return known.workload
	case apierrors.IsNotFound(err):
		o.metrics.OwnerLookedUp(resultMissing)
	default:
		o.metrics.OwnerLookedUp(resultFailed)
		o.logFailure(ctx, r, err)
	}
	return r
}

// logFailure logs a failure. One that a role causes is the same for every pod, and is
// logged once.
func (o *Owners) logFailure(ctx context.Context, r signal.Resource, err error) {
	if apierrors.IsForbidden(err) {
		o.mu.Lock()
		logged := o.refused
		o.refused = true
		o.mu.Unlock()
		if !logged {
			o.logger.ErrorContext(ctx, "the gateway may not read who owns pods, so each pod is an incident of its own; apply deploy/components/owners or set processing.owners.enabled to false", "error", err)
		}
		return
	}
	o.logger.WarnContext(ctx, "owner of a signal's resource can't be looked up, the resource itself is used", "resource", r.ID(), "error", err)
}

func (o *Owners) cached(r signal.Resource) (answer, bool) {
	value, ok := o.cache.Get(r)
	if !ok {
		return answer{}, false
	}
	known, _ := value.(answer)
	return known, true
}

// errNoName says that an object has an owner that signals can't be about.
var errNoName = errors.New("owner has no kind or name")

// look asks for the resource, its controller, and so on up to the workload.
func (o *Owners) look(ctx context.Context, r signal.Resource) (signal.Resource, error) {
	workload := r
	kind, ok := followed[r.Kind]
	for range maxDepth {
		if !ok {
			break
		}
		var object metav1.PartialObjectMetadata
		object.SetGroupVersionKind(kind)
		if err := o.reader.Get(ctx, types.NamespacedName{Namespace: r.Namespace, Name: workload.Name}, &object); err != nil {
			if workload != r && apierrors.IsNotFound(err) {
				break // what is known of it is its name
			}
			return r, fmt.Errorf("get %s: %w", workload.ID(), err)
		}
		owner := metav1.GetControllerOfNoCopy(&object)
		// A pod that a kubelet has made from a file belongs to its node.
		if owner == nil || owner.Kind == "Node" {
			break
		}
		if owner.Kind == "" || owner.Name == "" {
			return r, fmt.Errorf("%s: %w", workload.ID(), errNoName)
		}
		workload = signal.Resource{Kind: owner.Kind, Name: owner.Name, Namespace: r.Namespace}
		// Other groups have kinds of the same names, such as Job, with owners of their own.
		kind, ok = followed[owner.Kind]
		ok = ok && schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).Group == kind.Group
	}
	return workload, nil
}
