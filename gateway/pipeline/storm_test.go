package pipeline

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/storm"
)

// A signal that is taken into a storm gets no object of its own, and others learn of
// the storm's object.
func TestSignalOfAStorm(t *testing.T) {
	for name, kind := range map[string]storm.Kind{"opened": storm.Opened, "added": storm.Added, "flushed": storm.Flushed} {
		t.Run(name, func(t *testing.T) {
			p, s := newPipeline(t)
			held := object(1)
			held.Name, held.Spec.Priority = "storm", "P1"
			if err := s.cluster.Create(t.Context(), held); err != nil {
				t.Fatal(err)
			}
			s.verdict = storm.Verdict{Kind: kind, Type: "rate", WindowID: "A-1", Members: 7, Object: held}
			got, err := p.Process(t.Context(), sig)
			if err != nil {
				t.Fatal(err)
			}
			want := Outcome{Storm: &Storm{Kind: kind, Type: "rate", WindowID: "A-1", Members: 7, Created: Created{
				Object: types.NamespacedName{Namespace: "shop", Name: "storm"}, Environment: "theirs", Priority: "P1", Path: "path of P1",
			}}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			if got, err := p.Process(t.Context(), sig); err != nil || got.Duplicate == nil || got.Duplicate.Object.Name != "storm" {
				t.Errorf("repeat: %+v, %v", got, err)
			}
			wantCounted(t, s, map[string]float64{
				"received": 2,
				`signals_processed_total{environment="theirs"}`:                    2,
				`signals_deduplicated_total{environment="theirs",signal_name="A"}`: 1,
				`duplicate_signals_total{namespace="shop"}`:                        1,
			})
		})
	}
}

func TestBufferedSignalIsNoDuplicate(t *testing.T) {
	p, s := newPipeline(t)
	for range 2 {
		s.verdict = storm.Verdict{Kind: storm.Buffered, Type: "pattern", Members: 1}
		got, err := p.Process(t.Context(), sig)
		want := Outcome{Storm: &Storm{Kind: storm.Buffered, Type: "pattern", Members: 1, Created: Created{Environment: "env-of-shop"}}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v, outcome (-want +got):\n%s", err, diff)
		}
	}
	wantCounted(t, s, map[string]float64{"received": 2, `signals_processed_total{environment="env-of-shop"}`: 2})
}

// The flusher was faster: the signal goes through the steps again.
func TestOvertakenSignalLooksAgain(t *testing.T) {
	p, s := newPipeline(t)
	s.verdict = storm.Verdict{Kind: storm.Overtaken}
	if got, err := p.Process(t.Context(), sig); err != nil || got.Created == nil || len(s.names) != 2 {
		t.Errorf("%+v, %v after %d looks", got, err, len(s.names))
	}
}

// When it is not known whether the signal was taken into a storm, no object is made
// of it, and its repeat is not kept waiting.
func TestFailedStormStepFails(t *testing.T) {
	p, s := newPipeline(t)
	s.failure = &redisclient.UnavailableError{Op: "storm_detection", Err: errors.New("no reply")}
	for range 2 {
		if _, err := p.Process(t.Context(), sig); !errors.Is(err, s.failure) {
			t.Fatalf("error %v", err)
		}
	}
	wantCounted(t, s, map[string]float64{"received": 2, `signals_failed_total{reason="deduplication_unavailable"}`: 2})
}
