package node

import (
	"runtime"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
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
	ends := newEnds()
	living := livingSink{sink, ends}
	ends.note([]string{"calm"}, 30)
	ends.note([]string{"calm"}, 20)
	for _, object := range []corev1.ObjectReference{
		{UID: "ended", Namespace: "calm", ResourceVersion: "9"},
		{UID: "ended", Namespace: "calm", ResourceVersion: "30"},
		{UID: "later", Namespace: "calm", ResourceVersion: "31"},
		{UID: "beside", Namespace: "storm", ResourceVersion: "9"},
		{UID: "unversioned", Namespace: "calm"},
	} {
		event := &corev1.Event{InvolvedObject: object}
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
	if want := []string{"later", "beside", "unversioned"}; !slices.Equal(slices.Compact(sink.uids), want) || len(sink.uids) != 9 {
		t.Errorf("told of %q, want %q", sink.uids, want)
	}
}

// slow is a sink in which each event is under way until it may arrive.
type slow struct {
	told
	underWay, arrive chan struct{}
}

func (s *slow) Create(event *corev1.Event) (*corev1.Event, error) {
	s.underWay <- struct{}{}
	<-s.arrive
	return s.add(event)
}

// Promise: once an end is noted, an event that was sent before it has arrived, and can be deleted.
func TestNoEventIsUnderWayAfterAnEnd(t *testing.T) {
	sink := &slow{underWay: make(chan struct{}), arrive: make(chan struct{})}
	ends := newEnds()
	living := livingSink{sink, ends}
	event := &corev1.Event{InvolvedObject: corev1.ObjectReference{UID: "ended", Namespace: "calm", ResourceVersion: "9"}}
	go living.Create(event)
	<-sink.underWay
	noted := make(chan int, 1)
	go func() {
		ends.note([]string{"calm"}, 30)
		noted <- len(sink.uids)
	}()
	for ends.mu.TryRLock() { // until the end waits
		ends.mu.RUnlock()
		select {
		case <-noted:
			t.Fatal("the end was noted while an event was under way")
		default:
			runtime.Gosched()
		}
	}
	close(sink.arrive)
	if arrived := <-noted; arrived != 1 {
		t.Errorf("%d events had arrived when the end was noted, want 1", arrived)
	}
	living.Create(event)
	if len(sink.uids) != 1 {
		t.Errorf("events about %q arrived, want one", sink.uids)
	}
}
