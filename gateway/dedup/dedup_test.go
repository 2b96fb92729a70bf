package dedup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/objectstest"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a cluster's objects, with the API server's conflicts.
type store struct {
	mu      sync.Mutex
	objects objectstest.Objects
	updates int
	finds   int
	pages   int
	// before, if set, is called before each request, outside of the lock.
	before func(verb string) error
	// found, if set, is called with what Find is about to return.
	found func()
}

func newStore() *store {
	return &store{objects: make(objectstest.Objects)}
}

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
	return s.objects.Get(name)
}

func (s *store) Find(ctx context.Context, sig *signal.Signal) ([]v1alpha1.RemediationRequest, error) {
	objects, err := s.find(ctx, sig)
	if s.found != nil {
		s.found()
	}
	return objects, err
}

func (s *store) find(_ context.Context, sig *signal.Signal) ([]v1alpha1.RemediationRequest, error) {
	unlock, err := s.enter("find")
	defer unlock()
	if err != nil {
		return nil, err
	}
	s.finds++
	var inProgress, over []v1alpha1.RemediationRequest
	for _, object := range s.objects {
		place, ok := s.PlaceOf(object)
		switch {
		case !object.StandsFor(sig.Fingerprint) || !ok || place != s.Place(sig.Namespace):
		case object.InProgress():
			inProgress = append(inProgress, *object.DeepCopy())
		default:
			over = append(over, *object.DeepCopy())
		}
	}
	return append(inProgress, over...), nil
}

// Page returns three objects at a time, in the order of their names.
func (s *store) Page(_ context.Context, token string) (page []v1alpha1.RemediationRequest, next string, err error) {
	unlock, err := s.enter("page")
	defer unlock()
	if err != nil {
		return nil, "", err
	}
	s.pages++
	byName := func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) }
	for _, name := range slices.SortedFunc(maps.Keys(s.objects), byName) {
		if len(page) == 3 {
			return page, next, nil
		}
		if name.String() > token {
			page = append(page, *s.objects[name].DeepCopy())
			next = name.String()
		}
	}
	return page, "", nil
}

func (s *store) Place(namespace string) string { return strings.ToLower(namespace) }

// PlaceOf knows objects of odd namespaces, which are in the fallback namespace.
func (s *store) PlaceOf(object *v1alpha1.RemediationRequest) (string, bool) {
	if object.Namespace == "elsewhere" {
		return "", false
	}
	if origin, ok := object.Labels["origin"]; ok {
		return origin, object.Namespace == "fallback"
	}
	return object.Namespace, true
}

func (s *store) Update(_ context.Context, object *v1alpha1.RemediationRequest) error {
	unlock, err := s.enter("update")
	defer unlock()
	if err != nil {
		return err
	}
	if err = s.objects.Update(object); err == nil {
		s.updates++
	}
	return err
}

// put stores an object; the caller holds the lock or is alone.
func (s *store) put(object *v1alpha1.RemediationRequest) {
	s.objects.Put(object)
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
	object := newObject(sig, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(object)
	return object
}

func newObject(sig *signal.Signal, name string) *v1alpha1.RemediationRequest {
	at := metav1.NewTime(sig.ReceivedTime)
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: sig.Namespace, Name: name},
		Spec: v1alpha1.RemediationRequestSpec{SignalFingerprint: sig.Fingerprint, Environment: "staging",
			Deduplication: v1alpha1.DeduplicationInfo{FirstSeen: at, LastSeen: at, OccurrenceCount: 1}},
	}
}

func testSignal(name string) *signal.Signal {
	return &signal.Signal{Name: name, Namespace: "shop", Resource: signal.Resource{Kind: "Pod", Name: "web"},
		Fingerprint: signal.Fingerprint(name, "shop", "Pod", "web"), ReceivedTime: time.Now()}
}

func newDeduplicator(t testing.TB, objects *store, client redis.UniversalClient) *Deduplicator {
	t.Helper()
	amender, m := amend.New(objects), metrics.New()
	d := New(Options{
		Redis: client, Objects: objects, Amender: amender, Retry: remediation.Retry{MaxAttempts: 1, Metrics: m}, Metrics: m,
		Logger: slog.New(slog.DiscardHandler), TTL: time.Minute,
		Name: func(fingerprint string, at time.Time) string {
			return fmt.Sprintf("rr-%.12s-%d", fingerprint, at.Unix())
		},
	})
	t.Cleanup(amender.Close)
	return d
}

// mustCare has the index completed and cleared.
func mustCare(t testing.TB, d *Deduplicator) {
	t.Helper()
	if found, err := d.care(t.Context()); err != nil || found != incomplete && found != due {
		t.Fatalf("index is %s, %v", found, err)
	}
}

// has returns what Redis holds for the signal's incident.
func has(t testing.TB, d *Deduplicator, sig *signal.Signal) string {
	t.Helper()
	value, err := d.index.client.Get(t.Context(), d.incidentOf(sig).key()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	return value
}

func connect(t testing.TB, server *redistest.Server) *redis.Client {
	t.Helper()
	client := server.Client()
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func mustClaim(t testing.TB, d *Deduplicator, sig *signal.Signal) *Claim {
	t.Helper()
	verdict, err := d.Check(t.Context(), sig)
	if err != nil || verdict.Claim == nil {
		t.Fatalf("want a claim, got %+v, %v", verdict, err)
	}
	return verdict.Claim
}

// mustCreate takes the signal of a new incident through deduplication and creation.
func mustCreate(t testing.TB, d *Deduplicator, s *store, sig *signal.Signal) *v1alpha1.RemediationRequest {
	t.Helper()
	claim := mustClaim(t, d, sig)
	object := s.create(sig, claim.Name)
	claim.Created(t.Context(), object)
	return object
}

func mustRepeat(t testing.TB, d *Deduplicator, sig *signal.Signal, count int) *Occurrence {
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
	object := mustCreate(t, d, s, sig)
	finds := s.finds
	occurrence := mustRepeat(t, d, sig, 2)
	if occurrence.Object.Name != object.Name || occurrence.Environment != "staging" {
		t.Errorf("occurrence %+v", occurrence)
	}
	// What a repeat costs must not depend on how many objects there are.
	if s.finds != finds {
		t.Error("a repeat listed objects")
	}
	s.setPhase(v1alpha1.PhaseCompleted)
	next := mustClaim(t, d, sig)
	if next.Name == object.Name {
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
	if err := d.index.release(t.Context(), first.incident, first.token, true); err != nil {
		t.Fatal(err)
	}
	if client.Exists(t.Context(), first.incident.lock()).Val() != 1 || has(t, d, sig) == "" {
		t.Error("a stale token released the claim of another")
	}
	second.Release(t.Context())
}

// A replica dies between reserving and creating.
func TestClaimOfADeadHolderExpires(t *testing.T) {
	client := connect(t, redistest.Start(t))
	s := newStore()
	d := newDeduplicator(t, s, client)
	mustCare(t, d)
	sig := testSignal("A")
	i := d.incidentOf(sig)
	start, err := d.index.begin(t.Context(), i, "dead", "reserved-100")
	if err != nil || start.name != "reserved-100" || start.standing != certain {
		t.Fatalf("%+v, %v", start, err)
	}
	if ttl := client.PTTL(t.Context(), i.lock()).Val(); ttl <= 0 || ttl > lockTime {
		t.Errorf("lock lives for %s", ttl)
	}
	if ttl := client.TTL(t.Context(), i.key()).Val(); ttl != -1 {
		t.Errorf("reservation lives for %s", ttl)
	}
	client.PExpire(t.Context(), i.lock(), time.Millisecond)
	claim := mustClaim(t, d, sig)
	if claim.Name != "reserved-100" {
		t.Errorf("name %s, want the dead holder's, whose create may still happen", claim.Name)
	}
	if s.finds != 1 {
		t.Errorf("the cluster was asked %d times for what the dead holder may have made", s.finds)
	}
	claim.Release(t.Context())
	// It did happen, and nobody told Redis.
	s.create(sig, "reserved-100")
	mustRepeat(t, d, sig, 2)
}

func TestWaitingIsBounded(t *testing.T) {
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, newStore(), client)
	d.wait = 20 * time.Millisecond
	sig := testSignal("A")
	if _, err := d.index.begin(t.Context(), d.incidentOf(sig), "another replica", "n"); err != nil {
		t.Fatal(err)
	}
	_, err := d.Check(t.Context(), sig)
	var busy *BusyError
	if !errors.As(err, &busy) {
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
	var unavailable *redisclient.UnavailableError
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
	if client.Exists(t.Context(), d.incidentOf(sig).lock()).Val() != 0 {
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
			object := mustCreate(t, d, s, sig)
			s.before = func(v string) error {
				if v == verb {
					return apierrors.NewServiceUnavailable("down")
				}
				return nil
			}
			for count := 2; count < 4; count++ {
				if o := mustRepeat(t, d, sig, count); o.Object.Name != object.Name || o.FirstSeen.IsZero() || o.LastSeen.IsZero() {
					t.Errorf("occurrence %+v", o)
				}
			}
		})
	}
}

// Without an object at hand, the record answers while the cluster can't be searched.
func TestRecordAnswersWhileTheSearchFails(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	sig := testSignal("A")
	object := mustCreate(t, d, s, sig)
	client.Del(t.Context(), d.incidentOf(sig).key())
	down := apierrors.NewServiceUnavailable("down")
	s.before = func(string) error { return down }
	if o := mustRepeat(t, d, sig, 2); o.Object.Name != object.Name {
		t.Errorf("occurrence %+v", o)
	}
	// The record is of another namespace's incident, which has the same fingerprint.
	twin := *sig
	twin.Namespace = "other"
	if _, err := d.Check(t.Context(), &twin); !errors.Is(err, down) {
		t.Errorf("twin: %v", err)
	}
	client.Del(t.Context(), d.incidentOf(sig).record())
	if _, err := d.Check(t.Context(), sig); !errors.Is(err, down) {
		t.Errorf("without a record: %v", err)
	}
}

// A pointer is only a hint: an object that was deleted, or that stands for another
// incident, is not counted on.
func TestMisleadingPointers(t *testing.T) {
	for name, mislead := range map[string]func(*store, *v1alpha1.RemediationRequest){
		"deleted": func(s *store, o *v1alpha1.RemediationRequest) { delete(s.objects, refOf(o)) },
		"another incident": func(s *store, o *v1alpha1.RemediationRequest) {
			o.Spec.SignalFingerprint = signal.Fingerprint("B", "shop", "Pod", "web")
			s.put(o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			d := newDeduplicator(t, s, connect(t, redistest.Start(t)))
			sig := testSignal("A")
			object := mustCreate(t, d, s, sig)
			mislead(s, object)
			next := mustClaim(t, d, sig)
			if next.Name == object.Name {
				t.Errorf("the name %s, which is known to be taken, was proposed again", next.Name)
			}
			next.Release(t.Context())
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
		mustCreate(t, d, s, sig)
		twin := *sig
		twin.Namespace = "other"
		mustClaim(t, d, &twin).Release(t.Context())
	})
}

func TestLastSeenNeverGoesBack(t *testing.T) {
	s := newStore()
	d := newDeduplicator(t, s, connect(t, redistest.Start(t)))
	sig := testSignal("A")
	mustCreate(t, d, s, sig)
	latest := sig.ReceivedTime.Add(time.Hour)
	for n, at := range []time.Time{latest, sig.ReceivedTime.Add(-time.Hour)} {
		repeat := *sig
		repeat.ReceivedTime = at
		o := mustRepeat(t, d, &repeat, n+2)
		if o.LastSeen.Unix() != latest.Unix() || o.FirstSeen.Unix() != sig.ReceivedTime.Unix() {
			t.Errorf("received %s: seen %s to %s", at, o.FirstSeen, o.LastSeen)
		}
	}
}

func TestRecord(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	sig := testSignal("A")
	object := mustCreate(t, d, s, sig)
	record := d.incidentOf(sig).record()
	want := map[string]string{
		"fingerprint": sig.Fingerprint, "alertName": "A", "namespace": "shop", "resource": "web", "count": "1",
		"firstSeen": sig.ReceivedTime.UTC().Format(time.RFC3339), "lastSeen": sig.ReceivedTime.UTC().Format(time.RFC3339),
		"remediationRequestRef": "shop/" + object.Name,
	}
	if diff := cmp.Diff(want, client.HGetAll(t.Context(), record).Val()); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	// It expires, and comes back in full with the next signal.
	if ttl := client.PTTL(t.Context(), record).Val(); ttl <= 0 || ttl > time.Minute {
		t.Errorf("record lives for %s", ttl)
	}
	client.Del(t.Context(), record)
	mustRepeat(t, d, sig, 2)
	want["count"] = "2"
	if diff := cmp.Diff(want, client.HGetAll(t.Context(), record).Val()); diff != "" {
		t.Errorf("record that had expired (-want +got):\n%s", diff)
	}
}

// Replicas may write out of order.
func TestCountOfARecordNeverFalls(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	sig := testSignal("A")
	i := d.incidentOf(sig)
	object := mustCreate(t, d, s, sig)
	for _, count := range []int{5, 3} {
		if err := d.index.count(t.Context(), i, recordOf(sig, object, count)); err != nil {
			t.Fatal(err)
		}
	}
	if got := client.HGet(t.Context(), i.record(), "count").Val(); got != "5" {
		t.Errorf("count %s", got)
	}
	s.setPhase(v1alpha1.PhaseFailed)
	next := mustClaim(t, d, sig)
	next.Created(t.Context(), s.create(sig, next.Name))
	// A straggler of the object before changes nothing.
	if err := d.index.count(t.Context(), i, recordOf(sig, object, 6)); err != nil {
		t.Fatal(err)
	}
	if got := client.HMGet(t.Context(), i.record(), "count", "remediationRequestRef").Val(); got[0] != "1" || got[1] != "shop/"+next.Name {
		t.Errorf("record of the next object %v", got)
	}
}

// Promise: a lock that expires while its holder goes on, as with a slow cluster, lets nobody
// else of the process handle the incident: it would not see what the holder is about to
// store. Who waits learns of the end.
func TestExpiredLockLetsNobodyIn(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	sig := testSignal("A")
	claim := mustClaim(t, d, sig)
	client.Del(t.Context(), claim.incident.lock())
	second := make(chan Verdict)
	go func() {
		verdict, err := d.Check(t.Context(), sig)
		if err != nil {
			t.Error(err)
		}
		second <- verdict
	}()
	// It has got the lock, and has handed it over: no other replica gets in, either.
	holder := func(c *Claim) string { return client.Get(t.Context(), c.incident.lock()).Val() }
	waitFor(t, func() bool { return holder(claim) == claim.token })
	select {
	case v := <-second:
		t.Fatalf("two hold the claim: %+v", v)
	case <-time.After(50 * time.Millisecond):
	}
	claim.Created(t.Context(), s.create(sig, claim.Name))
	if v := <-second; v.Duplicate == nil || v.Duplicate.Count != 2 {
		t.Errorf("verdict %+v", v)
	}
	// It gives up, which leaves the lock to the claim.
	claim = mustClaim(t, d, testSignal("B"))
	client.Del(t.Context(), claim.incident.lock())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.Check(ctx, testSignal("B")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if got := holder(claim); got != claim.token {
		t.Errorf("the lock is %q, not the claim's", got)
	}
	claim.Close(t.Context())
	if got := holder(claim); got != "" {
		t.Errorf("the lock is kept by %q", got)
	}
	again := mustClaim(t, d, testSignal("B"))
	again.Discard(t.Context())
	again.Close(t.Context()) // it has ended already
}

// Promise: a search whose lock went to another replica is no answer, nor is one during
// which an object was registered: it may have missed what was stored meanwhile.
func TestSearchThatTookTooLongIsNoAnswer(t *testing.T) {
	for _, how := range []string{"the lock is another replica's", "an object is registered", "another replica died with the lock", "nobody knows how long it was silent"} {
		t.Run(how, func(t *testing.T) {
			s := newStore()
			client := connect(t, redistest.Start(t))
			d, other := newDeduplicator(t, s, client), newDeduplicator(t, s, client)
			sig := testSignal("A")
			s.found = func() {
				s.found = nil
				switch how {
				case "an object is registered":
					if err := other.Register(t.Context(), s.create(sig, "theirs")); err != nil {
						t.Error(err)
					}
				case "the lock is another replica's":
					client.Del(t.Context(), d.incidentOf(sig).lock())
					claim := mustClaim(t, other, sig)
					claim.Created(t.Context(), s.create(sig, "theirs"))
				case "another replica died with the lock": // and both locks have expired
					client.Del(t.Context(), d.incidentOf(sig).lock())
					s.create(sig, "theirs")
				default: // the lock expired, and was taken again by a call whose answer was lost
					own := d.flights.current[d.incidentOf(sig).lock()]
					own.confirm(time.Now().Add(-2*lockTime), true)
					s.create(sig, "theirs")
				}
			}
			verdict, err := d.Check(t.Context(), sig)
			if err != nil || verdict.Duplicate == nil || verdict.Duplicate.Object.Name != "theirs" {
				t.Fatalf("verdict %+v, %v", verdict, err)
			}
		})
	}
}

// Promise: a claim ends by itself only when its process has.
func TestClaimsAreKept(t *testing.T) {
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, newStore(), client)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	defer running.Wait()
	defer cancel()
	kept, ended := mustClaim(t, d, testSignal("A")), mustClaim(t, d, testSignal("B"))
	// What has ended is another's by now.
	ended.Discard(t.Context())
	theirs := ended.incident.lock()
	client.Set(t.Context(), theirs, "theirs", lockTime)
	client.PExpire(t.Context(), kept.incident.lock(), lockTime/2)
	waitFor(t, func() bool { return client.PTTL(t.Context(), kept.incident.lock()).Val() > lockTime/2 })
	if got := client.Get(t.Context(), theirs).Val(); got != "theirs" {
		t.Errorf("the lock of another is %q", got)
	}
	// Redis was silent for longer than locks hold, or has lost its data, or its clock jumped.
	client.Del(t.Context(), kept.incident.lock())
	waitFor(t, func() bool { return client.Get(t.Context(), kept.incident.lock()).Val() == kept.token })
	waitFor(t, func() bool { return !kept.unbroken() }) // others may have had the lock
	if kept.Guard().Token == kept.token {
		t.Error("a storm would take the alert in")
	}
	other := newDeduplicator(t, newStore(), client)
	other.wait = 20 * time.Millisecond
	var busy *BusyError
	if verdict, err := other.Check(t.Context(), testSignal("A")); !errors.As(err, &busy) {
		t.Errorf("another replica has %+v, %v", verdict, err)
	}
	kept.Discard(t.Context())
	// One that is given back is not taken again.
	if err := d.index.renewAll(t.Context(), []*flight{kept.flight}); err != nil || client.Exists(t.Context(), kept.incident.lock()).Val() != 0 {
		t.Errorf("%v, or a lock is taken by nobody", err)
	}
}

// A lock that a signal gets just when the claim that it was of ends is not handed over: it
// would be nobody's until it expires.
func TestEndingClaimGetsNoLock(t *testing.T) {
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, newStore(), client)
	claim := mustClaim(t, d, testSignal("A"))
	lock := claim.incident.lock()
	client.Set(t.Context(), lock, "next", lockTime)
	if !d.handOver(t.Context(), claim.flight, "next") || client.Get(t.Context(), lock).Val() != claim.token {
		t.Errorf("the lock is %q, not the claim's", client.Get(t.Context(), lock).Val())
	}
	claim.Discard(t.Context())
	client.Set(t.Context(), lock, "next", lockTime)
	if d.handOver(t.Context(), claim.flight, "next") || client.Get(t.Context(), lock).Val() != "next" {
		t.Errorf("the lock is %q, not the next one's", client.Get(t.Context(), lock).Val())
	}
}

// Promise: what fails in the middle of a check, even by a panic, leaves no claim behind, which
// would be kept as long as the process lives.
func TestPanicEndsTheClaim(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	sig := testSignal("A")
	s.before = func(string) error { panic("find") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it did not panic")
			}
		}()
		_, _ = d.Check(t.Context(), sig)
	}()
	s.before = nil
	if n := client.Exists(t.Context(), d.incidentOf(sig).lock()).Val(); n != 0 || len(d.flights.current) != 0 {
		t.Errorf("%d locks and %d flights are left", n, len(d.flights.current))
	}
	d.wait = time.Millisecond
	mustClaim(t, d, sig).Discard(t.Context())
}

// renewFails is a Redis that fails the renewal of locks alone.
type renewFails struct{}

func (renewFails) DialHook(next redis.DialHook) redis.DialHook { return next }
func (renewFails) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); len(args) > 1 && args[1] == renewScript.Hash() {
			cmd.SetErr(redis.ErrPoolTimeout)
			return redis.ErrPoolTimeout
		}
		return next(ctx, cmd)
	}
}
func (renewFails) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// The record stands in for the cluster only. The object here is finished, as the search says;
// that Redis fails then makes the alert no repeat of it.
func TestRecordDoesNotAnswerForRedis(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	sig := testSignal("A")
	mustCreate(t, d, s, sig)
	s.setPhase(v1alpha1.PhaseCompleted)
	client.Del(t.Context(), d.incidentOf(sig).key())
	client.AddHook(renewFails{})
	verdict, err := d.Check(t.Context(), sig)
	var unavailable *redisclient.UnavailableError
	if !errors.As(err, &unavailable) {
		t.Errorf("verdict %+v, error %v", verdict.Duplicate, err)
	}
}

func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not so within 10 s")
		}
	}
}
