package amend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/objectstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var hot = types.NamespacedName{Namespace: "shop", Name: "hot"}

// cluster holds objects, with the API server's conflicts.
type cluster struct {
	mu            sync.Mutex
	objects       objectstest.Objects
	gets, updates int // that succeeded
	// before, if set, is called before each request, outside of the lock.
	before func(ctx context.Context, verb string) error
}

func newCluster(refs ...types.NamespacedName) *cluster {
	c := &cluster{objects: make(objectstest.Objects)}
	for _, ref := range refs {
		c.objects.Put(&v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name}})
	}
	return c
}

// edit is what somebody else does to an object.
func (c *cluster) edit(ref types.NamespacedName, change func(*v1alpha1.RemediationRequest)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	object := c.objects[ref].DeepCopy()
	change(object)
	c.objects.Put(object)
}

func (c *cluster) Get(ctx context.Context, name types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	if c.before != nil {
		if err := c.before(ctx, "get"); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	object, err := c.objects.Get(name)
	if err == nil {
		c.gets++
	}
	return object, err
}

func (c *cluster) Update(ctx context.Context, object *v1alpha1.RemediationRequest) error {
	if c.before != nil {
		if err := c.before(ctx, "update"); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.objects.Update(object)
	if err == nil {
		c.updates++
	}
	return err
}

func (c *cluster) count(ref types.NamespacedName) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects[ref].Spec.Deduplication.OccurrenceCount
}

func increment(object *v1alpha1.RemediationRequest) error {
	object.Spec.Deduplication.OccurrenceCount++
	return nil
}

var errRefused = errors.New("refused")

// refuse leaves a half-made change behind.
func refuse(object *v1alpha1.RemediationRequest) error {
	object.Spec.Deduplication.OccurrenceCount += 1000
	return errRefused
}

// holdUpdate makes the first update wait: entered is closed when it arrives, and
// it goes on when proceed is closed or its context ends.
func (c *cluster) holdUpdate() (entered <-chan struct{}, proceed chan<- struct{}) {
	arrived, goOn := make(chan struct{}), make(chan struct{})
	var first sync.Once
	c.before = func(ctx context.Context, verb string) (err error) {
		if verb == "update" {
			first.Do(func() {
				close(arrived)
				select {
				case <-goOn:
				case <-ctx.Done():
					err = ctx.Err()
				}
			})
		}
		return err
	}
	return arrived, goOn
}

// awaitQueue returns when n changes of the object wait for the next batch.
func awaitQueue(a *Amender, ref types.NamespacedName, n int) {
	for queued := -1; queued != n; runtime.Gosched() {
		a.mu.Lock()
		queued = 0
		if b := a.waiting[ref]; b != nil {
			queued = len(b.amendments)
		}
		a.mu.Unlock()
	}
}

func TestOneChange(t *testing.T) {
	c := newCluster(hot)
	a := New(c)
	defer a.Close()
	object, err := a.Amend(t.Context(), hot, increment)
	if err != nil || object.Spec.Deduplication.OccurrenceCount != 1 || object.ResourceVersion != "2" || c.count(hot) != 1 {
		t.Errorf("%+v, %v", object, err)
	}
}

// While one update is under way, all changes that come share the next, which
// starts from what the first one stored.
func TestConcurrentChangesShareAnUpdate(t *testing.T) {
	c := newCluster(hot)
	entered, proceed := c.holdUpdate()
	a := New(c)
	const callers = 50
	counts := make(chan int, callers)
	amend := func() {
		count := 0
		object, err := a.Amend(t.Context(), hot, func(o *v1alpha1.RemediationRequest) error {
			o.Spec.Deduplication.OccurrenceCount++
			count = o.Spec.Deduplication.OccurrenceCount
			return nil
		})
		if err != nil || object.Spec.Deduplication.OccurrenceCount < count {
			t.Errorf("count %d, %v", count, err)
		}
		counts <- count
	}
	go amend()
	<-entered
	for range callers - 1 {
		go amend()
	}
	awaitQueue(a, hot, callers-1)
	close(proceed)
	seen := map[int]bool{}
	for range callers {
		seen[<-counts] = true
	}
	a.Close()
	if len(seen) != callers {
		t.Errorf("%d different counts for %d callers", len(seen), callers)
	}
	if got := c.count(hot); got != callers || c.updates != 2 || c.gets != 1 {
		t.Errorf("the object counts %d after %d gets and %d updates", got, c.gets, c.updates)
	}
	if len(a.waiting) != 0 {
		t.Errorf("left behind: %v", a.waiting)
	}
}

// Callers that come again as soon as they are answered, as senders do that are
// many, all have their next change in the next update. Otherwise the first of them
// would have an update to itself, every other time.
func TestCallersOfSharedUpdatesShareTheNext(t *testing.T) {
	const callers, rounds, update, pause = 8, 20, 10 * time.Millisecond, time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(hot)
		c.before = func(context.Context, string) error { time.Sleep(update); return nil }
		a := New(c)
		defer a.Close()
		var running sync.WaitGroup
		for i := range callers {
			running.Go(func() {
				for range rounds {
					time.Sleep(pause * time.Duration(i) / callers) // not all at the same instant
					if _, err := a.Amend(t.Context(), hot, increment); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		if got := c.count(hot); got != callers*rounds {
			t.Errorf("%d changes are stored, want %d", got, callers*rounds)
		}
		// The first caller of all can't know that there will be others.
		if c.updates != rounds+1 {
			t.Errorf("%d updates, want %d", c.updates, rounds+1)
		}
	})
}

// Who is alone, or comes after others that don't come again, hardly waits.
func TestUpdatesWaitOnlyForCallersThatShare(t *testing.T) {
	const update = 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(hot)
		a := New(c)
		defer a.Close()
		c.before = func(_ context.Context, verb string) error {
			if verb == "update" {
				time.Sleep(update)
			}
			return nil
		}
		amend := func() {
			if _, err := a.Amend(t.Context(), hot, increment); err != nil {
				t.Error(err)
			}
		}
		start := time.Now()
		for range 5 {
			amend()
		}
		if took := time.Since(start); took != 5*update {
			t.Errorf("5 changes, one after the other, took %s, want %s", took, 5*update)
		}
		var running sync.WaitGroup
		running.Go(amend)
		synctest.Wait()
		running.Go(amend)
		running.Go(amend)
		running.Wait() // two updates, the second of them shared
		start = time.Now()
		amend()
		if took, want := time.Since(start), update/2+update; took != want {
			t.Errorf("a change after those who shared took %s, want %s", took, want)
		}
		a.Close()
		if len(a.waiting) != 0 {
			t.Error("an object that nobody changes is kept")
		}
	})
}

func TestConflictsAreRetried(t *testing.T) {
	c := newCluster(hot)
	conflicts := 0
	c.before = func(_ context.Context, verb string) error {
		if verb == "update" && conflicts < 3 {
			conflicts++
			c.edit(hot, func(o *v1alpha1.RemediationRequest) { o.Status.OverallPhase = "Processing" })
		}
		return nil
	}
	a := New(c)
	defer a.Close()
	object, err := a.Amend(t.Context(), hot, increment)
	if err != nil || object.Status.OverallPhase != "Processing" || c.count(hot) != 1 || c.updates != 1 {
		t.Errorf("%+v, %v after %d updates", object, err, c.updates)
	}
}

func TestConflictRetryIsBounded(t *testing.T) {
	for n := 1; n < 100; n++ {
		if wait := conflictWait(n); wait < 0 || wait >= maxConflictWait {
			t.Errorf("wait %d is %s", n, wait)
		}
	}
	c := newCluster(hot)
	tries := 0
	c.before = func(_ context.Context, verb string) error {
		if verb == "update" {
			tries++
			return apierrors.NewConflict(objectstest.Resource, hot.Name, errors.New("always"))
		}
		return nil
	}
	a := New(c)
	defer a.Close()
	if _, err := a.Amend(t.Context(), hot, increment); !apierrors.IsConflict(err) || tries != maxTries {
		t.Errorf("%v after %d tries", err, tries)
	}
}

// A batch that starts from the version which this process stored last must not
// take it for the present one.
func TestVersionKnownFromBeforeMayBeOld(t *testing.T) {
	errOver := errors.New("over")
	unlessOver := func(o *v1alpha1.RemediationRequest) error {
		if !o.InProgress() {
			return errOver
		}
		return increment(o)
	}
	onlyOnceOver := func(o *v1alpha1.RemediationRequest) error {
		if o.InProgress() {
			return errors.New("not yet over")
		}
		return increment(o)
	}
	for name, test := range map[string]struct {
		change Change
		want   error
		count  int
	}{
		"a change that should be refused by now": {unlessOver, errOver, 1},
		"a change that applies by now":           {onlyOnceOver, nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(hot)
			entered, proceed := c.holdUpdate()
			a := New(c)
			first, second := make(chan error, 1), make(chan error, 1)
			go func() { _, err := a.Amend(t.Context(), hot, increment); first <- err }()
			<-entered
			var once sync.Once
			go func() {
				_, err := a.Amend(t.Context(), hot, func(o *v1alpha1.RemediationRequest) error {
					once.Do(func() { // after the first update, before the second
						c.edit(hot, func(o *v1alpha1.RemediationRequest) { o.Status.OverallPhase = v1alpha1.PhaseCompleted })
					})
					return test.change(o)
				})
				second <- err
			}()
			awaitQueue(a, hot, 1)
			close(proceed)
			if err := <-first; err != nil {
				t.Error(err)
			}
			if err := <-second; !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			a.Close()
			if got := c.count(hot); got != test.count {
				t.Errorf("object counts %d", got)
			}
		})
	}
}

// What refuses is left out, with whatever it did before it refused.
func TestRefusedChangesAreLeftOut(t *testing.T) {
	c := newCluster(hot)
	entered, proceed := c.holdUpdate()
	a := New(c)
	const pairs = 5
	var applied, refused atomic.Int32
	var callers sync.WaitGroup
	amend := func(change Change) {
		callers.Go(func() {
			switch _, err := a.Amend(t.Context(), hot, change); {
			case err == nil:
				applied.Add(1)
			case errors.Is(err, errRefused):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	amend(increment)
	<-entered
	for range pairs {
		amend(increment)
		amend(refuse)
	}
	awaitQueue(a, hot, 2*pairs)
	close(proceed)
	callers.Wait()
	a.Close()
	if applied.Load() != pairs+1 || refused.Load() != pairs || c.count(hot) != pairs+1 || c.updates != 2 {
		t.Errorf("%d applied, %d refused, object counts %d after %d updates", applied.Load(), refused.Load(), c.count(hot), c.updates)
	}
}

func TestNothingIsStoredIfAllRefuse(t *testing.T) {
	c := newCluster(hot)
	a := New(c)
	defer a.Close()
	if object, err := a.Amend(t.Context(), hot, refuse); !errors.Is(err, errRefused) || object != nil || c.updates != 0 || c.count(hot) != 0 {
		t.Errorf("%+v, %v, %d updates", object, err, c.updates)
	}
}

func TestErrorsOfTheCluster(t *testing.T) {
	down := errors.New("down")
	for name, test := range map[string]struct {
		refs   []types.NamespacedName
		before func(c *cluster, verb string) error
		is     func(error) bool
	}{
		"no such object": {nil, nil, apierrors.IsNotFound},
		"can't be read": {[]types.NamespacedName{hot}, func(_ *cluster, verb string) error {
			if verb == "get" {
				return down
			}
			return nil
		}, func(err error) bool { return errors.Is(err, down) }},
		"can't be updated": {[]types.NamespacedName{hot}, func(_ *cluster, verb string) error {
			if verb == "update" {
				return down
			}
			return nil
		}, func(err error) bool { return errors.Is(err, down) }},
		"deleted meanwhile": {[]types.NamespacedName{hot}, func(c *cluster, verb string) error {
			if verb == "update" {
				c.mu.Lock()
				defer c.mu.Unlock()
				clear(c.objects)
			}
			return nil
		}, apierrors.IsNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(test.refs...)
			if test.before != nil {
				c.before = func(_ context.Context, verb string) error { return test.before(c, verb) }
			}
			a := New(c)
			defer a.Close()
			if object, err := a.Amend(t.Context(), hot, increment); !test.is(err) || object != nil || c.updates != 0 {
				t.Errorf("%+v, %v, %d updates", object, err, c.updates)
			}
		})
	}
}

func TestCallerThatGoesBeforeItsChangeBegan(t *testing.T) {
	c := newCluster(hot)
	entered, proceed := c.holdUpdate()
	a := New(c)
	stays := make(chan error, 1)
	go func() { _, err := a.Amend(t.Context(), hot, increment); stays <- err }()
	<-entered
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	goes := make(chan error, 1)
	go func() { _, err := a.Amend(ctx, hot, increment); goes <- err }()
	awaitQueue(a, hot, 1)
	cancel(why)
	if err := <-goes; !errors.Is(err, why) {
		t.Errorf("caller that went: %v", err)
	}
	if _, err := a.Amend(ctx, hot, increment); !errors.Is(err, why) {
		t.Errorf("caller that had gone before: %v", err)
	}
	close(proceed)
	if err := <-stays; err != nil {
		t.Errorf("caller that stayed: %v", err)
	}
	a.Close()
	if got := c.count(hot); got != 1 {
		t.Errorf("object counts %d", got)
	}
}

// An update goes on while anybody waits for it, and is given up when nobody does.
func TestCallersThatGoMeanwhile(t *testing.T) {
	for name, all := range map[string]bool{"one": false, "all": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(hot)
			a := New(c)
			// Two changes share a batch if they come while another is under way.
			entered, proceed := make(chan struct{}, 2), make(chan struct{})
			c.before = func(ctx context.Context, verb string) error {
				if verb != "update" {
					return nil
				}
				entered <- struct{}{}
				select {
				case <-proceed:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			go func() { _, _ = a.Amend(t.Context(), hot, increment) }()
			<-entered
			ctx, cancel := context.WithCancel(t.Context())
			errs := make(chan error, 2)
			go func() { _, err := a.Amend(ctx, hot, increment); errs <- err }()
			other := t.Context()
			if all {
				other = ctx
			}
			go func() { _, err := a.Amend(other, hot, increment); errs <- err }()
			awaitQueue(a, hot, 2)
			proceed <- struct{}{}
			<-entered
			cancel()
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Errorf("caller that went: %v", err)
			}
			want := 3
			if all {
				<-errs
				want = 1
			} else {
				proceed <- struct{}{}
				if err := <-errs; err != nil {
					t.Errorf("caller that stayed: %v", err)
				}
			}
			a.Close()
			if got := c.count(hot); got != want {
				t.Errorf("object counts %d, want %d", got, want)
			}
		})
	}
}

// With several processes, many objects and callers that give up, each change that
// was reported stored is stored exactly once, and each refused one never.
func TestManyObjectsManyProcesses(t *testing.T) {
	const objects, processes, callers, rounds = 20, 2, 10, 5
	var refs []types.NamespacedName
	for i := range objects {
		refs = append(refs, types.NamespacedName{Namespace: "shop", Name: fmt.Sprint("o", i)})
	}
	c := newCluster(refs...)
	var stored, unknown [objects]atomic.Int32
	var wait sync.WaitGroup
	for range processes {
		a := New(c)
		defer a.Close()
		for i, ref := range refs {
			for range callers {
				wait.Go(func() {
					for range rounds {
						change := Change(increment)
						ctx, cancel := context.WithCancel(t.Context())
						switch rand.N(10) {
						case 0:
							change = refuse
						case 1:
							go cancel()
						}
						switch _, err := a.Amend(ctx, ref, change); {
						case err == nil:
							stored[i].Add(1)
						case errors.Is(err, context.Canceled):
							unknown[i].Add(1)
						case !errors.Is(err, errRefused):
							t.Error(err)
						}
						cancel()
					}
				})
			}
		}
	}
	wait.Wait()
	for i, ref := range refs {
		if got, least, most := int32(c.count(ref)), stored[i].Load(), stored[i].Load()+unknown[i].Load(); got < least || got > most {
			t.Errorf("%s counts %d, want %d to %d", ref.Name, got, least, most)
		}
	}
}
