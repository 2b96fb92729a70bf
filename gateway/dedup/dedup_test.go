package dedup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a cluster's objects, with the API server's conflicts.
type store struct {
	mu      sync.Mutex
	objects map[types.NamespacedName]*v1alpha1.RemediationRequest
	version int
	updates int
	finds   int
	// before, if set, is called before each request, outside of the lock.
	before func(verb string) error
}

func newStore() *store {
	return &store{objects: make(map[types.NamespacedName]*v1alpha1.RemediationRequest)}
}

var resource = schema.GroupResource{Resource: "remediationrequests"}

func (s *store) enter(verb string) (unlock func(), err error) {
	if s.before != nil {
		if err := s.before(verb); err != nil {
			return func() {}, err
		}
	}
	s.mu.Lock()
	return s.mu.Unlock, nil
}

func (s *store) Get(_ context.Context, name types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	unlock, err := s.enter("get")
	defer unlock()
	if err != nil {
		return nil, err
	}
	if object := s.objects[name]; object != nil {
		return object.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(resource, name.Name)
}

func (s *store) Find(_ context.Context, sig *signal.Signal) ([]v1alpha1.RemediationRequest, error) {
	unlock, err := s.enter("find")
	defer unlock()
	if err != nil {
		return nil, err
	}
	s.finds++
	var inProgress, over []v1alpha1.RemediationRequest
	for _, object := range s.objects {
		switch {
		case object.Spec.SignalFingerprint != sig.Fingerprint:
		case object.InProgress():
			inProgress = append(inProgress, *object.DeepCopy())
		default:
			over = append(over, *object.DeepCopy())
		}
	}
	return append(inProgress, over...), nil
}

func (s *store) Update(_ context.Context, object *v1alpha1.RemediationRequest) error {
	unlock, err := s.enter("update")
	defer unlock()
	if err != nil {
		return err
	}
	name := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	current := s.objects[name]
	if current == nil {
		return apierrors.NewNotFound(resource, name.Name)
	}
	if current.ResourceVersion != object.ResourceVersion {
		return apierrors.NewConflict(resource, name.Name, errors.New("changed"))
	}
	s.updates++
	s.put(object)
	return nil
}

// put stores an object; the caller holds the lock or is alone.
func (s *store) put(object *v1alpha1.RemediationRequest) {
	s.version++
	object.ResourceVersion = fmt.Sprint(s.version)
	s.objects[types.NamespacedName{Namespace: object.Namespace, Name: object.Name}] = object.DeepCopy()
}

func (s *store) setPhase(phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, object := range s.objects {
		object = object.DeepCopy()
		object.Status.OverallPhase = phase
		s.put(object)
	}
}

func (s *store) create(sig *signal.Signal, name string) *v1alpha1.RemediationRequest {
	at := metav1.NewTime(sig.ReceivedTime)
	object := &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: sig.Namespace, Name: name},
		Spec: v1alpha1.RemediationRequestSpec{SignalFingerprint: sig.Fingerprint, Environment: "staging",
			Deduplication: v1alpha1.DeduplicationInfo{FirstSeen: at, LastSeen: at, OccurrenceCount: 1}},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(object)
	return object
}

func testSignal(name string) *signal.Signal {
	return &signal.Signal{Name: name, Namespace: "shop", Resource: signal.Resource{Kind: "Pod", Name: "web"},
		Fingerprint: signal.Fingerprint(name, "shop", "Pod", "web"), ReceivedTime: time.Now()}
}

type once struct{}

func (once) Do(ctx context.Context, attempt func(context.Context) error) error { return attempt(ctx) }

type unobserved struct{}

func (unobserved) RedisOperation(string, time.Duration) {}
func (unobserved) RedisOperationFailed(string)          {}

func newDeduplicator(t *testing.T, objects Objects, client *redis.Client) *Deduplicator {
	t.Helper()
	var serial atomic.Int64
	d := New(Options{
		Redis: client, Objects: objects, Retry: once{}, Observer: unobserved{}, Logger: slog.New(slog.DiscardHandler), TTL: time.Minute,
		Name: func(fingerprint string, _ time.Time) string {
			return fmt.Sprintf("%.12s-%d", fingerprint, serial.Add(1))
		},
	})
	t.Cleanup(d.Close)
	return d
}

func connect(t *testing.T, server *redistest.Server) *redis.Client {
	t.Helper()
	client := server.Client()
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func mustClaim(t *testing.T, d *Deduplicator, sig *signal.Signal) *Claim {
	t.Helper()
	verdict, err := d.Check(t.Context(), sig)
	if err != nil || verdict.Claim == nil {
		t.Fatalf("want a claim, got %+v, %v", verdict, err)
	}
	return verdict.Claim
}

func mustRepeat(t *testing.T, d *Deduplicator, sig *signal.Signal, count int) *Occurrence {
	t.Helper()
	verdict, err := d.Check(t.Context(), sig)
	if err != nil || verdict.Duplicate == nil || verdict.Duplicate.Count != count {
		t.Fatalf("want occurrence %d, got %+v, %v", count, verdict.Duplicate, err)
	}
	return verdict.Duplicate
}

func TestClaimThenRepeat(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	sig := testSignal("A")
	claim := mustClaim(t, d, sig)
	object := s.create(sig, claim.Name)
	claim.Created(t.Context(), object)
	finds := s.finds
	occurrence := mustRepeat(t, d, sig, 2)
	if occurrence.Object.Name != claim.Name || occurrence.Environment != "staging" {
		t.Errorf("occurrence %+v", occurrence)
	}
	// What a repeat costs must not depend on how many objects there are.
	if s.finds != finds {
		t.Error("a repeat listed objects")
	}
	s.setPhase(v1alpha1.PhaseCompleted)
	next := mustClaim(t, d, sig)
	if next.Name == claim.Name {
		t.Error("the name was not given up")
	}
	next.Release(t.Context())
}

// The reservation keeps everybody else waiting until the object is there.
func TestOthersWaitForTheHolder(t *testing.T) {
	for _, where := range []string{"same process", "another replica"} {
		t.Run(where, func(t *testing.T) {
			s := newStore()
			client := connect(t, redistest.Start(t))
			holder := newDeduplicator(t, s, client)
			other := holder
			if where == "another replica" {
				other = newDeduplicator(t, s, client)
			}
			sig := testSignal("A")
			claim := mustClaim(t, holder, sig)
			const waiting = 4
			counts := make(chan int, waiting)
			for range waiting {
				go func() {
					verdict, err := other.Check(t.Context(), sig)
					if err != nil || verdict.Duplicate == nil {
						t.Errorf("got %+v, %v", verdict, err)
						counts <- 0
						return
					}
					counts <- verdict.Duplicate.Count
				}()
			}
			claim.Created(t.Context(), s.create(sig, claim.Name))
			seen := map[int]bool{}
			for range waiting {
				seen[<-counts] = true
			}
			for n := 2; n <= waiting+1; n++ {
				if !seen[n] {
					t.Errorf("nobody was number %d: %v", n, seen)
				}
			}
		})
	}
}

func TestReleasedClaimPassesOnWithItsName(t *testing.T) {
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, newStore(), client)
	sig := testSignal("A")
	first := mustClaim(t, d, sig)
	next := make(chan *Claim)
	go func() {
		verdict, err := d.Check(t.Context(), sig)
		if err != nil {
			t.Error(err)
		}
		next <- verdict.Claim
	}()
	first.Release(t.Context())
	second := <-next
	if second == nil || second.Name != first.Name {
		t.Fatalf("second claim %+v, want the name %s: its object may yet appear", second, first.Name)
	}
	// The first holder's token is worth nothing any more.
	if err := d.records.release(t.Context(), sig, first.token); err != nil {
		t.Fatal(err)
	}
	if client.Exists(t.Context(), keys(sig)[1]).Val() != 1 {
		t.Error("a stale token released the claim of another")
	}
	second.Release(t.Context())
}

// A replica dies between reserving and creating.
func TestClaimOfADeadHolderExpires(t *testing.T) {
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, newStore(), client)
	sig := testSignal("A")
	start, err := d.records.begin(t.Context(), sig, "dead", "reserved-name")
	if err != nil || start.name != "reserved-name" {
		t.Fatalf("%+v, %v", start, err)
	}
	if ttl := client.PTTL(t.Context(), keys(sig)[1]).Val(); ttl <= 0 || ttl > lockLease {
		t.Errorf("lock lives for %s", ttl)
	}
	client.PExpire(t.Context(), keys(sig)[1], time.Millisecond)
	claim := mustClaim(t, d, sig)
	if claim.Name != "reserved-name" {
		t.Errorf("name %s, want the dead holder's, whose create may still happen", claim.Name)
	}
	claim.Release(t.Context())
}

func TestWaitingIsBounded(t *testing.T) {
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, newStore(), client)
	d.Wait = 20 * time.Millisecond
	sig := testSignal("A")
	if _, err := d.records.begin(t.Context(), sig, "another replica", "n"); err != nil {
		t.Fatal(err)
	}
	_, err := d.Check(t.Context(), sig)
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Check(ctx, sig); !errors.Is(err, context.Canceled) {
		t.Errorf("with a sender that has gone: %v", err)
	}
}

func TestRedisErrorsAreReported(t *testing.T) {
	server := redistest.Start(t)
	d := newDeduplicator(t, newStore(), connect(t, server))
	server.Stop()
	_, err := d.Check(t.Context(), testSignal("A"))
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) {
		t.Errorf("error %v", err)
	}
}

// The object exists, so that Redis is lost must not turn the answer into an error.
func TestRedisLostAfterTheObjectWasCreated(t *testing.T) {
	server := redistest.Start(t)
	s := newStore()
	d := newDeduplicator(t, s, connect(t, server))
	sig := testSignal("A")
	claim := mustClaim(t, d, sig)
	server.Stop()
	claim.Created(t.Context(), s.create(sig, claim.Name))
	server.Start()
	mustRepeat(t, d, sig, 2)
}

func TestFailedSearchReleasesTheClaim(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	sig := testSignal("A")
	down := errors.New("down")
	s.before = func(string) error { return down }
	if _, err := d.Check(t.Context(), sig); !errors.Is(err, down) {
		t.Fatalf("error %v", err)
	}
	if client.Exists(t.Context(), keys(sig)[1]).Val() != 0 {
		t.Error("the reservation is kept")
	}
	s.before = nil
	mustClaim(t, d, sig).Release(t.Context())
}

func TestRecordAnswersWhileTheAPIIsDown(t *testing.T) {
	for _, verb := range []string{"get", "update"} {
		t.Run(verb, func(t *testing.T) {
			s := newStore()
			d := newDeduplicator(t, s, connect(t, redistest.Start(t)))
			sig := testSignal("A")
			claim := mustClaim(t, d, sig)
			claim.Created(t.Context(), s.create(sig, claim.Name))
			s.before = func(v string) error {
				if v == verb {
					return apierrors.NewServiceUnavailable("down")
				}
				return nil
			}
			for count := 2; count < 4; count++ {
				if o := mustRepeat(t, d, sig, count); o.Object.Name != claim.Name || o.FirstSeen.IsZero() || o.LastSeen.IsZero() {
					t.Errorf("occurrence %+v", o)
				}
			}
		})
	}
}

// The record is only a hint: an object that was deleted, or whose name now stands
// for another incident, is not counted on.
func TestMisleadingRecords(t *testing.T) {
	for name, mislead := range map[string]func(*store, *v1alpha1.RemediationRequest){
		"deleted": func(s *store, o *v1alpha1.RemediationRequest) {
			delete(s.objects, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
		},
		"another incident": func(s *store, o *v1alpha1.RemediationRequest) {
			o.Spec.SignalFingerprint = signal.Fingerprint("B", "shop", "Pod", "web")
			s.put(o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			d := newDeduplicator(t, s, connect(t, redistest.Start(t)))
			sig := testSignal("A")
			claim := mustClaim(t, d, sig)
			object := s.create(sig, claim.Name)
			claim.Created(t.Context(), object)
			mislead(s, object)
			mustClaim(t, d, sig).Release(t.Context())
			if s.updates != 0 {
				t.Error("an object was updated")
			}
		})
	}
	t.Run("another namespace", func(t *testing.T) {
		// Fingerprints are not escaped, so two namespaces may share one.
		s := newStore()
		d := newDeduplicator(t, s, connect(t, redistest.Start(t)))
		sig := testSignal("A")
		claim := mustClaim(t, d, sig)
		claim.Created(t.Context(), &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: claim.Name}})
		twin := *sig
		twin.Namespace = "elsewhere"
		mustClaim(t, d, &twin).Release(t.Context())
	})
}

func TestCountOfARecordNeverFalls(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	sig := testSignal("A")
	object := s.create(sig, "name")
	for _, count := range []int{5, 3} {
		if err := d.records.store(t.Context(), sig, "", recordOf(sig, object, count)); err != nil {
			t.Fatal(err)
		}
	}
	if got := client.HGet(t.Context(), keys(sig)[0], "count").Val(); got != "5" {
		t.Errorf("count %s", got)
	}
	object.Name = "next"
	if err := d.records.store(t.Context(), sig, "", recordOf(sig, object, 1)); err != nil {
		t.Fatal(err)
	}
	if got := client.HGet(t.Context(), keys(sig)[0], "count").Val(); got != "1" {
		t.Errorf("count of the next object %s", got)
	}
}

// Keys must be distinct for distinct incidents, and printable and short for any.
func FuzzKeys(f *testing.F) {
	f.Add("shop", "~shop")
	f.Add("", ":")
	f.Add("a b", "a\x00b")
	f.Fuzz(func(t *testing.T, one, other string) {
		a, b := testSignal("A"), testSignal("A")
		a.Namespace, b.Namespace = one, other
		for i, key := range keys(a)[1:] {
			if (key == keys(b)[1:][i]) != (one == other) {
				t.Errorf("namespaces %q and %q: %s and %s", one, other, key, keys(b)[1:][i])
			}
			if len(key) > 160 {
				t.Errorf("key of %d characters", len(key))
			}
			for _, c := range key {
				if c <= ' ' || c > '~' {
					t.Errorf("key %q", key)
				}
			}
		}
	})
}
