package dedup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/signal"
)

// care reports what a replica finds when it looks after the index.
func care(t *testing.T, d *Deduplicator) state {
	t.Helper()
	found, err := d.care(t.Context())
	if err != nil {
		t.Errorf("state %s: %v", found, err)
	}
	return found
}

func TestOneReplicaCares(t *testing.T) {
	s := newStore()
	s.create(testSignal("A"), "a-1")
	client := connect(t, redistest.Start(t))
	one, other := newDeduplicator(t, s, client), newDeduplicator(t, s, client)
	entered, proceed := make(chan struct{}), make(chan struct{})
	s.before = func(verb string) error {
		if verb == "page" {
			close(entered)
			<-proceed
		}
		return nil
	}
	done := make(chan state)
	go func() { done <- care(t, one) }()
	<-entered
	if found := care(t, other); found != "busy" {
		t.Errorf("meanwhile the index is %s", found)
	}
	if client.Exists(t.Context(), markerKey).Val() == 1 {
		t.Error("the index is complete before it was built")
	}
	close(proceed)
	if found := <-done; found != incomplete {
		t.Errorf("the index was %s", found)
	}
	s.before = nil
	if found := care(t, other); found != "rest" {
		t.Errorf("afterwards it is %s", found)
	}
	client.Del(t.Context(), restKey)
	if found := care(t, other); found != "due" {
		t.Errorf("after a while it is %s", found)
	}
}

// The turn of a replica that was killed passes on.
func TestDeadKeeper(t *testing.T) {
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, newStore(), client)
	dead := &turn{index: &d.index, token: "dead"}
	if _, err := dead.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := care(t, d); found != "busy" {
		t.Errorf("state %s", found)
	}
	if ttl := client.PTTL(t.Context(), turnKey).Val(); ttl <= 0 || ttl > turnTime {
		t.Errorf("turn lasts for %s", ttl)
	}
	client.Del(t.Context(), turnKey)
	mustCare(t, d)
	// Should it live after all, it must not do harm.
	if err := dead.renew(t.Context()); !errors.Is(err, errTurnLost) {
		t.Errorf("renew: %v", err)
	}
	if _, err := dead.add(t.Context(), []entry{{incident{fingerprint: "f", place: "p"}, types.NamespacedName{Namespace: "n", Name: "o"}}}); !errors.Is(err, errTurnLost) {
		t.Errorf("add: %v", err)
	}
	if err := dead.complete(t.Context()); !errors.Is(err, errTurnLost) {
		t.Errorf("complete: %v", err)
	}
	if err := dead.giveBack(t.Context(), time.Hour); err != nil {
		t.Errorf("give back: %v", err)
	}
	if client.Exists(t.Context(), incident{fingerprint: "f", place: "p"}.key()).Val() == 1 {
		t.Error("it added to the index")
	}
}

// An index that was half built when the data were lost is not complete.
func TestDataLostWhileTheIndexIsBuilt(t *testing.T) {
	client := connect(t, redistest.Start(t))
	for name, lose := range map[string]func(){
		"flushed": func() { client.FlushAll(t.Context()) },
		"failed over, the turn having been replicated": func() {
			// Another server has another identity; so has this one for a turn that began there.
			client.Set(t.Context(), markerKey, "of another server", 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			client.FlushAll(t.Context())
			s := newStore()
			for n := range 4 {
				s.create(testSignal(fmt.Sprint(n)), fmt.Sprint("o-", n))
			}
			d := newDeduplicator(t, s, client)
			own := &turn{index: &d.index, token: "mine"}
			if _, err := own.take(t.Context()); err != nil {
				t.Fatal(err)
			}
			if name != "flushed" {
				own.identity = "of another server"
			}
			s.before = func(verb string) error {
				if verb == "page" && s.pages == 1 {
					lose()
				}
				return nil
			}
			if _, err := d.build(t.Context(), map[redisclient.Partition]*turn{"": own}); !errors.Is(err, errTurnLost) {
				t.Errorf("built: %v", err)
			}
			s.before = nil
			mustClaim(t, d, testSignal("new")).Discard(t.Context())
			if s.finds != 1 {
				t.Error("the index counts as complete")
			}
		})
	}
}

func TestFailuresOfTheClusterLeaveTheIndexIncomplete(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	for n := range 4 {
		s.create(testSignal(fmt.Sprint(n)), fmt.Sprint("o-", n))
	}
	expired := apierrors.NewResourceExpired("token is too old")
	s.before = func(verb string) error {
		if s.pages == 1 {
			return expired
		}
		return nil
	}
	if _, err := d.care(t.Context()); !errors.Is(err, expired) {
		t.Errorf("error %v", err)
	}
	if client.Exists(t.Context(), markerKey, turnKey).Val() != 0 {
		t.Error("the index is complete, or the turn is kept")
	}
	s.before = nil
	mustCare(t, d)
}

// What the list shows meets what signals have written since.
func TestBuildingMeetsWhatIsThere(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	names := []string{"nothing", "held", "left", "same", "finished other", "deleted other", "other in progress"}
	held := make(map[string]*Claim)
	for _, name := range names {
		sig := testSignal(name)
		switch name {
		case "held", "left":
			held[name] = mustClaim(t, d, sig)
		case "same":
			claim := mustClaim(t, d, sig)
			claim.Created(t.Context(), s.create(sig, "o-same"))
		case "finished other", "deleted other", "other in progress":
			claim := mustClaim(t, d, sig)
			object := s.create(sig, "other-"+sig.Fingerprint[:8])
			claim.Created(t.Context(), object)
			if name == "finished other" {
				s.edit(object, func(o *v1alpha1.RemediationRequest) { o.Status.OverallPhase = v1alpha1.PhaseCancelled })
			}
			if name == "deleted other" {
				delete(s.objects, refOf(object))
			}
		}
		s.create(sig, "o-"+name)
	}
	held["left"].Release(t.Context())
	reserved := has(t, d, testSignal("held"))
	mustCare(t, d)
	for _, name := range names {
		sig := testSignal(name)
		want := "=shop/o-" + name
		switch name {
		case "held":
			want = reserved
		case "other in progress":
			want = "=shop/other-" + sig.Fingerprint[:8]
		}
		if got := has(t, d, sig); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Redis must not grow for ever.
func TestClearing(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	mustCare(t, d)
	make := func(name string) (*signal.Signal, *v1alpha1.RemediationRequest) {
		sig := testSignal(name)
		claim := mustClaim(t, d, sig)
		object := s.create(sig, "o-"+name)
		claim.Created(t.Context(), object)
		return sig, object
	}
	live, _ := make("live")
	finished, object := make("finished")
	s.edit(object, func(o *v1alpha1.RemediationRequest) { o.Status.OverallPhase = v1alpha1.PhaseCompleted })
	deleted, object := make("deleted")
	delete(s.objects, refOf(object))
	young := testSignal("young")
	mustClaim(t, d, young).Release(t.Context())
	old, oldHeld := testSignal("old"), testSignal("old and held")
	mustClaim(t, d, old).Release(t.Context())
	mustClaim(t, d, oldHeld)
	for _, sig := range []*signal.Signal{old, oldHeld} {
		client.Set(t.Context(), d.incidentOf(sig).key(), fmt.Sprintf("?%d:name", time.Now().Add(-2*createTime).UnixMilli()), 0)
	}
	client.Set(t.Context(), incidentPrefix+"x:y", "nonsense", 0)
	// Made and finished after the list was read.
	late := testSignal("late")
	s.before = func(verb string) error {
		if verb == "page" {
			s.before = nil
			_, object := make("late")
			s.edit(object, func(o *v1alpha1.RemediationRequest) { o.Status.OverallPhase = v1alpha1.PhaseFailed })
			delete(s.objects, refOf(object)) // the page is not to show it
			defer s.put(object)
		}
		return nil
	}
	client.Del(t.Context(), restKey)
	mustCare(t, d)
	for sig, want := range map[*signal.Signal]bool{live: true, finished: false, deleted: false, young: true, old: false, oldHeld: true, late: true} {
		if got := has(t, d, sig) != ""; got != want {
			t.Errorf("%s is kept: %t, want %t", sig.Name, got, want)
		}
	}
	if client.Exists(t.Context(), d.incidentOf(finished).record()).Val() != 0 {
		t.Error("the record of a finished incident is kept")
	}
	if client.TTL(t.Context(), restKey).Val() > d.clearInterval || client.Exists(t.Context(), turnKey).Val() != 0 {
		t.Error("clearing is not due again, or the turn is kept")
	}
}

// With such a policy a pointer may vanish while the marker stays.
func TestEvictionIsNotTrusted(t *testing.T) {
	s := newStore()
	client := connect(t, redistest.Start(t))
	d := newDeduplicator(t, s, client)
	for _, test := range []struct {
		memory, policy string
		want           state
	}{
		{"0", "noeviction", "incomplete"},
		{"100mb", "noeviction", "rest"},
		{"100mb", "volatile-lru", "rest"},
		{"0", "allkeys-lru", "rest"},
		{"100mb", "allkeys-lru", "evicting"},
		{"100mb", "allkeys-random", "evicting"},
		{"0", "noeviction", "incomplete"},
	} {
		client.ConfigSet(t.Context(), "maxmemory", test.memory)
		client.ConfigSet(t.Context(), "maxmemory-policy", test.policy)
		if found := care(t, d); found != test.want {
			t.Errorf("%s %s: %s, want %s", test.memory, test.policy, found, test.want)
		}
		finds := s.finds
		mustClaim(t, d, testSignal("A")).Discard(t.Context())
		if searched := s.finds > finds; searched != (test.want == "evicting") {
			t.Errorf("%s %s: searched %t", test.memory, test.policy, searched)
		}
	}
}

// Whoever may not ask what data Redis holds would not notice their loss. Signals are
// handled all the same, each new one after a look in the cluster.
func TestWithoutInfo(t *testing.T) {
	s := newStore()
	server := redistest.Start(t)
	admin := connect(t, server)
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "gateway", "on", ">secret", "~gateway:*", "~alert:*", "+@all", "-@admin", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: server.Addr, Username: "gateway", Password: "secret"})
	defer client.Close()
	if err := client.Info(t.Context()).Err(); err == nil {
		t.Fatal("INFO is allowed")
	}
	// An index that was complete by the word of somebody who could ask is not trusted.
	d := newDeduplicator(t, s, admin)
	if found := care(t, d); found != incomplete {
		t.Fatalf("with INFO: %s", found)
	}
	d = newDeduplicator(t, s, client)
	for range 2 {
		if found := care(t, d); found != blind {
			t.Errorf("without INFO: %s", found)
		}
		finds := s.finds
		mustClaim(t, d, testSignal("A")).Discard(t.Context())
		if s.finds == finds {
			t.Error("a new signal was not looked up in the cluster")
		}
	}
}

// Signals get along without the index, and have it built.
func TestRunCompletesTheIndex(t *testing.T) {
	s := newStore()
	server := redistest.New(t)
	client := connect(t, server)
	d := newDeduplicator(t, s, client)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	defer running.Wait()
	defer cancel()
	complete := func() {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); client.Exists(t.Context(), markerKey, restKey).Val() != 2; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("not complete in 30 s")
			}
		}
	}
	server.Start() // after Run
	complete()
	client.FlushAll(t.Context())
	mustClaim(t, d, testSignal("A")).Discard(t.Context())
	complete()
}

// A finished object in its cool-down stays in the index, and leaves it afterwards.
func TestCoolDown(t *testing.T) {
	d := &Deduplicator{coolDown: map[string]time.Duration{"Completed": time.Hour, "Failed": 0}, now: time.Now}
	at := func(ago time.Duration) *metav1.Time { t := metav1.NewTime(time.Now().Add(-ago)); return &t }
	for _, c := range []struct {
		phase     string
		completed *metav1.Time
		want      bool
	}{
		{"", nil, true}, {"Processing", at(time.Minute), true},
		{"Completed", at(time.Minute), true}, {"Completed", at(2 * time.Hour), false}, {"Completed", nil, false},
		{"Failed", at(time.Second), false}, {"Cancelled", at(time.Second), false},
	} {
		object := &v1alpha1.RemediationRequest{Status: v1alpha1.RemediationRequestStatus{OverallPhase: c.phase, CompletedAt: c.completed}}
		if got := d.stands(object); got != c.want {
			t.Errorf("%+v: stands %t", object.Status, got)
		}
	}
}
