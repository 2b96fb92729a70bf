package integration_test

import (
	"fmt"
	"maps"
	"testing"

	"stormgate.internal/integration/system"
	"stormgate.internal/integration/testbed"
)

// Identical alerts that arrive at the same time at two replicas are the hardest
// case of deduplication: none of them can know of an object yet.
func TestSimultaneousIdenticalAlertsMakeOneObject(t *testing.T) {
	const senders = 10
	s := system.New(t, system.Options{})
	n := rounds(200, 40)
	codes := map[int]int{}
	for round := range n {
		alert := testbed.Alert{Name: fmt.Sprint("Identical", round), Namespace: s.Namespace, Pod: "pod"}
		alerts := make([]testbed.Alert, senders)
		for i := range alerts {
			alerts[i] = alert
		}
		for _, answer := range s.AtOnce(alerts...) {
			codes[answer.Code]++
			if answer.Duplicate != (answer.Code == 202) {
				t.Errorf("round %d: answer %d says duplicate %t", round, answer.Code, answer.Duplicate)
			}
		}
	}
	if want := map[int]int{201: n, 202: n * (senders - 1)}; !maps.Equal(codes, want) {
		t.Errorf("answers are %v, want %v", codes, want)
	}
	s.Verify()
	objects := s.Objects()
	if len(objects) != n {
		t.Errorf("%d objects, want %d", len(objects), n)
	}
	for _, object := range objects {
		if count := object.Spec.Deduplication.OccurrenceCount; count != senders {
			t.Errorf("%s has occurrenceCount %d, want %d", object.Name, count, senders)
		}
	}
}
