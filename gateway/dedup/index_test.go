package dedup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/metricstest"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/signal"
)

// roundTrips counts what is sent to Redis.
type roundTrips struct {
	mu    sync.Mutex
	count int
}

func (r *roundTrips) take() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := r.count
	r.count = 0
	return count
}

func (r *roundTrips) DialHook(next redis.DialHook) redis.DialHook { return next }
func (r *roundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.mu.Lock()
		r.count++
		r.mu.Unlock()
		return next(ctx, cmd)
	}
}
func (r *roundTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// What a signal costs when the index is complete.
func TestCostOfSignals(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	trips := &roundTrips{}
	client.AddHook(trips)
	d := newDeduplicator(t, s, client)
	mustCare(t, d)
	requests := map[string]int{}
	s.before = func(verb string) error { requests[verb]++; return nil }
	for n, name := range []string{"warm-up: Redis learns the scripts", "A"} {
		sig := testSignal(name)
		trips.take()
		clear(requests)
		claim := mustClaim(t, d, sig)
		if got := trips.take(); n > 0 && got != 1 {
			t.Errorf("%d round trips before the create", got)
		}
		claim.Created(t.Context(), s.create(sig, claim.Name))
		if got := trips.take(); n > 0 && got != 1 {
			t.Errorf("%d round trips after the create", got)
		}
		if len(requests) != 0 {
			t.Errorf("a new signal asks the cluster: %v", requests)
		}
		mustRepeat(t, d, sig, 2)
		if got := trips.take(); n > 0 && got != 2 {
			t.Errorf("%d round trips for a duplicate", got)
		}
		if diff := cmp.Diff(map[string]int{"get": 1, "update": 1}, requests); diff != "" {
			t.Errorf("requests for a duplicate (-want +got):\n%s", diff)
		}
	}
	// An incident that begins anew is no dearer than a duplicate: it costs the update that
	// meets a conflict, and the look that tells its end.
	s.setPhase(v1alpha1.PhaseCompleted)
	clear(requests)
	mustClaim(t, d, testSignal("A")).Release(t.Context())
	if diff := cmp.Diff(map[string]int{"get": 1, "update": 1}, requests); diff != "" {
		t.Errorf("requests for the next incident (-want +got):\n%s", diff)
	}
}

func TestEachOperationIsObservedOnce(t *testing.T) {
	s := newStore()
	server := redistest.Start(t)
	d := newDeduplicator(t, s, connect(t, server))
	mustCare(t, d)
	d.index.metrics = metrics.New()
	type observed = map[string]float64
	want := func(counts observed) {
		t.Helper()
		got := make(observed)
		for key, value := range metricstest.Read(t, d.index.metrics, "gateway_redis_operation_") {
			got[strings.TrimPrefix(key, "gateway_redis_operation_")] = value
		}
		if diff := cmp.Diff(counts, got); diff != "" {
			t.Errorf("operations (-want +got):\n%s", diff)
		}
		d.index.metrics = metrics.New()
	}
	const (
		checks       = `duration_seconds{operation="deduplication_check"}`
		stores       = `duration_seconds{operation="deduplication_store"}`
		failedChecks = `errors_total{operation="deduplication_check"}`
	)
	sig := testSignal("A")
	claim := mustClaim(t, d, sig)
	claim.Created(t.Context(), s.create(sig, claim.Name))
	want(observed{checks: 1, stores: 1})
	mustRepeat(t, d, sig, 2)
	want(observed{checks: 1, stores: 1})
	server.Stop()
	if _, err := d.Check(t.Context(), sig); err == nil {
		t.Error("no error without Redis")
	}
	want(observed{checks: 1, failedChecks: 1})
}

func TestCompleteIndexKnowsWhatExists(t *testing.T) {
	s := newStore()
	d := newDeduplicator(t, s, connect(t, redistest.Start(t)))
	before := testSignal("before")
	s.create(before, "before-1")
	done := testSignal("done")
	s.edit(s.create(done, "done-1"), func(o *v1alpha1.RemediationRequest) { o.Status.OverallPhase = v1alpha1.PhaseCompleted })
	odd := testSignal("odd")
	odd.Namespace = "ODD"
	s.edit(s.create(odd, "odd-1"), func(o *v1alpha1.RemediationRequest) {
		delete(s.objects, refOf(o))
		o.Namespace, o.Labels = "fallback", map[string]string{"origin": "odd"}
	})
	foreign := testSignal("foreign")
	foreign.Namespace = "elsewhere"
	s.create(foreign, "foreign-1")
	for n := range 7 {
		s.create(testSignal(fmt.Sprint("more", n)), fmt.Sprint("more-", n))
	}
	member := s.storm("A", 5)
	mustCare(t, d)
	if s.pages != 4 {
		t.Errorf("%d pages", s.pages)
	}
	mustRepeat(t, d, before, 2)
	mustRepeat(t, d, odd, 2)
	for n := range 5 {
		mustRepeat(t, d, member(n), 2+n)
	}
	mustClaim(t, d, done).Release(t.Context())
	mustClaim(t, d, foreign).Release(t.Context())
	mustClaim(t, d, testSignal("new")).Release(t.Context())
	if s.finds != 0 {
		t.Errorf("%d searches", s.finds)
	}
}

// A member of a storm that fires again counts on the storm's object, whichever part
// answers, and with an index or without.
func TestStormMembersRepeatTheStorm(t *testing.T) {
	for name, prepare := range map[string]func(*Deduplicator, *v1alpha1.RemediationRequest) error{
		"looked up":  func(*Deduplicator, *v1alpha1.RemediationRequest) error { return nil },
		"registered": func(d *Deduplicator, o *v1alpha1.RemediationRequest) error { return d.Register(t.Context(), o) },
		"indexed":    func(d *Deduplicator, _ *v1alpha1.RemediationRequest) error { _, err := d.care(t.Context()); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			client := connect(t, redistest.Start(t))
			replicas := []*Deduplicator{newDeduplicator(t, s, client), newDeduplicator(t, s, client)}
			const members = 250 // more than one script call handles
			member := s.storm("A", members)
			object := s.only(t)
			if err := prepare(replicas[0], object); err != nil {
				t.Fatal(err)
			}
			count := 1
			for _, n := range []int{0, 1, 99, 100, members - 1, 100} {
				count++
				if o := mustRepeat(t, replicas[n%2], member(n), count); o.Object != refOf(object) {
					t.Errorf("member %d: %+v", n, o)
				}
			}
			mustClaim(t, replicas[0], member(members)).Release(t.Context())
			s.setPhase(v1alpha1.PhaseCompleted)
			mustClaim(t, replicas[1], member(3)).Release(t.Context())
		})
	}
}

func TestRegisterWritesRecords(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	member := s.storm("A", 3)
	if err := d.Register(t.Context(), s.only(t)); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		got := client.HGetAll(t.Context(), d.incidentOf(member(n)).record()).Val()
		if got["resource"] != member(n).Resource.Name || got["remediationRequestRef"] != "shop/storm-1" || got["count"] != "1" || got["fingerprint"] != member(n).Fingerprint || got["namespace"] != "shop" {
			t.Errorf("record %v", got)
		}
	}
	// They answer while the cluster can't.
	s.before = func(string) error { return errors.New("down") }
	mustRepeat(t, d, member(2), 2)
}

// Register is for what has no object in progress, whatever Redis holds.
func TestRegisterLeavesOtherObjectsInProgressAlone(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	mustCare(t, d)
	at := func(n int) *signal.Signal { return stormMember("A", n) }
	for n := range 4 { // 0 in progress, 1 finished, 2 reserved, 3 deleted, 4 nothing
		claim := mustClaim(t, d, at(n))
		if n != 2 {
			claim.Created(t.Context(), s.create(at(n), fmt.Sprint("own-", n)))
		}
	}
	s.edit(s.objects[parseRef("shop/own-1")], func(o *v1alpha1.RemediationRequest) { o.Status.OverallPhase = v1alpha1.PhaseFailed })
	delete(s.objects, parseRef("shop/own-3"))
	s.storm("A", 5)
	storm := s.objects[parseRef("shop/storm-1")]
	if err := d.Register(t.Context(), storm); err != nil {
		t.Fatal(err)
	}
	for n, want := range []string{"=shop/own-0", "=shop/storm-1", "=shop/storm-1", "=shop/storm-1", "=shop/storm-1"} {
		if got := has(t, d, at(n)); got != want {
			t.Errorf("incident %d is %s, want %s", n, got, want)
		}
	}
	down := errors.New("down")
	s.before = func(string) error { return down }
	if err := d.Register(t.Context(), storm); !errors.Is(err, down) {
		t.Errorf("with a cluster that does not answer: %v", err)
	}
}

// A claim that nothing was tried for leaves nothing behind, unless somebody before
// had tried.
func TestDiscard(t *testing.T) {
	d := newDeduplicator(t, newStore(), connect(t, redistest.Start(t)))
	sig := testSignal("A")
	claim := mustClaim(t, d, sig)
	claim.Discard(t.Context())
	if keys := d.index.client.Keys(t.Context(), "*").Val(); len(keys) != 0 {
		t.Errorf("left behind: %v", keys)
	}
	mustClaim(t, d, sig).Release(t.Context())
	mustClaim(t, d, sig).Discard(t.Context())
	if has(t, d, sig) == "" {
		t.Error("the reservation of somebody who may have made an object was discarded")
	}
}

// A storm took the incident in while the claim was held.
func TestEndOfAClaimLeavesTheStormInPlace(t *testing.T) {
	for name, end := range map[string]func(*Claim){
		"discard": func(c *Claim) { c.Discard(t.Context()) },
		"release": func(c *Claim) { c.Release(t.Context()) },
	} {
		s := newStore()
		d := newDeduplicator(t, s, connect(t, redistest.Start(t)))
		mustCare(t, d)
		member := s.storm("A", 3)
		sig := member(0)
		start, err := d.index.begin(t.Context(), d.incidentOf(sig), "token", "name-1")
		if err != nil || start.standing != unsure && start.standing != certain {
			t.Fatalf("%+v, %v", start, err)
		}
		own, _ := d.flights.start(d.incidentOf(sig), "token", time.Now())
		claim := d.claim(sig, start, own)
		if err := d.Register(t.Context(), s.only(t)); err != nil {
			t.Fatal(err)
		}
		end(claim)
		if got := has(t, d, sig); got != "=shop/storm-1" {
			t.Errorf("%s: the incident is %q", name, got)
		}
		mustRepeat(t, d, sig, 2)
	}
}

// A request that lost the reservation must not take the incident from its object.
func TestLateCreationTakesNothingAway(t *testing.T) {
	s := newStore()
	d := newDeduplicator(t, s, connect(t, redistest.Start(t)))
	var log strings.Builder
	d.logger = slog.New(slog.NewTextHandler(&log, nil))
	sig := testSignal("A")
	late := mustClaim(t, d, sig)
	d.index.client.FlushAll(t.Context())
	other := mustClaim(t, newDeduplicator(t, s, d.index.client), sig)
	other.Created(t.Context(), s.create(sig, "other-1"))
	late.Created(t.Context(), newObject(sig, "late-1"))
	if got := has(t, d, sig); got != "=shop/other-1" {
		t.Errorf("the incident is %q", got)
	}
	if !strings.Contains(log.String(), "object=shop/late-1 other=shop/other-1") {
		t.Errorf("log: %s", log.String())
	}
}

// Everything that makes Redis forget writes must make it forget that it knows all.
func TestLossOfDataIsNoticed(t *testing.T) {
	for name, lose := range map[string]func(*redistest.Server, *redis.Client){
		"flushed": func(_ *redistest.Server, client *redis.Client) { client.FlushAll(t.Context()) },
		"restarted empty": func(server *redistest.Server, _ *redis.Client) {
			server.Stop()
			server.Start()
		},
		"restarted with older data": func(server *redistest.Server, _ *redis.Client) {
			server.Stop()
			server.Start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			server := redistest.Start(t)
			client := connect(t, server)
			d := newDeduplicator(t, s, client)
			mustCare(t, d)
			if strings.Contains(name, "older") {
				if err := client.Save(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			sig := testSignal("A")
			claim := mustClaim(t, d, sig)
			claim.Created(t.Context(), s.create(sig, claim.Name))
			lose(server, client)
			if got := has(t, d, sig); got != "" {
				t.Fatalf("nothing was lost: %s", got)
			}
			if marker := client.Exists(t.Context(), markerKey).Val() == 1; marker != strings.Contains(name, "older") {
				t.Errorf("marker exists: %t", marker)
			}
			mustRepeat(t, d, sig, 2)
			if s.finds != 1 {
				t.Errorf("%d searches", s.finds)
			}
			mustCare(t, d)
			mustClaim(t, d, testSignal("B")).Release(t.Context())
			if s.finds != 1 {
				t.Error("the index is not complete again")
			}
		})
	}
}

// expose lets other servers replicate this one, and returns where.
func expose(t *testing.T, client *redis.Client) (host, port string) {
	t.Helper()
	for range 10 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		host, port, _ = net.SplitHostPort(listener.Addr().String())
		_ = listener.Close()
		if client.ConfigSet(t.Context(), "port", port).Err() == nil {
			return host, port
		}
	}
	t.Fatal("Redis takes no port")
	return "", ""
}

func follow(t *testing.T, follower, leader *redis.Client) {
	t.Helper()
	host, port := expose(t, leader)
	if err := follower.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if strings.Contains(follower.Info(t.Context(), "replication").Val(), "master_link_status:up") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("not in sync in 30 s")
		}
	}
}

func promote(t *testing.T, client *redis.Client) {
	t.Helper()
	if err := client.ReplicaOf(t.Context(), "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
}

// A replica that takes over may lack the last writes, and so may the old leader
// when it takes over again.
func TestFailoverIsNoticed(t *testing.T) {
	s := newStore()
	leader, follower := connect(t, redistest.Start(t)), connect(t, redistest.Start(t))
	follow(t, follower, leader)
	d := newDeduplicator(t, s, leader)
	mustCare(t, d)
	mustClaim(t, d, testSignal("A")).Release(t.Context())
	if s.finds != 0 {
		t.Fatalf("%d searches before", s.finds)
	}
	if err := leader.Wait(t.Context(), 1, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	promote(t, follower)
	after := newDeduplicator(t, s, follower)
	if follower.Exists(t.Context(), markerKey).Val() != 1 {
		t.Fatal("the marker was not replicated")
	}
	mustClaim(t, after, testSignal("B")).Release(t.Context())
	if s.finds != 1 {
		t.Errorf("%d searches after the failover", s.finds)
	}
	follow(t, leader, follower)
	promote(t, leader)
	mustClaim(t, d, testSignal("C")).Release(t.Context())
	if s.finds != 2 {
		t.Errorf("%d searches after the old leader took over again", s.finds)
	}
}

// Two replicas, Redis losing its data between the reservation and the create of one
// of them, in different seconds: both try one name.
func TestDataLostBetweenReservationAndCreate(t *testing.T) {
	for name, earlier := range map[string]string{"first incident": "", "after another": "finished"} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			client := connect(t, redistest.Start(t))
			slow, other := newDeduplicator(t, s, client), newDeduplicator(t, s, client)
			mustCare(t, slow)
			sig := testSignal("A")
			start := proposal(sig.Fingerprint, time.Now()).Add(time.Minute)
			slow.now = func() time.Time { return start }
			other.now = func() time.Time { return start.Add(3 * time.Second) }
			if earlier != "" {
				claim := mustClaim(t, slow, sig)
				claim.Created(t.Context(), s.create(sig, claim.Name))
				s.setPhase(v1alpha1.PhaseCompleted)
			}
			claim := mustClaim(t, slow, sig)
			client.FlushAll(t.Context())
			second := mustClaim(t, other, sig)
			if second.Name != claim.Name {
				t.Fatalf("names %s and %s: the API server would take both", claim.Name, second.Name)
			}
			object := s.create(sig, claim.Name)
			claim.Created(t.Context(), object)
			second.Created(t.Context(), object) // which it found under the name
			mustRepeat(t, slow, sig, 2)
			mustRepeat(t, other, sig, 3)
		})
	}
}

func TestNames(t *testing.T) {
	one, other := testSignal("A").Fingerprint, testSignal("B").Fingerprint
	base := time.Unix(1_763_978_400, 0)
	changes, common := 0, 0
	for second := range int(nameGrain / time.Second) {
		now := base.Add(time.Duration(second) * time.Second)
		a, b := proposal(one, now), proposal(other, now)
		if age := now.Sub(a); age < 0 || age >= nameGrain {
			t.Fatalf("at %s: name of %s", now, a)
		}
		next := now.Add(time.Second)
		if changed := proposal(one, next) != a; changed {
			changes++
			if proposal(other, next) != b {
				common++
			}
		}
	}
	if changes != 1 || common != 0 {
		t.Errorf("%d changes in a grain, %d of them at the same time as another fingerprint's", changes, common)
	}
	for name, test := range map[string]struct {
		taken []string
		want  int64
	}{
		"nothing taken":       {nil, 100},
		"earlier ones":        {[]string{"rr-x-99", "rr-x-1"}, 100},
		"the same":            {[]string{"rr-x-100"}, 101},
		"later ones":          {[]string{"rr-x-120", "rr-x-100"}, 121},
		"names of no pattern": {[]string{"hand-made", "", "x"}, 100},
	} {
		if got := after(time.Unix(100, 0), test.taken...).Unix(); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

// Keys must be distinct for distinct incidents, and tell which they are of.
func FuzzKeys(f *testing.F) {
	f.Add("shop", "A", "shop.", "B")
	f.Add("", "A", "-", "A")
	f.Fuzz(func(t *testing.T, place, name, otherPlace, otherName string) {
		one := incident{fingerprint: testSignal(name).Fingerprint, place: place}
		other := incident{fingerprint: testSignal(otherName).Fingerprint, place: otherPlace}
		if (one.key() == other.key()) != (one == other) || (one.lock() == other.lock()) != (one == other) {
			t.Errorf("%+v and %+v: %s and %s", one, other, one.key(), other.key())
		}
		if got := parseIncident(one.key()); got != one {
			t.Errorf("%s is of %+v, want %+v", one.key(), got, one)
		}
	})
}

func stormMember(name string, n int) *signal.Signal {
	sig := testSignal(name)
	sig.Resource = signal.Resource{Namespace: "shop", Kind: "Pod", Name: fmt.Sprint("web-", n)}
	sig.Fingerprint = signal.Fingerprint(name, "shop", "Pod", sig.Resource.Name)
	return sig
}

// storm puts the object of a storm of n members into the cluster, and returns its
// members by number.
func (s *store) storm(name string, n int) (member func(int) *signal.Signal) {
	filler := stormMember(name, n/2)
	object := s.create(filler, "storm-1")
	s.edit(object, func(o *v1alpha1.RemediationRequest) {
		o.Spec.IsStorm, o.Spec.SignalName = true, name
		for i := range n {
			o.Spec.AffectedResources = append(o.Spec.AffectedResources, stormMember(name, i).Resource.ID())
		}
	})
	return func(i int) *signal.Signal { return stormMember(name, i) }
}

// edit is what somebody else does to an object.
func (s *store) edit(object *v1alpha1.RemediationRequest, change func(*v1alpha1.RemediationRequest)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	object = object.DeepCopy()
	change(object)
	s.put(object)
}

func (s *store) only(t *testing.T) *v1alpha1.RemediationRequest {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, object := range s.objects {
		if len(s.objects) == 1 {
			return object.DeepCopy()
		}
	}
	t.Fatalf("%d objects", len(s.objects))
	return nil
}

// A reply that no script makes is an error, and never taken for another.
func TestUnknownRepliesAreErrors(t *testing.T) {
	for _, reply := range [][]string{{}, {""}, {"held", "x"}, {"object"}, {"New", "name"}, {"new"}, {"new", "name", "x"}, {"gone", "name"}} {
		if start, err := parseBegun(reply); err == nil {
			t.Errorf("begin.lua, %q: %+v", reply, start)
		}
	}
	for _, reply := range [][]string{{}, {"Rest"}, {"rest", "x"}, {"due"}, {"due", "identity"}, {"due", "identity", "now"}, {"failed"}} {
		if found, err := new(turn).parse(reply); err == nil {
			t.Errorf("turn.lua, %q: %s", reply, found)
		}
	}
	entries := make([]entry, 2)
	for _, reply := range [][]any{{int64(1)}, {int64(0), "=n/o"}, {int64(3), "=n/o"}, {int64(1), "n/o"}, {"1", "=n/o"}, {int64(1), "=n/o", int64(2)}} {
		if conflicts, err := conflictsAmong(entries)(redis.NewCmdResult(reply, nil)); err == nil {
			t.Errorf("%v: %+v", reply, conflicts)
		}
	}
}

// A value that nobody here wrote is looked into, and mended by what follows.
func TestNonsenseInTheIndex(t *testing.T) {
	s := newStore()
	d := newDeduplicator(t, s, connect(t, redistest.Start(t)))
	mustCare(t, d)
	for _, value := range []string{"", "nonsense", "?", "?:", "?1:", "=", "=x"} {
		sig := testSignal("A" + value)
		d.index.client.Set(t.Context(), d.incidentOf(sig).key(), value, 0)
		claim := mustClaim(t, d, sig)
		if claim.Name == "" {
			t.Errorf("%q: no name", value)
		}
		claim.Created(t.Context(), s.create(sig, claim.Name))
		mustRepeat(t, d, sig, 2)
	}
}
