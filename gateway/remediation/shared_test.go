package remediation

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"stormgate.internal/gateway/api/v1alpha1"
)

// Promise: however many signals look for their objects at once, the storms of a namespace
// are listed once at a time, and once for all that wait. And who asks sees what was made
// before.
func TestListsOfStormsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const askers = 500
		var lists, made atomic.Int32
		goOn := make(chan struct{})
		s := sharedLists{list: func(context.Context, string) ([]v1alpha1.RemediationRequest, error) {
			items := make([]v1alpha1.RemediationRequest, made.Load())
			lists.Add(1)
			<-goOn
			return items, nil
		}}
		var asking sync.WaitGroup
		ask := func(atLeast int) {
			items, err := s.in(t.Context(), "shop")
			if err != nil || len(items) < atLeast {
				t.Errorf("%d objects, %v; want %d", len(items), err, atLeast)
			}
		}
		asking.Go(func() { ask(0) })
		synctest.Wait()
		// The list that is under way has not seen this object.
		made.Store(1)
		for range askers {
			asking.Go(func() { ask(1) })
		}
		synctest.Wait()
		if n := lists.Load(); n != 1 {
			t.Errorf("%d lists are made at once", n)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.in(gone, "shop"); err == nil {
			t.Error("it waits for a caller that has gone")
		}
		close(goOn)
		asking.Wait()
		if n := lists.Load(); n != 2 {
			t.Errorf("%d lists, want one more for all %d callers", n, askers)
		}
	})
}
