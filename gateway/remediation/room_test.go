package remediation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/signal"
)

// Promise: however many signals look for their objects at once, as after a failure of
// Redis, few lists are made at once, and those of storms, which are large, one in each
// namespace. All signals find theirs.
func TestSearchesAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		member := testSignal("shop")
		member.Resource.Namespace = "shop"
		member.Fingerprint = signal.Fingerprint(member.Name, "shop", member.Resource.Kind, member.Resource.Name)
		a := newAPI(t, storm("shop", member.Resource, member.Name, 0))
		var ofStorms, ofFingerprints, storms atomic.Int32
		proceed := make(chan struct{})
		a.onList = func(_, selector string) {
			underWay := &ofFingerprints
			if strings.HasPrefix(selector, LabelStorm+"=") {
				underWay = &ofStorms
				storms.Add(1)
			}
			underWay.Add(1)
			<-proceed
			underWay.Add(-1)
		}
		s := NewStore(a, placement)
		const count = 20 * maxFinding
		var callers sync.WaitGroup
		for range count {
			callers.Go(func() {
				if found, err := s.Find(t.Context(), member); err != nil || len(found) != 1 {
					t.Errorf("found %d, %v", len(found), err)
				}
			})
		}
		most := int32(0)
		for range 20 * count { // each list by itself, until all have ended
			synctest.Wait()
			if n := ofStorms.Load(); n > 2 {
				t.Fatalf("%d lists of storms at once in two namespaces", n)
			}
			most = max(most, ofFingerprints.Load())
			if ofStorms.Load()+ofFingerprints.Load() == 0 {
				break
			}
			proceed <- struct{}{}
		}
		callers.Wait()
		if most != 2*maxFinding {
			t.Errorf("%d lists by fingerprint at once in two namespaces, want %d", most, 2*maxFinding)
		}
		if n := storms.Load(); n > 6 { // some come to the second namespace before others
			t.Errorf("%d lists of storms for %d searches", n, count)
		}
		close(proceed)
		ended, end := context.WithCancel(t.Context())
		end()
		if _, err := s.Find(ended, member); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that has ended: %v", err)
		}
	})
}

// Promise: a request of many alerts leaves the API server room for others. All of them
// are created, and who can't wait any longer is told so.
func TestCreationsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		var underWay, all atomic.Int32
		proceed := make(chan struct{})
		a.onCreate = func(context.Context, client.Client, client.Object) (bool, error) {
			underWay.Add(1)
			<-proceed
			underWay.Add(-1)
			all.Add(1)
			return true, nil
		}
		c := a.creator(metrics.New())
		const count = 2 * maxCreating
		var callers sync.WaitGroup
		for n := range count {
			callers.Go(func() {
				draft := testDraft("shop")
				draft.Name = fmt.Sprintf("%s%d", draft.Name, n)
				if _, err := c.Create(t.Context(), draft); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := underWay.Load(); n != maxCreating {
			t.Errorf("%d creations at once, want %d", n, maxCreating)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if _, err := c.Create(ended, testDraft("shop")); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that has ended while it waits: %v", err)
		}
		close(proceed)
		callers.Wait()
		if n := all.Load(); n != count {
			t.Errorf("%d were created, want %d", n, count)
		}
	})
}

// Promise: thousands of alerts that repeat, each with an object of its own to be counted on,
// leave the API server room for others. All of them are counted, and none waits for longer than
// it has time.
func TestUpdatesAtOnceAreBounded(t *testing.T) {
	const count = 3 * maxUpdating
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t)
		var underWay, all atomic.Int32
		proceed := make(chan struct{})
		a.onUpdate = func() error {
			underWay.Add(1)
			<-proceed
			underWay.Add(-1)
			all.Add(1)
			return nil
		}
		s := NewStore(a, placement)
		var callers sync.WaitGroup
		for n := range count {
			callers.Go(func() {
				if err := s.Update(t.Context(), existing(testDraft("shop"), "shop", "", int64(n))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := underWay.Load(); n != maxUpdating {
			t.Errorf("%d updates at once, want %d", n, maxUpdating)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := s.Update(ended, existing(testDraft("shop"), "shop", "", count)); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that has ended while it waits: %v", err)
		}
		close(proceed)
		callers.Wait()
		if n := all.Load(); n != count {
			t.Errorf("%d were updated, want %d", n, count)
		}
	})
}
