package storm_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/kubernetes"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/pipeline"
	"stormgate.internal/gateway/policy"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/storm"
)

// death ends a replica's life after a number of calls to Redis and Kubernetes: all
// further ones fail and have no effect. The zero value never does.
type death struct {
	calls atomic.Int64
	// at is the number of the call, counted from 1, during which the replica dies.
	at int64
	// done is true if that call still has its effect, though its caller gets an error.
	done bool
}

var errDead = &net.OpError{Op: "read", Net: "test", Err: errors.New("connection reset")}

// call makes a call.
func (d *death) call(effect func() error) error {
	n := d.calls.Add(1)
	switch {
	case d.at == 0 || n < d.at:
		return effect()
	case n == d.at && d.done:
		_ = effect()
	}
	return errDead
}

func (d *death) dead() bool { return d.at != 0 && d.calls.Load() >= d.at }

func (d *death) DialHook(next redis.DialHook) redis.DialHook { return next }
func (d *death) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := d.call(func() error { return next(ctx, cmd) })
		if err == errDead {
			cmd.SetErr(err)
		}
		return err
	}
}
func (d *death) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return d.call(func() error { return next(ctx, cmds) })
	}
}

// intercept passes the cluster's requests through d.
func intercept(c client.WithWatch, d *death) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
			return d.call(func() error { return w.Get(ctx, key, object, o...) })
		},
		List: func(ctx context.Context, w client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			return d.call(func() error { return w.List(ctx, list, o...) })
		},
		Create: func(ctx context.Context, w client.WithWatch, object client.Object, o ...client.CreateOption) error {
			return d.call(func() error { return w.Create(ctx, object, o...) })
		},
		Update: func(ctx context.Context, w client.WithWatch, object client.Object, o ...client.UpdateOption) error {
			return d.call(func() error { return w.Update(ctx, object, o...) })
		},
	})
}

var scheme = sync.OnceValue(func() *runtime.Scheme {
	s, err := kubernetes.Scheme()
	if err != nil {
		panic(err)
	}
	return s
})

// newCluster returns a Kubernetes API with the namespaces, all of production.
func newCluster(namespaces ...string) client.WithWatch {
	builder := fake.NewClientBuilder().WithScheme(scheme()).WithStatusSubresource(&v1alpha1.RemediationRequest{})
	for _, name := range namespaces {
		builder.WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"environment": "production"}}})
	}
	return builder.WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, w client.WithWatch, object client.Object, o ...client.CreateOption) error {
			if !slices.Contains(namespaces, object.GetNamespace()) {
				return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, object.GetNamespace())
			}
			return w.Create(ctx, object, o...)
		},
	}).Build()
}

// replica is one gateway's part from the signal on.
type replica struct {
	*pipeline.Pipeline
	storms    *storm.Storms
	incidents *dedup.Deduplicator
	amender   *amend.Amender
	redis     *redis.Client
}

type replicaOptions struct {
	settings config.Storm
	clock    *atomic.Int64 // nil for Redis' own
	death    *death        // nil for none
}

func newReplica(tb testing.TB, server *redistest.Server, cluster client.WithWatch, o replicaOptions) *replica {
	tb.Helper()
	if o.death == nil {
		o.death = &death{}
	}
	r := &replica{redis: server.Client()}
	r.redis.AddHook(o.death)
	kube := intercept(cluster, o.death)
	placement := remediation.Placement{Fallback: "fallback"}
	logger := slog.New(slog.DiscardHandler)
	m := metrics.New()
	store := remediation.NewStore(kube, placement)
	retry := remediation.Retry{MaxAttempts: 2, InitialBackoff: time.Millisecond, MaxBackoff: time.Millisecond, Metrics: m}
	r.amender = amend.New(store)
	creator := remediation.NewCreator(kube, placement, retry, m)
	r.incidents = dedup.New(dedup.Options{
		Redis: r.redis, Objects: store, Amender: r.amender, Retry: retry, Metrics: m, Logger: logger, TTL: time.Minute, Name: remediation.Name,
	})
	// These read the cluster without a death of their own: a failure to read gives
	// another environment, and loses nothing.
	environments := policy.NewEnvironments(cluster, types.NamespacedName{}, time.Minute, logger)
	options := storm.Options{
		Redis: r.redis, Settings: o.settings, Deduplicator: r.incidents, Amender: r.amender, Creator: creator,
		Environments: environments, Priorities: storm.TestPriorities(), Metrics: m, Logger: logger,
	}
	if o.clock != nil {
		options.SetClock(o.clock)
	}
	r.storms = storm.New(options)
	r.Pipeline = pipeline.New(pipeline.Steps{
		Deduplicator: r.incidents, Storms: r.storms, Environments: environments, Priorities: storm.TestPriorities(),
		Path: policy.Path, Creator: creator, Metrics: m,
	})
	tb.Cleanup(r.close)
	return r
}

func (r *replica) close() {
	r.storms.Close()
	r.amender.Close()
	_ = r.redis.Close()
}

func objectsOf(tb testing.TB, cluster client.Client) []v1alpha1.RemediationRequest {
	tb.Helper()
	var list v1alpha1.RemediationRequestList
	if err := cluster.List(tb.Context(), &list); err != nil {
		tb.Fatal(err)
	}
	return list.Items
}

func setPhase(tb testing.TB, cluster client.Client, object *v1alpha1.RemediationRequest, phase string) {
	tb.Helper()
	if err := cluster.Get(tb.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		tb.Fatal(err)
	}
	object.Status.OverallPhase = phase
	if err := cluster.Status().Update(tb.Context(), object); err != nil {
		tb.Fatal(err)
	}
}

// indexed waits until the index of objects is complete, so that signals which are
// not in it are not looked up.
func indexed(tb testing.TB, server *redistest.Server, cluster client.WithWatch) {
	tb.Helper()
	r := newReplica(tb, server, cluster, replicaOptions{})
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.incidents.Run(ctx) }()
	for r.redis.Exists(ctx, "gateway:dedup:complete").Val() == 0 {
		if ctx.Err() != nil {
			tb.Fatal("the index is not completed")
		}
		time.Sleep(100 * time.Microsecond)
	}
	cancel()
	<-done
}
