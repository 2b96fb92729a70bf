package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/kubernetes"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/metricstest"
	"stormgate.internal/gateway/owners"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
	"stormgate.internal/gateway/storm"
)

// surroundings are what a pipeline under test has around it. Deduplication and the
// creation of objects are the real ones.
type surroundings struct {
	cluster client.Client
	// onCreate, if set, is called for each create, which fails with its error. The
	// client's own creates are not among them.
	onCreate func(client.Client) error
	metrics  *metrics.Metrics
	// verdict is what storms say once, and failure always; names are those they got.
	verdict storm.Verdict
	failure error
	names   []string
}

func (s *surroundings) Environment(_ context.Context, namespace string) string {
	return "env-of-" + namespace
}
func (s *surroundings) Priority(_ context.Context, severity, environment string, labels map[string]string) string {
	return severity + "/" + environment + "/" + labels["team"]
}
func (s *surroundings) Handle(_ context.Context, _ *signal.Signal, name string, _ dedup.Guard) (storm.Verdict, error) {
	s.names = append(s.names, name)
	verdict, err := s.verdict, s.failure
	s.verdict = storm.Verdict{}
	return verdict, err
}

func newPipeline(t *testing.T) (*Pipeline, *surroundings) {
	t.Helper()
	s := &surroundings{metrics: metrics.New()}
	scheme, err := kubernetes.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	s.cluster = fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, w client.WithWatch, object client.Object, o ...client.CreateOption) error {
			if s.onCreate != nil {
				if err := s.onCreate(w); err != nil {
					return err
				}
			}
			return w.Create(ctx, object, o...)
		},
	}).Build()
	placement := remediation.Placement{Fallback: "fallback"}
	store := remediation.NewStore(s.cluster, placement)
	retry := remediation.Retry{MaxAttempts: 1, Metrics: s.metrics}
	redis, amender := redistest.Start(t).Client(), amend.New(store)
	t.Cleanup(func() { amender.Close(); _ = redis.Close() })
	return New(Steps{
		Deduplicator: dedup.New(dedup.Options{
			Redis: redis, Objects: store, Amender: amender, Retry: retry, Metrics: s.metrics, Logger: slog.New(slog.DiscardHandler), TTL: time.Minute,
			Name: func(string, time.Time) string { return "reserved" },
		}),
		Storms: s, Environments: s, Priorities: s,
		Path:    func(_, priority string) string { return "path of " + priority },
		Creator: remediation.NewCreator(s.cluster, placement, retry, s.metrics),
		Metrics: s.metrics,
	}), s
}

// stored returns the object that has the name.
func (s *surroundings) stored(t *testing.T, name string) *v1alpha1.RemediationRequest {
	t.Helper()
	var object v1alpha1.RemediationRequest
	if err := s.cluster.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, &object); err != nil {
		t.Fatal(err)
	}
	return &object
}

var sig = &signal.Signal{Source: "prometheus", Name: "A", Namespace: "shop", Severity: "info", Labels: map[string]string{"team": "vip"},
	Fingerprint: signal.Fingerprint("A", "shop", "Pod", "web"), ReceivedTime: time.Unix(1_700_000_000, 0)}

func object(count int) *v1alpha1.RemediationRequest {
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "reserved"},
		Spec: v1alpha1.RemediationRequestSpec{SignalFingerprint: sig.Fingerprint, Environment: "theirs",
			Deduplication: v1alpha1.DeduplicationInfo{OccurrenceCount: count}},
	}
}

// wantCounted compares what is counted about signals, without the prefix gateway_.
// Those received are counted together.
func wantCounted(t *testing.T, s *surroundings, want map[string]float64) {
	t.Helper()
	got := make(map[string]float64)
	for key, value := range metricstest.Read(t, s.metrics, "gateway_crds_created_total", "gateway_signals_", "gateway_duplicate_signals_total", "gateway_heartbeat_") {
		switch key = strings.TrimPrefix(key, "gateway_"); {
		case strings.HasPrefix(key, "signals_received_by"):
		case strings.HasPrefix(key, "signals_received"):
			got["received"] += value
		default:
			got[key] = value
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

func TestNewIncidentGoesThroughAllSteps(t *testing.T) {
	p, s := newPipeline(t)
	got, err := p.Process(t.Context(), sig)
	if err != nil {
		t.Fatal(err)
	}
	want := Outcome{Created: &Created{
		Object:      types.NamespacedName{Namespace: "shop", Name: "reserved"},
		Environment: "env-of-shop", Priority: "info/env-of-shop/vip", Path: "path of info/env-of-shop/vip",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	if o := s.stored(t, "reserved").Spec; o.SignalFingerprint != sig.Fingerprint || o.SignalName != "A" || o.Environment != "env-of-shop" || o.Priority != "info/env-of-shop/vip" {
		t.Errorf("object %+v", o)
	}
	wantCounted(t, s, map[string]float64{
		"received": 1,
		`crds_created_total{environment="env-of-shop",priority="info/env-of-shop/vip"}`: 1,
		`signals_processed_total{environment="env-of-shop"}`:                            1,
	})
}

// The name that was reserved is taken by an object of the same incident, made by
// a replica whose reservation was lost: the signal counts on it.
func TestObjectMadeBySomebodyElseMakesADuplicate(t *testing.T) {
	p, s := newPipeline(t)
	s.onCreate = func(w client.Client) error {
		if err := w.Create(t.Context(), object(1)); err != nil {
			return err
		}
		return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "remediationrequests"}, "reserved")
	}
	got, err := p.Process(t.Context(), sig)
	if err != nil || got.Duplicate == nil || got.Duplicate.Count != 2 || s.stored(t, "reserved").Spec.Deduplication.OccurrenceCount != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	wantCounted(t, s, map[string]float64{
		"received": 1,
		`signals_processed_total{environment="theirs"}`:                    1,
		`signals_deduplicated_total{environment="theirs",signal_name="A"}`: 1,
		`duplicate_signals_total{namespace="shop"}`:                        1,
	})
}

func TestFailedCreationFreesTheIncident(t *testing.T) {
	p, s := newPipeline(t)
	failure := errors.New("no")
	s.onCreate = func(client.Client) error { return failure }
	for range 2 { // the second one would wait if the claim were kept
		var api *remediation.APIError
		if _, err := p.Process(t.Context(), sig); !errors.Is(err, failure) || !errors.As(err, &api) {
			t.Fatalf("error %v", err)
		}
	}
	wantCounted(t, s, map[string]float64{"received": 2, `signals_failed_total{reason="kubernetes_api"}`: 2})
}

func TestResolvedSignalsAreIgnored(t *testing.T) {
	p, s := newPipeline(t)
	over := *sig
	over.Resolved = true
	if got, err := p.Process(t.Context(), &over); err != nil || got != (Outcome{}) {
		t.Errorf("%+v, %v", got, err)
	}
	wantCounted(t, s, map[string]float64{"received": 1, `signals_ignored_total{reason="resolved"}`: 1})
}

// That one pod of a workload is well again says nothing about the others, whose alerts
// have the same object.
func TestOnePodDoesNotResolveItsWorkload(t *testing.T) {
	p, s := newPipeline(t)
	controller := true
	for _, pod := range []*corev1.Pod{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db", Controller: &controller}}}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bare"}},
	} {
		if err := s.cluster.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	p.steps.AnnotateResolved = true
	p.steps.Owners = owners.New(owners.Options{Reader: s.cluster, Timeout: 10 * time.Second, Metrics: s.metrics, Logger: slog.New(slog.DiscardHandler)})
	for n, c := range []struct {
		kind, name string
		noted      bool
	}{{"Pod", "db-0", false}, {"StatefulSet", "db", true}, {"Pod", "bare", true}} {
		about := func(resolved bool) *signal.Signal {
			one := *sig
			one.Resource, one.Resolved, one.EndTime = signal.Resource{Kind: c.kind, Name: c.name, Namespace: "shop"}, resolved, sig.ReceivedTime
			one.Fingerprint = signal.Fingerprint(one.Name, "shop", c.kind, c.name)
			return &one
		}
		fired, err := p.Process(t.Context(), about(false))
		if err != nil || (fired.Created == nil) != (n == 1) {
			t.Fatalf("%s fires: %+v, %v", c.name, fired, err)
		}
		got, err := p.Process(t.Context(), about(true))
		if err != nil || (got.Resolved != nil) != c.noted {
			t.Errorf("%s is resolved: %+v, %v", c.name, got, err)
		}
	}
}

// What fires and is about nothing touches neither Redis nor the cluster.
func TestIgnoredSignals(t *testing.T) {
	p, s := newPipeline(t)
	beat := *sig
	beat.Ignored, beat.Heartbeat = signal.IgnoredByName, "monitoring/k8s"
	if got, err := p.Process(t.Context(), &beat); err != nil || got != (Outcome{}) {
		t.Errorf("%+v, %v", got, err)
	}
	wantCounted(t, s, map[string]float64{
		"received": 1, `signals_ignored_total{reason="alert_name"}`: 1,
		`heartbeat_timestamp_seconds{source="monitoring/k8s"}`: float64(sig.ReceivedTime.Unix()),
	})
}

// Each failure is counted by its reason, however deep it is.
func TestReasonsOfFailures(t *testing.T) {
	failure := errors.New("x")
	for want, errs := range map[metrics.FailureReason][]error{
		metrics.DeduplicationUnavailable: {
			&redisclient.UnavailableError{Op: "storm_detection", Err: failure}, &dedup.BusyError{Err: failure},
			&redisclient.UnavailableError{Op: "storm_detection", Err: &remediation.APIError{Op: "get", Err: failure}},
		},
		metrics.KubernetesAPI: {&remediation.APIError{Op: "create", Err: failure}},
		metrics.Cancelled:     {context.Canceled, context.DeadlineExceeded, failure},
	} {
		for _, err := range errs {
			if got := failureReason(fmt.Errorf("wrapped: %w", err)); got != want {
				t.Errorf("%v: %s, want %s", err, got, want)
			}
		}
	}
}
