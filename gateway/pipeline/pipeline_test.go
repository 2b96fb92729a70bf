package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
	"stormgate.internal/gateway/storm"
)

// steps plays the steps beside deduplication, which is the real one.
type steps struct {
	object *v1alpha1.RemediationRequest // what the cluster holds, if anything
	create func(remediation.Draft) (remediation.Created, error)
	draft  remediation.Draft
	events []string
	// verdict is what storms say once, and failure always; names are those they got.
	verdict storm.Verdict
	failure error
	names   []string
}

func (s *steps) Environment(_ context.Context, namespace string) string { return "env-of-" + namespace }
func (s *steps) Priority(_ context.Context, severity, environment string, labels map[string]string) string {
	return severity + "/" + environment + "/" + labels["team"]
}
func (s *steps) Create(_ context.Context, draft remediation.Draft) (remediation.Created, error) {
	s.draft = draft
	return s.create(draft)
}
func (s *steps) Get(context.Context, types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	return s.object.DeepCopy(), nil
}
func (s *steps) Page(context.Context, string) ([]v1alpha1.RemediationRequest, string, error) {
	return nil, "", nil
}
func (s *steps) Place(namespace string) string { return namespace }
func (s *steps) PlaceOf(object *v1alpha1.RemediationRequest) (string, bool) {
	return object.Namespace, true
}
func (s *steps) Find(context.Context, *signal.Signal) ([]v1alpha1.RemediationRequest, error) {
	return nil, nil
}
func (s *steps) Update(_ context.Context, object *v1alpha1.RemediationRequest) error {
	s.object = object
	return nil
}
func (s *steps) SignalCreated(_ *signal.Signal, environment, priority string) {
	s.events = append(s.events, "created in "+environment+" as "+priority)
}
func (s *steps) SignalDuplicated(_ *signal.Signal, environment, namespace string) {
	s.events = append(s.events, "duplicated in "+environment+" "+namespace)
}
func (s *steps) SignalGathered(_ *signal.Signal, environment string) {
	s.events = append(s.events, "gathered in "+environment)
}
func (s *steps) Handle(_ context.Context, _ *signal.Signal, name string) (storm.Verdict, error) {
	s.names = append(s.names, name)
	verdict, err := s.verdict, s.failure
	s.verdict = storm.Verdict{}
	return verdict, err
}
func (s *steps) SignalIgnored(*signal.Signal)           { s.events = append(s.events, "ignored") }
func (s *steps) SignalFailed(_ *signal.Signal, _ error) { s.events = append(s.events, "failed") }

func (s *steps) Do(ctx context.Context, attempt func(context.Context) error) error {
	return attempt(ctx)
}
func (s *steps) RedisOperation(string, time.Duration) {}
func (s *steps) RedisOperationFailed(string)          {}

func newPipeline(t *testing.T) (*Pipeline, *steps) {
	t.Helper()
	s := &steps{}
	client := redistest.Start(t).Client()
	amender := amend.New(s)
	d := dedup.New(dedup.Options{
		Redis: client, Objects: s, Amender: amender, Retry: s, Observer: s, Logger: slog.New(slog.DiscardHandler), TTL: time.Minute,
		Name: func(string, time.Time) string { return "reserved" },
	})
	t.Cleanup(func() { amender.Close(); _ = client.Close() })
	path := func(environment, priority string) string { return "path of " + priority }
	return &Pipeline{Deduplicator: d, Storms: s, Environments: s, Priorities: s, Path: path, Creator: s, Observer: s}, s
}

var sig = &signal.Signal{Name: "A", Namespace: "shop", Severity: "info", Labels: map[string]string{"team": "vip"},
	Fingerprint: signal.Fingerprint("A", "shop", "Pod", "web"), ReceivedTime: time.Unix(1_700_000_000, 0)}

func object(count int) *v1alpha1.RemediationRequest {
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "reserved"},
		Spec: v1alpha1.RemediationRequestSpec{SignalFingerprint: sig.Fingerprint, Environment: "theirs",
			Deduplication: v1alpha1.DeduplicationInfo{OccurrenceCount: count}},
	}
}

func wantEvents(t *testing.T, s *steps, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestNewIncidentGoesThroughAllSteps(t *testing.T) {
	p, s := newPipeline(t)
	s.create = func(remediation.Draft) (remediation.Created, error) {
		return remediation.Created{Object: object(1)}, nil
	}
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
	if s.draft.Name != "reserved" || s.draft.Signal != sig || s.draft.Environment != "env-of-shop" {
		t.Errorf("draft %+v", s.draft)
	}
	wantEvents(t, s, "created in env-of-shop as info/env-of-shop/vip")
}

// The name that was reserved is taken by an object of the same incident, made by
// a replica whose reservation was lost: the signal counts on it.
func TestObjectMadeBySomebodyElseMakesADuplicate(t *testing.T) {
	p, s := newPipeline(t)
	s.create = func(remediation.Draft) (remediation.Created, error) {
		s.object = object(1)
		return remediation.Created{Object: s.object.DeepCopy(), Existing: true}, nil
	}
	got, err := p.Process(t.Context(), sig)
	if err != nil || got.Duplicate == nil || got.Duplicate.Count != 2 || s.object.Spec.Deduplication.OccurrenceCount != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	wantEvents(t, s, "duplicated in theirs shop")
}

func TestFailedCreationFreesTheIncident(t *testing.T) {
	p, s := newPipeline(t)
	failure := &remediation.APIError{Op: "create", Err: errors.New("no")}
	s.create = func(remediation.Draft) (remediation.Created, error) { return remediation.Created{}, failure }
	for range 2 { // the second one would wait if the claim were kept
		if _, err := p.Process(t.Context(), sig); !errors.Is(err, failure) {
			t.Fatalf("error %v", err)
		}
	}
	wantEvents(t, s, "failed", "failed")
}

func TestResolvedSignalsAreIgnored(t *testing.T) {
	p, s := newPipeline(t)
	over := *sig
	over.Resolved = true
	if got, err := p.Process(t.Context(), &over); err != nil || got != (Outcome{}) {
		t.Errorf("%+v, %v", got, err)
	}
	wantEvents(t, s, "ignored")
}
