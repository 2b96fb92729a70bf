package dedup

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
)

var hot = types.NamespacedName{Namespace: "shop", Name: "hot"}

// While one update is under way, all who come share the next.
func TestConcurrentOccurrencesShareAnUpdate(t *testing.T) {
	s := newStore()
	sig := testSignal("A")
	s.create(sig, hot.Name)
	entered, proceed := make(chan struct{}), make(chan struct{})
	var first sync.Once
	s.before = func(verb string) error {
		if verb == "update" {
			first.Do(func() { close(entered); <-proceed })
		}
		return nil
	}
	o := newOccurrences(s)
	const callers = 50
	counts := make(chan int, callers)
	add := func() {
		object, count, err := o.add(t.Context(), hot, sig)
		if err != nil || object.Spec.Deduplication.OccurrenceCount < count {
			t.Errorf("count %d, %v", count, err)
		}
		counts <- count
	}
	go add()
	<-entered
	for range callers - 1 {
		go add()
	}
	for queued := 0; queued < callers-1; runtime.Gosched() {
		o.mu.Lock()
		if b := o.waiting[hot]; b != nil {
			queued = b.members
		}
		o.mu.Unlock()
	}
	close(proceed)
	seen := map[int]bool{}
	for range callers {
		seen[<-counts] = true
	}
	o.wait()
	if len(seen) != callers {
		t.Errorf("%d different counts for %d callers", len(seen), callers)
	}
	if got := s.objects[hot].Spec.Deduplication.OccurrenceCount; got != callers+1 || s.updates != 2 {
		t.Errorf("the object counts %d after %d updates", got, s.updates)
	}
	if len(o.waiting) != 0 {
		t.Errorf("left behind: %v", o.waiting)
	}
}

func TestConflictsAreRetried(t *testing.T) {
	s := newStore()
	sig := testSignal("A")
	s.create(sig, hot.Name)
	conflicts := 0
	s.before = func(verb string) error {
		if verb == "update" && conflicts < 3 {
			conflicts++
			s.setPhase("Processing") // somebody else changes the object
		}
		return nil
	}
	o := newOccurrences(s)
	if _, count, err := o.add(t.Context(), hot, sig); err != nil || count != 2 {
		t.Errorf("count %d, %v", count, err)
	}
	if object := s.objects[hot]; object.Status.OverallPhase != "Processing" || s.updates != 1 {
		t.Errorf("object %+v after %d updates", object.Status, s.updates)
	}
}

func TestConflictRetryIsBounded(t *testing.T) {
	for n := 1; n < 100; n++ {
		if wait := conflictWait(n); wait < 0 || wait >= maxConflictWait {
			t.Errorf("wait %d is %s", n, wait)
		}
	}
	s := newStore()
	sig := testSignal("A")
	s.create(sig, hot.Name)
	tries := 0
	s.before = func(verb string) error {
		if verb == "update" {
			tries++
			return apierrors.NewConflict(resource, hot.Name, errors.New("always"))
		}
		return nil
	}
	o := newOccurrences(s)
	if _, _, err := o.add(t.Context(), hot, sig); !apierrors.IsConflict(err) || tries != maxUpdateTries {
		t.Errorf("%v after %d tries", err, tries)
	}
}

// The incident ends between the look and the update.
func TestIncidentEndsMeanwhile(t *testing.T) {
	for name, end := range map[string]func(*store){
		"completed": func(s *store) { s.setPhase(v1alpha1.PhaseCompleted) },
		"deleted":   func(s *store) { s.mu.Lock(); defer s.mu.Unlock(); clear(s.objects) },
	} {
		s := newStore()
		sig := testSignal("A")
		s.create(sig, hot.Name)
		s.before = func(verb string) error {
			if verb == "update" {
				end(s)
			}
			return nil
		}
		if _, _, err := newOccurrences(s).add(t.Context(), hot, sig); !errors.Is(err, errNotInProgress) || s.updates != 0 {
			t.Errorf("%s: %v after %d updates", name, err, s.updates)
		}
	}
}

// A sender that goes before its signal was taken up is not counted; the update of
// senders that have all gone is given up.
func TestSendersThatGo(t *testing.T) {
	s := newStore()
	sig := testSignal("A")
	s.create(sig, hot.Name)
	entered, proceed := make(chan struct{}), make(chan struct{})
	var first sync.Once
	s.before = func(verb string) error {
		if verb == "update" {
			first.Do(func() { close(entered); <-proceed })
		}
		return nil
	}
	o := newOccurrences(s)
	stays := make(chan error, 1)
	go func() { _, _, err := o.add(t.Context(), hot, sig); stays <- err }()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	goes := make(chan error, 1)
	go func() { _, _, err := o.add(ctx, hot, sig); goes <- err }()
	for queued := false; !queued; runtime.Gosched() {
		o.mu.Lock()
		queued = o.waiting[hot] != nil
		o.mu.Unlock()
	}
	cancel()
	if err := <-goes; !errors.Is(err, context.Canceled) {
		t.Errorf("sender that went: %v", err)
	}
	close(proceed)
	if err := <-stays; err != nil {
		t.Errorf("sender that stayed: %v", err)
	}
	o.wait()
	if got := s.objects[hot].Spec.Deduplication.OccurrenceCount; got != 2 {
		t.Errorf("object counts %d", got)
	}
}

func TestLastSeenNeverGoesBack(t *testing.T) {
	s := newStore()
	sig := testSignal("A")
	s.create(sig, hot.Name)
	o := newOccurrences(s)
	later, earlier := *sig, *sig
	later.ReceivedTime = sig.ReceivedTime.Add(time.Hour)
	earlier.ReceivedTime = sig.ReceivedTime.Add(-time.Hour)
	for _, next := range []struct {
		at   time.Time
		want time.Time
	}{{later.ReceivedTime, later.ReceivedTime}, {earlier.ReceivedTime, later.ReceivedTime}} {
		probe := *sig
		probe.ReceivedTime = next.at
		object, _, err := o.add(t.Context(), hot, &probe)
		if err != nil || object.Spec.Deduplication.LastSeen.Unix() != next.want.Unix() {
			t.Errorf("last seen %s, want %s; %v", object.Spec.Deduplication.LastSeen, next.want, err)
		}
		if first := object.Spec.Deduplication.FirstSeen; first.Unix() != sig.ReceivedTime.Unix() {
			t.Errorf("first seen %s", first)
		}
	}
	o.wait()
}
