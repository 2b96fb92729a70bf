package remediation

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/google/go-cmp/cmp"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/metrics"
)

func stormDraft() Draft {
	d := testDraft("shop")
	d.Batch = "1-1"
	d.Storm = &Storm{Type: "rate", Resources: []string{"shop:Pod:web", "shop:Pod:db"}, LastSeen: received.Add(time.Minute)}
	return d
}

func TestStormObject(t *testing.T) {
	for kind, window := range map[string]string{"rate": "1m", "pattern": "2m"} {
		d := stormDraft()
		d.Storm.Type = kind
		got, err := build(d, received)
		if err != nil {
			t.Fatal(err)
		}
		s := got.Spec
		if !s.IsStorm || s.StormType != kind || s.StormWindow != window || s.StormAlertCount != 2 {
			t.Errorf("storm %t, %q over %q, %d alerts", s.IsStorm, s.StormType, s.StormWindow, s.StormAlertCount)
		}
		if diff := cmp.Diff([]string{"shop:Pod:web", "shop:Pod:db"}, s.AffectedResources); diff != "" {
			t.Errorf("resources (-want +got):\n%s", diff)
		}
		if got.Labels["kubernaut.io/storm"] != "true" || got.Labels["kubernaut.io/buffered"] != "" || got.Annotations["kubernaut.io/storm-batch"] != "1-1" {
			t.Errorf("labels %v, annotations %v", got.Labels, got.Annotations)
		}
		if d := s.Deduplication; d.OccurrenceCount != 1 || !d.FirstSeen.Time.Equal(received) || !d.LastSeen.Time.Equal(received.Add(time.Minute)) {
			t.Errorf("deduplication %+v", d)
		}
	}
}

func TestBufferedObject(t *testing.T) {
	d := stormDraft()
	d.Storm = nil
	got, err := build(d, received)
	if err != nil || got.Spec.IsStorm || got.Spec.AffectedResources != nil || got.Labels["kubernaut.io/buffered"] != "true" || got.Labels["kubernaut.io/storm"] != "" {
		t.Errorf("labels %v, spec %+v, %v", got.Labels, got.Spec, err)
	}
}

// A batch gets one object under a name, whichever replica tries and whatever became of
// the object.
func TestCreateForABatch(t *testing.T) {
	other := func(d Draft) Draft { d.Batch = "2-2"; return d }
	flushed := stormDraft()
	flushed.Storm = nil
	for name, c := range map[string]struct {
		draft    Draft
		present  *v1alpha1.RemediationRequest
		want     int64 // seconds by which the name was advanced
		existing bool
	}{
		"free":                            {stormDraft(), nil, 0, false},
		"made before":                     {stormDraft(), existing(stormDraft(), "shop", "", 0), 0, true},
		"made before and completed":       {stormDraft(), existing(stormDraft(), "shop", "Completed", 0), 0, true},
		"another storm's":                 {stormDraft(), existing(other(stormDraft()), "shop", "Completed", 0), 1, false},
		"another's in progress":           {stormDraft(), existing(testDraft("shop"), "shop", "", 0), 1, false},
		"flushed before and completed":    {flushed, existing(flushed, "shop", "Completed", 0), 0, true},
		"flushed, another's in progress":  {flushed, existing(testDraft("shop"), "shop", "", 0), 0, true},
		"flushed, another's is completed": {flushed, existing(other(flushed), "shop", "Completed", 0), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			var present []client.Object
			if c.present != nil {
				present = append(present, c.present)
			}
			got, err := newAPI(t, present...).creator(metrics.New()).Create(t.Context(), c.draft)
			if err != nil {
				t.Fatal(err)
			}
			if want := Name(c.draft.Signal.Fingerprint, received.Add(time.Duration(c.want)*time.Second)); got.Object.Name != want || got.Existing != c.existing {
				t.Errorf("%s, existing %t; want %s, %t", got.Object.Name, got.Existing, want, c.existing)
			}
		})
	}
}
