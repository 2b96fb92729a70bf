package shared

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Promise: however many ask, one call is under way for a key, and one more serves all who
// ask meanwhile. Who asks sees what was so when it asked.
func TestOneCallServesAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const askers = 500
		var calls, made, underWay atomic.Int32
		goOn := make(chan struct{})
		c := NewCalls(func(context.Context, string) (int32, error) {
			seen := made.Load()
			calls.Add(1)
			if underWay.Add(1) > 1 {
				t.Error("two calls of a key are under way")
			}
			defer underWay.Add(-1)
			<-goOn
			return seen, nil
		})
		var asking sync.WaitGroup
		ask := func(atLeast int32) {
			if seen, err := c.Do(t.Context(), "shop"); err != nil || seen < atLeast {
				t.Errorf("%d, %v; want %d", seen, err, atLeast)
			}
		}
		asking.Go(func() { ask(0) })
		synctest.Wait()
		made.Store(1) // the call under way has not seen it
		for range askers {
			asking.Go(func() { ask(1) })
		}
		synctest.Wait()
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls have begun", n)
		}
		close(goOn)
		asking.Wait()
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls, want one more for all %d", n, askers)
		}
		synctest.Wait()
		if len(c.queues) != 0 {
			t.Errorf("%d keys are kept though nobody asks", len(c.queues))
		}
	})
}

// One who goes does not wait, and takes nothing from those who stay, even if it was the
// first to ask.
func TestOneWhoGoesTakesNothingFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		goOn := make(chan struct{})
		c := NewCalls(func(ctx context.Context, _ string) (any, error) {
			<-goOn
			return ctx.Value(key{}), ctx.Err()
		})
		gone, goAway := context.WithCancelCause(context.WithValue(t.Context(), key{}, "first"))
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := c.Do(gone, "shop"); !errors.Is(err, errGone) {
				t.Errorf("error %v, want %v", err, errGone)
			}
		})
		synctest.Wait()
		goAway(errGone)
		synctest.Wait()
		for range 3 {
			asking.Go(func() {
				if answer, err := c.Do(t.Context(), "shop"); answer != nil || err != nil {
					t.Errorf("%v, %v", answer, err)
				}
			})
		}
		synctest.Wait()
		close(goOn)
		asking.Wait()
	})
}

var errGone = errors.New("gone")

// Keys do not wait for each other, and an error is for those who shared its call alone.
func TestKeysAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent, failing := make(chan struct{}), true
		failure := errors.New("no")
		c := NewCalls(func(_ context.Context, key string) (string, error) {
			switch {
			case key == "silent":
				<-silent
			case failing:
				return "", failure
			}
			return key, nil
		})
		var asking sync.WaitGroup
		asking.Go(func() {
			if answer, err := c.Do(t.Context(), "silent"); answer != "silent" || err != nil {
				t.Errorf("%s, %v", answer, err)
			}
		})
		synctest.Wait()
		if _, err := c.Do(t.Context(), "shop"); !errors.Is(err, failure) {
			t.Errorf("error %v", err)
		}
		failing = false
		if answer, err := c.Do(t.Context(), "shop"); answer != "shop" || err != nil {
			t.Errorf("%s, %v", answer, err)
		}
		close(silent)
		asking.Wait()
	})
}
