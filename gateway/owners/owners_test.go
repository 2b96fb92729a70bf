package owners

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/metricstest"
	"stormgate.internal/gateway/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster has objects, by kind and name, with the kind and name of their controller.
type cluster struct {
	client.Reader // nil: nothing but Get is used
	mu            sync.Mutex
	owners        map[string]string
	gets          atomic.Int64
	before        func(ctx context.Context) error
}

func (c *cluster) Get(ctx context.Context, name types.NamespacedName, into client.Object, _ ...client.GetOption) error {
	c.gets.Add(1)
	if c.before != nil {
		if err := c.before(ctx); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	kind := into.GetObjectKind().GroupVersionKind().Kind
	owner, ok := c.owners[kind+"/"+name.Name]
	if !ok || name.Namespace != "shop" {
		return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, name.Name)
	}
	controller, by := true, metav1.OwnerReference{}
	by.Kind, by.Name, _ = strings.Cut(owner, "/")
	by.APIVersion = map[string]string{"ReplicaSet": "apps/v1", "Job": "batch/v1"}[by.Kind]
	if kind, group, ok := strings.Cut(by.Kind, "."); ok {
		by.Kind, by.APIVersion = kind, group+"/v1"
	}
	by.Controller = &controller
	if owner != "" {
		into.SetOwnerReferences([]metav1.OwnerReference{{Kind: "ConfigMap", Name: "no-controller"}, by})
	}
	return nil
}

func newCluster() *cluster {
	return &cluster{owners: map[string]string{
		"Pod/web-1": "ReplicaSet/web-rs", "Pod/web-2": "ReplicaSet/web-rs", "ReplicaSet/web-rs": "Deployment/web",
		"Pod/canary": "ReplicaSet/canary-rs", "ReplicaSet/canary-rs": "Rollout/canary",
		"Pod/db-0": "StatefulSet/db", "Pod/agent": "DaemonSet/agent", "Pod/nightly-1": "Job/nightly-1", "Job/nightly-1": "CronJob/nightly",
		"Pod/once-1": "Job/once", "Job/once": "", "Pod/bare": "", "Pod/etcd": "Node/n1", "Pod/orphan": "ReplicaSet/gone", "Pod/odd": "/x",
		"Pod/train-1": "Job.batch.example/nightly-1",
	}}
}

type fixture struct {
	*Owners
	*cluster
	metrics *metrics.Metrics
	log     *bytes.Buffer
	clock   time.Time
}

func newFixture() *fixture {
	f := &fixture{cluster: newCluster(), metrics: metrics.New(), log: &bytes.Buffer{}, clock: time.Now()}
	f.Owners = New(Options{Reader: f.cluster, Timeout: 10 * time.Second, Metrics: f.metrics, Logger: slog.New(slog.NewTextHandler(f.log, nil))})
	f.now = func() time.Time { return f.clock }
	return f
}

func (f *fixture) resolve(ctx context.Context, kind, name string) *signal.Signal {
	sig := &signal.Signal{Name: "A", Namespace: "shop", Resource: signal.Resource{Kind: kind, Name: name, Namespace: "shop"}, Detail: `{volume="a"}`}
	sig.Fingerprint = signal.Fingerprint(sig.Name, "shop", kind, name+sig.Detail)
	f.Resolve(ctx, sig)
	return sig
}

func (f *fixture) counted(t *testing.T, result string) float64 {
	t.Helper()
	return metricstest.Read(t, f.metrics, "gateway_owner_lookups_total")[fmt.Sprintf("gateway_owner_lookups_total{result=%q}", result)]
}

func TestWorkloads(t *testing.T) {
	f := newFixture()
	for from, want := range map[string]string{
		"Pod/web-1": "Deployment/web", "Pod/web-2": "Deployment/web", "ReplicaSet/web-rs": "Deployment/web", "Deployment/web": "Deployment/web",
		"Pod/canary": "Rollout/canary", "Pod/db-0": "StatefulSet/db", "Pod/agent": "DaemonSet/agent",
		"Pod/nightly-1": "CronJob/nightly", "Job/nightly-1": "CronJob/nightly", "Pod/once-1": "Job/once",
		"Pod/bare": "Pod/bare", "Pod/etcd": "Pod/etcd", "Pod/unknown": "Pod/unknown", "Pod/orphan": "ReplicaSet/gone", "Pod/odd": "Pod/odd",
		"Pod/train-1":   "Job/nightly-1",
		"Service/web-1": "Service/web-1", "Pod/No_Name": "Pod/No_Name",
	} {
		kind, name, _ := strings.Cut(from, "/")
		sig := f.resolve(t.Context(), kind, name)
		if got := sig.Resource.Kind + "/" + sig.Resource.Name; got != want || sig.Resource.Namespace != "shop" {
			t.Errorf("%s is about %s, want %s", from, sig.Resource.ID(), want)
		}
		wantKind, wantName, _ := strings.Cut(want, "/")
		if sig.Fingerprint != signal.Fingerprint("A", "shop", wantKind, wantName+`{volume="a"}`) {
			t.Errorf("%s: the fingerprint is not that of %s", from, want)
		}
	}
}

// What was found is not asked for again, until it is old. It is used all the same when
// the pod has gone, or the API does not answer.
func TestAnswersAreKept(t *testing.T) {
	f := newFixture()
	expect := func(what, want string, gets int64) {
		t.Helper()
		before := f.gets.Load()
		if got := f.resolve(t.Context(), "Pod", "web-1").Resource.Name; got != want || f.gets.Load()-before != gets {
			t.Errorf("%s: %s after %d requests, want %s after %d", what, got, f.gets.Load()-before, want, gets)
		}
	}
	expect("first", "web", 2)
	expect("again", "web", 0)
	f.clock = f.clock.Add(foundFor)
	expect("old", "web", 2)
	f.clock = f.clock.Add(foundFor)
	delete(f.owners, "Pod/web-1")
	expect("the pod has gone", "web", 1)
	f.before = func(context.Context) error { return errors.New("connection refused") }
	expect("the API fails", "web", 1)
	if got := f.counted(t, "stale"); got != 2 {
		t.Errorf("%v answers are counted as stale, want 2", got)
	}
}

func TestMissingPodsAreNotAskedForEachTime(t *testing.T) {
	f := newFixture()
	for range 5 {
		f.resolve(t.Context(), "Pod", "late")
	}
	if n := f.gets.Load(); n != 1 {
		t.Errorf("%d requests for a pod that is not there", n)
	}
	f.owners["Pod/late"] = "StatefulSet/late"
	f.clock = f.clock.Add(missingFor)
	if got := f.resolve(t.Context(), "Pod", "late").Resource.Kind; got != "StatefulSet" {
		t.Errorf("once it is there, it is a %s", got)
	}
}

// A signal waits for no longer than the time-out, and stays about its pod then. The next
// one asks again.
func TestSlowAPI(t *testing.T) {
	f := newFixture()
	f.timeout = 20 * time.Millisecond
	f.before = func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	if got := f.resolve(t.Context(), "Pod", "web-1").Resource.Kind; got != "Pod" {
		t.Errorf("it is about a %s", got)
	}
	if !strings.Contains(f.log.String(), "shop:Pod:web-1") {
		t.Errorf("log: %s", f.log)
	}
	if got := f.counted(t, "failed"); got != 1 {
		t.Errorf("%v failures are counted", got)
	}
	f.before, f.timeout = nil, 10*time.Second
	// Another request of the same pod may still be under way.
	f.flight.Forget("shop:Pod:web-1")
	if got := f.resolve(t.Context(), "Pod", "web-1").Resource.Kind; got != "Deployment" {
		t.Errorf("when the API answers again, it is about a %s", got)
	}
}

func TestSignalsOfOnePodShareARequest(t *testing.T) {
	f := newFixture()
	started, proceed := make(chan struct{}, 100), make(chan struct{})
	f.before = func(context.Context) error {
		started <- struct{}{}
		<-proceed
		return nil
	}
	var running sync.WaitGroup
	for range 20 {
		running.Go(func() {
			if got := f.resolve(t.Context(), "Pod", "db-0").Resource.Kind; got != "StatefulSet" {
				t.Errorf("it is about a %s", got)
			}
		})
	}
	<-started
	close(proceed)
	running.Wait()
	// Those that came after the answer found it kept.
	if n := f.gets.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestRefusalIsLoggedOnce(t *testing.T) {
	f := newFixture()
	f.before = func(context.Context) error {
		return apierrors.NewForbidden(corev1.Resource("pods"), "x", errors.New("no role"))
	}
	for n := range 3 {
		f.resolve(t.Context(), "Pod", fmt.Sprint("web-", n))
	}
	if n := strings.Count(f.log.String(), "deploy/components/owners"); n != 1 {
		t.Errorf("%d lines: %s", n, f.log)
	}
}
