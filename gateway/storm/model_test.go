package storm

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
)

// model says in plain words what the scripts do: what they answer, and which alerts
// are kept.
type model struct {
	settings config.Storm
	grace    int64
	turn     int64
	now      int64
	sequence int
	scopes   map[string]*modelScope
	batches  map[string]*modelBatch // by ref
	single   map[string]string      // fingerprint -> name used for an individual object
}

type modelScope struct {
	name, namespace string
	rate            int
	pattern         map[string]int64
	current         *modelBatch
	members         map[string]*modelMember // by fingerprint
}

type modelMember struct {
	batch       *modelBatch
	token, name string
	arrived     int64
	rank        int // of its most severe signal
}

type modelBatch struct {
	scope                          *modelScope
	ref, state, kind               string
	first, last, opened, due       int64
	pushes, size, bytes            int
	opener, name, object, scopeKey string
	fence                          int64
	held                           map[string]string // fingerprint -> token, of members that the object holds
}

func (b *modelBatch) ends(s config.Storm) int64 {
	w, longest := s.InactivityTimeout.Std().Milliseconds(), s.MaxWindowDuration.Std().Milliseconds()
	if b.state == "open" {
		return min(b.last+w, b.opened+longest+1)
	}
	return min(b.last+w, b.first+longest)
}

func (b *modelBatch) pending() []string {
	var list []string
	for fingerprint, m := range b.scope.members {
		if m.batch == b {
			list = append(list, fingerprint)
		}
	}
	slices.Sort(list)
	return list
}

func (m *model) buffered(namespace string) (own, all int) {
	for _, scope := range m.scopes {
		for _, member := range scope.members {
			if member.batch.state != "open" {
				all++
				if scope.namespace == namespace {
					own++
				}
			}
		}
	}
	return own, all
}

func (m *model) retire(b *modelBatch) {
	if b.scope.current == b {
		b.scope.current = nil
	}
	if b.state == "buffer" {
		b.state = "flush"
		b.due = min(b.due, m.now)
	} else if len(b.pending()) == 0 {
		b.due = min(b.due, m.now)
	}
}

func (m *model) admit(alert member, name string, random float64, finished *modelBatch, kind string) (admitDecision, *modelBatch, overflow) {
	sig, s := alert.sig, m.settings
	fp := sig.Fingerprint
	if kind == "" && m.single[fp] == name {
		return admitNone, nil, overflowNone
	}
	scope := m.scopes[scopeOf(sig)]
	if scope == nil {
		scope = &modelScope{name: sig.Name, namespace: sig.Namespace, pattern: map[string]int64{}, members: map[string]*modelMember{}}
		m.scopes[scopeOf(sig)] = scope
	}
	if finished != nil && m.batches[finished.ref] != nil {
		if known := scope.members[fp]; known != nil && known.batch == finished {
			delete(scope.members, fp)
		}
		m.retire(finished)
	}
	known := scope.members[fp]
	if known != nil && known.token == alert.token {
		switch {
		case known.batch.state == "open" && known.batch.opener == alert.token:
			return admitOpened, known.batch, overflowNone
		case known.batch.state == "open":
			return admitAdded, known.batch, overflowNone
		case known.batch.state == "buffer":
			return admitBuffered, known.batch, overflowNone
		}
		return admitFlush, known.batch, overflowNone
	}
	if kind == "" {
		if scope.rate++; scope.rate > s.RateThreshold {
			kind = "rate"
		} else {
			scope.pattern[fp] = m.now
			maps.DeleteFunc(scope.pattern, func(_ string, at int64) bool { return at <= m.now-120_000 })
			if len(scope.pattern) > s.PatternThreshold {
				kind = "pattern"
			}
		}
		if kind == "" && known == nil {
			m.single[fp] = name
			return admitNone, nil, overflowNone
		}
	}
	open := func(b *modelBatch, full overflow) (admitDecision, *modelBatch, overflow) {
		b.state, b.opened, b.last, b.opener, b.name = "open", m.now, m.now, alert.token, name
		if kind != "" {
			b.kind = kind
		}
		b.due = m.now + m.grace
		return admitOpened, b, full
	}
	if known != nil {
		b := known.batch
		if b.state == "open" {
			return admitAgain, b, overflowNone
		}
		if b.state == "buffer" && m.now >= b.ends(s) {
			m.retire(b)
		}
		if b.state == "flush" {
			return admitFlush, b, overflowNone
		}
		known.token, known.name = alert.token, ""
		known.rank = max(known.rank, remediation.SeverityRank(sig.Severity))
		b.pushes++
		b.last = max(b.last, m.now)
		if b.pushes >= s.BufferThreshold {
			return open(b, overflowNone)
		}
		b.due = b.ends(s)
		return admitBuffered, b, overflowNone
	}
	b := scope.current
	if b != nil && b.state == "open" && m.now < b.ends(s) {
		if token, ok := b.held[fp]; ok && token == alert.token {
			return admitAdded, b, overflowNone
		} else if ok {
			return admitAgain, b, overflowNone
		}
	}
	if b != nil && (m.now >= b.ends(s) || b.bytes+alert.size > maxObjectBytes || b.state == "open" && b.size >= limit(s, sig.Namespace)) {
		m.retire(b)
		b = nil
	}
	if b == nil {
		m.sequence++
		b = &modelBatch{scope: scope, ref: fmt.Sprintf("%s:%d-%d", scopeOf(sig), m.now, m.sequence), state: "buffer", kind: kind, first: m.now, last: m.now, bytes: alert.base, held: map[string]string{}}
		m.batches[b.ref], scope.current = b, b
	}
	own, all := m.buffered(sig.Namespace)
	scope.members[fp] = &modelMember{batch: b, token: alert.token, arrived: max(m.now, b.last), rank: remediation.SeverityRank(sig.Severity)}
	b.size++
	b.pushes++
	b.bytes += alert.size
	b.last = max(b.last, m.now)
	if b.state == "open" {
		b.due = min(b.due, m.now+m.grace)
		return admitAdded, b, overflowNone
	}
	most := limit(s, sig.Namespace)
	switch {
	case own >= most, b.size >= most && b.size < s.BufferThreshold:
		return open(b, overflowNamespace)
	case all >= s.GlobalMaxSize:
		return open(b, overflowGlobal)
	case float64(own) > s.SamplingThreshold*float64(most) && random >= s.SamplingRate:
		return open(b, overflowSampled)
	case b.pushes >= s.BufferThreshold:
		return open(b, overflowNone)
	}
	b.due = b.ends(s)
	return admitBuffered, b, overflowNone
}

func (m *model) settle(b *modelBatch, object string, fingerprints ...string) {
	if m.batches[b.ref] == nil {
		return
	}
	for _, fp := range fingerprints {
		if member := b.scope.members[fp]; member != nil && member.batch == b {
			delete(b.scope.members, fp)
			if b.state == "open" && object != "" {
				b.held[fp] = member.token
			}
		}
	}
	if b.state == "open" && object != "" {
		b.object = object
	}
	if len(b.pending()) == 0 {
		switch b.state {
		case "flush":
			delete(m.batches, b.ref)
		case "open":
			b.due = b.ends(m.settings)
		}
	}
}

// take returns the batch that is taken, and which of its members.
func (m *model) take() (takeDecision, *modelBatch, []string) {
	for {
		var b *modelBatch
		for _, other := range m.batches {
			if b == nil || cmp.Or(cmp.Compare(other.due, b.due), strings.Compare(other.ref, b.ref)) < 0 {
				b = other
			}
		}
		if b == nil {
			return takeNone, nil, nil
		}
		if b.due > m.now {
			return takeIdle, nil, nil
		}
		list := b.pending()
		oldest := int64(0)
		for n, fp := range list {
			if arrived := b.scope.members[fp].arrived; n == 0 || arrived < oldest {
				oldest = arrived
			}
		}
		if b.state != "open" {
			m.retire(b)
		} else if b.object != "" {
			list = slices.DeleteFunc(list, func(fp string) bool { return b.scope.members[fp].arrived > m.now-m.grace })
		}
		switch {
		case len(list) > 0:
			b.due = m.now + m.turn
			b.fence++
			if b.state == "flush" {
				return takeFlush, b, list
			}
			return takeWindow, b, list
		case len(b.pending()) > 0:
			b.due = oldest + m.grace
		case b.state == "flush":
			delete(m.batches, b.ref)
		case m.now >= b.ends(m.settings) || b.scope.current != b:
			m.retire(b)
			delete(m.batches, b.ref)
			return takeClosed, b, nil
		default:
			b.due = b.ends(m.settings)
		}
	}
}

// The scripts do what the model does, whatever order of requests, repeats of
// requests, flushers' steps and clock steps: they answer alike, and keep the same
// alerts in the same batches. That no alert is lost follows from the model, where it
// can be read: a member is removed by settle only.
func TestScriptsBehaveLikeTheModel(t *testing.T) {
	client := redistest.Start(t).Client()
	defer client.Close()
	for run := range 100 {
		client.FlushAll(t.Context())
		if !runModel(t, client, rand.New(rand.NewPCG(uint64(run), 1)), "shop", "small", "", "C:x") {
			t.Fatalf("run %d", run)
		}
	}
}

// So they do in a Redis Cluster. There, the flusher's order holds among the batches of one
// partition only, and so of one namespace.
func TestScriptsBehaveLikeTheModelInACluster(t *testing.T) {
	client := redistest.StartCluster(t, 3, false).Client()
	defer client.Close()
	for run := range 30 {
		err := client.ForEachMaster(t.Context(), func(ctx context.Context, master *redis.Client) error { return master.FlushAll(ctx).Err() })
		if err != nil {
			t.Fatal(err)
		}
		namespace := []string{"shop", "small", "", "C:x"}[run%4]
		if !runModel(t, client, rand.New(rand.NewPCG(uint64(run), 2)), namespace) {
			t.Fatalf("run %d", run)
		}
	}
}

func runModel(t *testing.T, client redis.UniversalClient, r *rand.Rand, namespaces ...string) bool {
	w := time.Duration(1+r.IntN(5)) * time.Second
	settings := config.Storm{
		RateThreshold: r.IntN(6), PatternThreshold: r.IntN(4), BufferThreshold: 1 + r.IntN(5),
		InactivityTimeout: config.Duration(w), MaxWindowDuration: config.Duration(time.Duration(1+r.IntN(4)) * w),
		DefaultMaxSize: 1 + r.IntN(12), GlobalMaxSize: 1 + r.IntN(20), PerNamespaceLimits: map[string]int{"small": 1 + r.IntN(3)},
		SamplingThreshold: r.Float64(), SamplingRate: r.Float64(),
	}
	m := &model{
		settings: settings, grace: 500, turn: 1500, now: 1_700_000_000_000,
		scopes: map[string]*modelScope{}, batches: map[string]*modelBatch{}, single: map[string]string{},
	}
	random := 0.0
	b := newBatches(Options{
		Redis: client, Settings: settings, Metrics: metrics.New(), Grace: 500 * time.Millisecond, Turn: 1500 * time.Millisecond,
		now: func() int64 { return m.now },
	})
	b.random = func() float64 { return random }
	// The model has numbered the batch already, if the script begins one.
	b.newID = func() string { return fmt.Sprintf("%d-%d", m.now, m.sequence) }
	ctx := t.Context()

	names := []string{"A", "B:C", "B"}
	severities := []string{signal.SeverityInfo, signal.SeverityWarning, signal.SeverityCritical}
	var previous []member // requests that may be repeated
	fail := func(format string, args ...any) bool {
		t.Helper()
		t.Errorf(format, args...)
		return false
	}
	pick := func() *modelBatch {
		refs := slices.Sorted(maps.Keys(m.batches))
		if len(refs) == 0 {
			return nil
		}
		return m.batches[refs[r.IntN(len(refs))]]
	}
	const steps = 120
	for step := range steps {
		switch r.IntN(14) {
		case 0: // the clock goes on, or is set back
			m.now += r.Int64N(w.Milliseconds() * 2)
		case 1:
			m.now -= r.Int64N(700)
		case 2, 3: // an object holds some members
			if batch := pick(); batch != nil {
				list := append(batch.pending(), signal.Fingerprint("none", "", "", ""))
				list = list[r.IntN(len(list)):]
				object := ""
				if batch.state == "open" {
					object = "ns/object"
				}
				if err := b.settle(ctx, parseRef(batch.ref), object, list...); err != nil {
					return fail("step %d: settle: %v", step, err)
				}
				m.settle(batch, object, list...)
			}
		case 4, 5: // a flusher
			decision, batch, list := m.take()
			got, err := b.take(ctx)
			if err != nil || got.decision != decision {
				return fail("step %d: took %+v, want %s; %v", step, got, decision, err)
			}
			if batch == nil {
				continue
			}
			if got.ref.String() != batch.ref || !slices.Equal(fingerprintsOf(got.contents), list) {
				return fail("step %d: took %+v, want %s with %v", step, got, batch.ref, list)
			}
			if decision == takeFlush && r.IntN(2) == 0 {
				fp, fence := list[r.IntN(len(list))], batch.fence-int64(r.IntN(2))
				want := cmp.Or(batch.scope.members[fp].name, "mine")
				if fence != batch.fence {
					want = ""
				}
				name, err := b.reserve(ctx, got.ref, fp, "mine", &fence)
				if err != nil || name != want {
					return fail("step %d: reserved %q with fence %d of %d, want %q; %v", step, name, fence, batch.fence, want, err)
				}
				if want != "" {
					batch.scope.members[fp].name = name
					batch.due = m.now + m.turn
				}
			}
		default:
			sig := testSignal(names[r.IntN(len(names))], namespaces[r.IntN(len(namespaces))], "pod"+strconv.Itoa(r.IntN(12)))
			sig.Severity = severities[r.IntN(3)]
			alert := newMember(sig)
			if r.IntN(40) == 0 { // a window's worth of bytes
				alert.size = maxObjectBytes / 2
			}
			if len(previous) > 0 && r.IntN(6) == 0 {
				alert = previous[r.IntN(len(previous))]
			}
			name, kind := "name"+strconv.Itoa(step), ""
			if r.IntN(10) == 0 {
				name = cmp.Or(m.single[alert.sig.Fingerprint], name)
			}
			random = r.Float64()
			var finished *modelBatch
			id := ""
			if batch := pick(); batch != nil && batch.state == "open" && batch.scope == m.scopes[scopeOf(alert.sig)] && r.IntN(3) == 0 {
				finished, kind, id = batch, batch.kind, parseRef(batch.ref).id
			}
			decision, batch, full := m.admit(alert, name, random, finished, kind)
			got, err := b.admit(ctx, alert, name, dedup.Guard{}, id, kind)
			if err != nil || got.decision != decision || got.overflow != full {
				return fail("step %d: admitted %+v, want %s %q; %v", step, got, decision, full, err)
			}
			previous = append(previous, alert)
			if batch == nil {
				continue
			}
			if got.ref.String() != batch.ref || got.kind != batch.kind || got.members != batch.size || got.name != batch.name || got.opened != batch.opened || got.object != batch.object {
				return fail("step %d: admitted to %+v, want %+v", step, got, batch)
			}
			if decision == admitOpened && (!slices.Equal(fingerprintsOf(got.contents), batch.pending()) || !sorted(got.contents)) {
				return fail("step %d: opened with %v, want %v", step, got.contents.pending, batch.pending())
			}
			if decision == admitOpened && got.contents.severest != "" && !asSevere(t, got.contents.severest, batch) {
				return fail("step %d: the most severe of all is not that", step)
			}
			if own, _ := m.buffered(alert.sig.Namespace); got.buffered != own {
				return fail("step %d: %d buffered, want %d", step, got.buffered, own)
			}
		}
		if (step%15 == 0 || step == steps-1) && !sameState(t, client, m) {
			return fail("step %d", step)
		}
	}
	return true
}

// asSevere reports whether no pending member of the batch is more severe than the signal.
func asSevere(t *testing.T, kept string, batch *modelBatch) bool {
	t.Helper()
	sig, err := decode(kept)
	if err != nil {
		t.Error(err)
		return false
	}
	for _, fp := range batch.pending() {
		if batch.scope.members[fp].rank > remediation.SeverityRank(sig.Severity) {
			return false
		}
	}
	return true
}

// allKeys returns the keys of all servers as they are without a hash tag, each with those
// that really are there.
func allKeys(t *testing.T, client redis.UniversalClient) map[string][]string {
	t.Helper()
	var mu sync.Mutex
	found := make(map[string][]string)
	collect := func(ctx context.Context, c *redis.Client) error {
		keys, err := c.Keys(ctx, "*").Result()
		mu.Lock()
		defer mu.Unlock()
		for _, key := range keys {
			plain := hashTag.ReplaceAllString(key, "")
			found[plain] = append(found[plain], key)
		}
		return err
	}
	var err error
	switch c := client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(t.Context(), collect)
	case *redis.Client:
		err = collect(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var hashTag = regexp.MustCompile(`:\{\d+\}`)

func fingerprintsOf(c contents) []string {
	var list []string
	for _, m := range c.pending {
		list = append(list, m.fingerprint)
	}
	slices.Sort(list)
	return list
}

func sorted(c contents) bool {
	return slices.IsSortedFunc(c.pending, func(x, y pendingMember) int {
		return cmp.Or(cmp.Compare(x.arrived, y.arrived), strings.Compare(x.resource, y.resource))
	})
}

// sameState compares all that Redis keeps of alerts with the model.
func sameState(t *testing.T, client redis.UniversalClient, m *model) bool {
	t.Helper()
	ctx := context.Background()
	keys := allKeys(t, client)
	// real returns the key as it is in Redis, if there is exactly one.
	real := func(key string) string {
		if len(keys[key]) != 1 {
			return "none"
		}
		return keys[key][0]
	}
	due := map[string]int64{}
	for _, key := range keys[dueKey] {
		for _, z := range client.ZRangeWithScores(ctx, key, 0, -1).Val() {
			due[z.Member.(string)] = int64(z.Score)
		}
	}
	wantDue := map[string]int64{}
	for ref, b := range m.batches {
		wantDue[ref] = b.due
	}
	if !maps.Equal(due, wantDue) {
		t.Errorf("due %v, want %v", due, wantDue)
		return false
	}
	wantKeys := map[string]bool{}
	for key, scope := range m.scopes {
		records := client.HGetAll(ctx, real("alert:storm:resources:"+key)).Val()
		for fp, record := range records {
			member := scope.members[fp]
			if member == nil {
				t.Errorf("%s is kept: %q", fp, record)
				return false
			}
			want := fmt.Sprintf("%s\n%s\n%s\n", parseRef(member.batch.ref).id, member.token, member.name)
			if !strings.HasPrefix(record, want) {
				t.Errorf("record %q, want %q", record, want)
				return false
			}
			if score := client.ZScore(ctx, real("alert:buffer:"+member.batch.ref), fp).Val(); int64(score) != member.arrived {
				t.Errorf("%s arrived at %v, want %d", fp, score, member.arrived)
				return false
			}
			if sig, err := decode(client.HGet(ctx, real("alert:storm:payloads:"+key), fp).Val()); err != nil || sig.Fingerprint != fp {
				t.Errorf("payload of %s: %v, %v", fp, sig, err)
				return false
			}
			wantKeys["alert:buffer:"+member.batch.ref] = true
			wantKeys["alert:storm:resources:"+key], wantKeys["alert:storm:payloads:"+key] = true, true
		}
		if len(records) != len(scope.members) {
			t.Errorf("%d alerts are kept, want %d", len(records), len(scope.members))
			return false
		}
		if scope.current != nil {
			wantKeys["alert:storm:aggregate:"+key] = true
		}
	}
	for ref, b := range m.batches {
		wantKeys["alert:storm:metadata:"+ref] = true
		if held := client.HGetAll(ctx, real("alert:storm:held:"+ref)).Val(); !maps.Equal(held, b.held) {
			t.Errorf("%s holds %v, want %v", ref, held, b.held)
			return false
		}
		if len(b.held) > 0 {
			wantKeys["alert:storm:held:"+ref] = true
		}
	}
	for key, all := range keys {
		fixed := key == dueKey || key == bufferedKey
		expires := client.TTL(ctx, all[0]).Val() > 0
		if !fixed && !expires && !wantKeys[key] {
			t.Errorf("key %s is left", key)
			return false
		}
		if expires && !strings.HasPrefix(key, "alert:storm:rate:") && !strings.HasPrefix(key, "alert:pattern:") && !strings.HasPrefix(key, "alert:storm:individual:") {
			t.Errorf("key %s expires", key)
			return false
		}
		delete(wantKeys, key)
	}
	if len(wantKeys) > 0 {
		t.Errorf("keys are missing: %v", wantKeys)
		return false
	}
	return true
}
