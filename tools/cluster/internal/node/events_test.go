package node

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// told is a sink that keeps the UIDs of what it was told about.
type told struct{ uids []string }

func (s *told) add(event *corev1.Event) (*corev1.Event, error) {
	s.uids = append(s.uids, string(event.InvolvedObject.UID))
	return event, nil
}

func (s *told) Create(event *corev1.Event) (*corev1.Event, error)          { return s.add(event) }
func (s *told) Update(event *corev1.Event) (*corev1.Event, error)          { return s.add(event) }
func (s *told) Patch(event *corev1.Event, _ []byte) (*corev1.Event, error) { return s.add(event) }

// Promise: of a pod that was ended with its namespace no event comes any more.
func TestEndedPodsHaveNoEvents(t *testing.T) {
	sink := &told{}
	living := livingSink{sink, func(uid string) bool { return uid == "ended" }}
	for _, uid := range []string{"ended", "alive"} {
		event := &corev1.Event{InvolvedObject: corev1.ObjectReference{UID: types.UID(uid)}}
		for _, send := range []func() (*corev1.Event, error){
			func() (*corev1.Event, error) { return living.Create(event) },
			func() (*corev1.Event, error) { return living.Update(event) },
			func() (*corev1.Event, error) { return living.Patch(event, nil) },
		} {
			if answer, err := send(); answer != event || err != nil {
				t.Errorf("answer %v, %v", answer, err)
			}
		}
	}
	if want := []string{"alive", "alive", "alive"}; !slices.Equal(sink.uids, want) {
		t.Errorf("told of %q, want %q", sink.uids, want)
	}
}
