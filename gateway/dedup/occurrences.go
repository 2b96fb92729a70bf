package dedup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

const (
	maxUpdateTries    = 12
	firstConflictWait = 5 * time.Millisecond
	maxConflictWait   = 500 * time.Millisecond
	updateTimeout     = 20 * time.Second
)

// occurrences counts signals on objects. Signals that arrive while an update of
// their object is under way are counted together by the next one, so a hot
// incident costs no more updates than the API server can take, and this process
// never conflicts with itself. Each add returns only after its own signal is
// stored.
type occurrences struct {
	objects Objects

	mu sync.Mutex
	// waiting holds, for each object with an update under way or about to begin,
	// the batch that comes next, or nil.
	waiting map[types.NamespacedName]*batch
	running sync.WaitGroup
}

// batch is a number of signals that are counted by one update.
type batch struct {
	ctx    context.Context
	cancel context.CancelFunc
	// fingerprint is what the object must have.
	fingerprint string
	// Guarded by occurrences.mu until done is closed:
	members  int // signals to count
	present  int // callers of add still waiting
	lastSeen time.Time

	done   chan struct{}
	object *v1alpha1.RemediationRequest
	before int // count before the batch
	err    error
	// answered numbers the members' answers; guarded by occurrences.mu.
	answered int
}

func newOccurrences(objects Objects) *occurrences {
	return &occurrences{objects: objects, waiting: make(map[types.NamespacedName]*batch)}
}

// add counts a signal and returns the object as stored and the number of this
// occurrence. The error is errNotInProgress if the object is finished, gone or
// another incident's; otherwise it is the context's, or one of Objects.
func (o *occurrences) add(ctx context.Context, ref types.NamespacedName, sig *signal.Signal) (*v1alpha1.RemediationRequest, int, error) {
	b := o.enter(ref, sig)
	select {
	case <-b.done:
	case <-ctx.Done():
		o.leave(b)
		return nil, 0, context.Cause(ctx)
	}
	if b.err != nil {
		return nil, 0, b.err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	b.answered++
	return b.object, b.before + b.answered, nil
}

func (o *occurrences) enter(ref types.NamespacedName, sig *signal.Signal) *batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, active := o.waiting[ref]
	if b == nil || b.fingerprint != sig.Fingerprint {
		// Two incidents claim one object only if a record in Redis is wrong. The
		// latter gets a batch that fails; it is not worth a queue.
		previous := b
		b = &batch{fingerprint: sig.Fingerprint, done: make(chan struct{})}
		if previous != nil {
			b.err = errNotInProgress
			close(b.done)
			return b
		}
		b.ctx, b.cancel = context.WithTimeout(context.Background(), updateTimeout)
		o.waiting[ref] = b
	}
	b.members++
	b.present++
	if sig.ReceivedTime.After(b.lastSeen) {
		b.lastSeen = sig.ReceivedTime
	}
	if !active {
		o.running.Add(1)
		go o.run(ref)
	}
	return b
}

// leave takes a caller out: uncounted if the update has not begun, and ending it
// if nobody else waits.
func (o *occurrences) leave(b *batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b.members--
	b.present--
	if b.present == 0 && b.cancel != nil {
		b.cancel()
	}
}

// run updates an object batch by batch until there is none.
func (o *occurrences) run(ref types.NamespacedName) {
	defer o.running.Done()
	for {
		o.mu.Lock()
		b := o.waiting[ref]
		if b == nil {
			delete(o.waiting, ref)
			o.mu.Unlock()
			return
		}
		o.waiting[ref] = nil
		members, lastSeen := b.members, b.lastSeen
		o.mu.Unlock()
		if members > 0 {
			b.object, b.before, b.err = o.update(b.ctx, ref, b.fingerprint, members, lastSeen)
		}
		b.cancel()
		close(b.done)
	}
}

func (o *occurrences) update(ctx context.Context, ref types.NamespacedName, fingerprint string, members int, lastSeen time.Time) (*v1alpha1.RemediationRequest, int, error) {
	for try := 1; ; try++ {
		object, err := o.objects.Get(ctx, ref)
		if err != nil {
			if notInProgress(err) {
				err = errNotInProgress
			}
			return nil, 0, err
		}
		if !object.InProgress() || object.Spec.SignalFingerprint != fingerprint {
			return nil, 0, errNotInProgress
		}
		d := &object.Spec.Deduplication
		before := d.OccurrenceCount
		d.OccurrenceCount += members
		if lastSeen.After(d.LastSeen.Time) {
			d.LastSeen = metav1.NewTime(lastSeen).Rfc3339Copy()
		}
		err = o.objects.Update(ctx, object)
		switch {
		case err == nil:
			return object, before, nil
		case notInProgress(err):
			return nil, 0, errNotInProgress
		case !apierrors.IsConflict(err):
			return nil, 0, err
		case try == maxUpdateTries:
			return nil, 0, fmt.Errorf("gave up after %d conflicts: %w", try, err)
		}
		if err := pause(ctx, conflictWait(try)); err != nil {
			return nil, 0, err
		}
	}
}

// conflictWait returns a random wait after conflict number n, counted from 1.
func conflictWait(n int) time.Duration {
	return rand.N(min(firstConflictWait<<min(n, 20), maxConflictWait))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), context.Cause(ctx))
	}
}

// wait returns when no update is under way.
func (o *occurrences) wait() { o.running.Wait() }
