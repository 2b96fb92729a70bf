// Package amend changes existing objects. All changes of a process go through one
// Amender. While an object is being updated, further changes of it wait, and the next
// update stores them together. So a hot object costs no more updates than the API
// server can take, and the process never conflicts with itself.
package amend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
)

const (
	// maxTries is how many conflicts with others are too many. Each is somebody else's success,
	// and on a large object of a storm that several replicas count on there are many.
	// storeTimeout may come first.
	maxTries          = 60
	firstConflictWait = 5 * time.Millisecond
	maxConflictWait   = 500 * time.Millisecond
	// storeTimeout bounds the storing of one batch, all tries included.
	storeTimeout = 20 * time.Second
	// maxGather bounds how long an update waits for more changes.
	maxGather = 10 * time.Millisecond
)

// Objects is what an Amender needs of the cluster. It is an interface, since tests
// need a cluster in which somebody else changes an object at a given moment.
// remediation.Store implements it.
type Objects interface {
	// Get returns an object, or an error that satisfies apierrors.IsNotFound.
	Get(ctx context.Context, name types.NamespacedName) (*v1alpha1.RemediationRequest, error)
	// Update replaces an object and sets it to what was stored. The error satisfies
	// apierrors.IsConflict if the object has changed since it was read.
	Update(ctx context.Context, object *v1alpha1.RemediationRequest) error
}

// Change alters an object, or returns why it does not apply. It should be quick. It
// runs in another goroutine than its caller's, and may run more than once, each time
// on a version of the object that has none of its effects.
type Change func(object *v1alpha1.RemediationRequest) error

// Amender changes objects. Close it at the end.
type Amender struct {
	objects Objects

	mu sync.Mutex
	// waiting holds, for each object with an update under way or about to begin,
	// the batch that comes next, or nil.
	waiting map[types.NamespacedName]*batch
	running sync.WaitGroup

	recent recent
}

// batch is what one update stores.
type batch struct {
	// Guarded by Amender.mu; amendments stay as they are once the batch has begun.
	amendments []*amendment
	present    int                // callers of Amend still waiting
	cancel     context.CancelFunc // nil before it has begun
	wanted     int                // full is closed with so many amendments
	full       chan struct{}      // nil if nobody waits for that

	done   chan struct{} // closed when what follows, and each amendment's err, is set
	object *v1alpha1.RemediationRequest
}

// amendment is one caller's change.
type amendment struct {
	change Change
	batch  *batch
	err    error
}

// New returns an amender.
func New(objects Objects) *Amender {
	return &Amender{objects: objects, waiting: make(map[types.NamespacedName]*batch)}
}

// Close waits for updates whose callers have gone.
func (a *Amender) Close() { a.running.Wait() }

// Amend makes the change on the object and returns once that is stored. The object
// returned is as stored, with the changes of others, and is shared: it must not be
// modified.
//
// The error may be the change's own, which then has no effect. It may be one of
// Objects; the change may then be stored all the same. Or it is the context's. A
// change that had not begun by then never will. One that had may still be running,
// and may be stored.
func (a *Amender) Amend(ctx context.Context, ref types.NamespacedName, change Change) (*v1alpha1.RemediationRequest, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	m := a.enter(ref, change)
	select {
	case <-m.batch.done:
	case <-ctx.Done():
		a.leave(m)
		return nil, context.Cause(ctx)
	}
	if m.err != nil {
		return nil, m.err
	}
	return m.batch.object, nil
}

func (a *Amender) enter(ref types.NamespacedName, change Change) *amendment {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, active := a.waiting[ref]
	if b == nil {
		b = &batch{done: make(chan struct{})}
		a.waiting[ref] = b
	}
	m := &amendment{change: change, batch: b}
	b.amendments = append(b.amendments, m)
	b.present++
	if b.full != nil && len(b.amendments) == b.wanted {
		close(b.full)
		b.full = nil
	}
	if !active {
		a.running.Go(func() { a.run(ref) })
	}
	return m
}

// leave takes a caller out: with its change if the batch has not begun; otherwise
// the update goes on for the others, and ends if there are none.
func (a *Amender) leave(gone *amendment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := gone.batch
	b.present--
	switch {
	case b.cancel == nil:
		b.amendments = slices.DeleteFunc(b.amendments, func(m *amendment) bool { return m == gone })
	case b.present == 0:
		b.cancel()
	}
}

// run stores the batches of an object one after the other until there is none.
func (a *Amender) run(ref types.NamespacedName) {
	known := a.recent.take(ref)
	remembered := known != nil
	for {
		b, ctx := a.begin(ref, known)
		if b == nil {
			return
		}
		start := time.Now()
		known = a.store(ctx, ref, b, known)
		if remembered && known == nil {
			a.recent.outdated(ref)
		}
		remembered = false
		took := time.Since(start)
		b.cancel()
		close(b.done)
		if n := len(b.amendments); n > 1 {
			a.gather(ref, n, min(took/2, maxGather))
		}
	}
}

// gather waits, up to the limit, until as many more changes have come as the last
// update held. Its callers have just been answered, and while an object is hot
// they, or others in their place, are about to come again. If the first of them
// began the next update, the rest would have to wait for the one after that, and
// every other update would hold a single change.
func (a *Amender) gather(ref types.NamespacedName, more int, limit time.Duration) {
	a.mu.Lock()
	b := a.waiting[ref]
	if b == nil {
		b = &batch{done: make(chan struct{})}
		a.waiting[ref] = b
	}
	full := make(chan struct{})
	b.wanted, b.full = len(b.amendments)+more, full
	a.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-full:
	case <-timer.C:
	}
}

// begin takes the next batch. If there is none it returns nil, and the next change of
// the object starts anew, from the version known if that is not nil.
func (a *Amender) begin(ref types.NamespacedName, known *v1alpha1.RemediationRequest) (*batch, context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.waiting[ref]
	if b == nil || len(b.amendments) == 0 {
		delete(a.waiting, ref)
		if known != nil {
			a.recent.put(ref, known)
		}
		return nil, nil
	}
	a.waiting[ref] = nil
	var ctx context.Context
	ctx, b.cancel = context.WithTimeout(context.Background(), storeTimeout)
	return b, ctx
}

// store updates the object until the batch is in it or can't be. It begins with
// the version known, or reads one if that is nil, and returns the version that the
// next batch may begin with: none if others change the object, too.
func (a *Amender) store(ctx context.Context, ref types.NamespacedName, b *batch, known *v1alpha1.RemediationRequest) *v1alpha1.RemediationRequest {
	for try := 1; ; try++ {
		base := known
		if base == nil {
			var err error
			if base, err = a.objects.Get(ctx, ref); err != nil {
				b.fail(err)
				return nil
			}
		}
		object, refused := b.apply(base)
		if refused > 0 && known != nil {
			known = nil // The refusal may be due to what has changed since.
			continue
		}
		if refused == len(b.amendments) {
			return base
		}
		err := a.objects.Update(ctx, object)
		switch {
		case err == nil:
			b.object = object
			if try > 1 {
				return nil
			}
			return object
		case !apierrors.IsConflict(err):
			b.fail(err)
			return nil
		case try == maxTries:
			b.fail(fmt.Errorf("gave up after %d conflicts: %w", try, err))
			return nil
		}
		if known != nil {
			known = nil // Nobody need be in the way: that version was just old.
			continue
		}
		select {
		case <-time.After(conflictWait(try)):
		case <-ctx.Done():
			b.fail(errors.Join(ctx.Err(), context.Cause(ctx)))
			return nil
		}
	}
}

// apply makes the changes on a copy of the object, and reports how many refused. A
// change that refuses may have been half made, so the others then start over.
func (b *batch) apply(base *v1alpha1.RemediationRequest) (object *v1alpha1.RemediationRequest, refused int) {
	for _, m := range b.amendments {
		m.err = nil
	}
	for {
		object = base.DeepCopy()
		before := refused
		for _, m := range b.amendments {
			if m.err != nil {
				continue
			}
			if m.err = m.change(object); m.err != nil {
				refused++
				break
			}
		}
		if refused == before {
			return object, refused
		}
	}
}

// fail gives the error to all whose change did not refuse by itself.
func (b *batch) fail(err error) {
	for _, m := range b.amendments {
		if m.err == nil {
			m.err = err
		}
	}
}

// conflictWait returns a random wait after conflict number n, counted from 1.
func conflictWait(n int) time.Duration {
	return rand.N(min(firstConflictWait<<min(n, 20), maxConflictWait))
}
