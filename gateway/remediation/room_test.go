package remediation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/metrics"
)

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
