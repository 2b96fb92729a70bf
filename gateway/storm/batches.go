package storm

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/shared"
)

// Keys of which each partition has one.
const (
	dueKey      = "alert:storm:due"
	bufferedKey = "alert:storm:buffered"
)

// individualLifetime is how long a request may take to make an individual object, from
// the reply that there is no storm.
const individualLifetime = 2 * time.Minute

var (
	//go:embed scripts/batch.lua
	sharedSource string
	//go:embed scripts/admit.lua
	admitSource string
	//go:embed scripts/settle.lua
	settleSource string
	//go:embed scripts/look.lua
	lookSource string
	//go:embed scripts/next.lua
	nextSource string
	//go:embed scripts/take.lua
	takeSource string
	//go:embed scripts/reserve.lua
	reserveSource string
	//go:embed scripts/postpone.lua
	postponeSource string

	admitScript    = newScript("admit.lua", admitSource, readAdmission)
	settleScript   = newScript("settle.lua", settleSource, readSettlement)
	lookScript     = newScript("look.lua", lookSource, readLook)
	nextScript     = script[next]{"next.lua", redis.NewScript(nextSource), readNext}
	takeScript     = newScript("take.lua", takeSource, readTask)
	reserveScript  = newScript("reserve.lua", reserveSource, readReservation)
	postponeScript = newScript("postpone.lua", postponeSource, readPostponement)
)

// script is a Lua script whose replies are read as R.
type script[R any] struct {
	name   string
	redis  *redis.Script
	readAs func(*fields) R
}

func newScript[R any](name, source string, readAs func(*fields) R) script[R] {
	return script[R]{name, redis.NewScript(sharedSource + source), readAs}
}

// batchRef names a batch in Redis.
type batchRef struct{ scope, id string }

func (r batchRef) String() string { return r.scope + ":" + r.id }

func parseRef(text string) batchRef {
	i := strings.LastIndexByte(text, ':')
	return batchRef{text[:max(i, 0)], text[i+1:]}
}

// batches runs the scripts. Errors are *redisclient.UnavailableError.
type batches struct {
	client     redis.UniversalClient
	partitions redisclient.Partitions
	metrics    *metrics.Metrics
	settings   config.Storm
	grace      time.Duration
	now        func() int64 // in ms since 1970; 0 for Redis' clock
	random     func() float64
	newID      func() string // of a batch
	// forScripts are the settings as scripts take them.
	forScripts []byte

	current *currentBatches
	waiting *waitingMembers
	turn    *atomic.Uint32 // number of the partition that had a batch last
	// questions ask partitions, by their numbers, what is due.
	questions *shared.Calls[int, next]
}

func newBatches(o Options) batches {
	s := o.Settings
	grace := min(o.Grace, s.InactivityTimeout.Std())
	// Whole numbers can always be encoded. So can the two shares, which package config
	// requires to be from 0 to 1.
	forScripts, _ := json.Marshal(scriptSettings{
		Inactivity: s.InactivityTimeout.Std().Milliseconds(), Longest: s.MaxWindowDuration.Std().Milliseconds(),
		Grace: grace.Milliseconds(), Turn: o.Turn.Milliseconds(), Individual: individualLifetime.Milliseconds(),
		RateThreshold: s.RateThreshold, PatternThreshold: s.PatternThreshold, BufferThreshold: s.BufferThreshold, GlobalLimit: s.GlobalMaxSize,
		SamplingThreshold: s.SamplingThreshold, SamplingRate: s.SamplingRate, MaxBytes: maxObjectBytes,
	})
	b := batches{
		client: o.Redis, partitions: redisclient.PartitionsOf(o.Redis), metrics: o.Metrics, settings: s, grace: grace, now: o.now,
		random: rand.Float64, newID: newBatchID, forScripts: forScripts, current: &currentBatches{ids: make(map[string]string)},
		waiting: &waitingMembers{counts: make(map[redisclient.Partition]int)}, turn: &atomic.Uint32{},
	}
	b.questions = shared.NewCalls(func(ctx context.Context, partition int) (next, error) {
		ctx, cancel := context.WithTimeout(ctx, maxLookTime)
		defer cancel()
		return b.next(ctx, b.partitions.All()[partition])
	})
	return b
}

// newBatchID returns an id that no other batch has.
func newBatchID() string {
	return fmt.Sprintf("%d-%d", time.Now().UnixMilli(), rand.Uint64N(1<<52))
}

// maxCurrent bounds the scopes whose current batches are remembered.
const maxCurrent = 10_000

// currentBatches remembers the current batch of scopes, so that most alerts can declare
// its keys at once. What it says need not be so any more.
type currentBatches struct {
	mu  sync.Mutex
	ids map[string]string // by scope
}

func (c *currentBatches) of(scope string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ids[scope]
}

func (c *currentBatches) note(ref batchRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ids) >= maxCurrent {
		clear(c.ids)
	}
	c.ids[ref.scope] = ref.id
}

// waitingMembers are how many members each partition has in buffers, as the flusher saw
// it last.
type waitingMembers struct {
	mu     sync.Mutex
	counts map[redisclient.Partition]int
}

func (w *waitingMembers) note(p redisclient.Partition, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[p] = n
}

// elsewhere returns how many there are in all partitions but one.
func (w *waitingMembers) elsewhere(but redisclient.Partition) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, count := range w.counts {
		if p != but {
			n += count
		}
	}
	return n
}

// partitionOf returns where a scope is: with all scopes of its namespace.
func (b *batches) partitionOf(scope string) redisclient.Partition {
	namespace, _, _ := strings.Cut(scope, ":")
	return b.partitions.Of(namespace)
}

// keys are those that every script takes, and those of some batches of the scope.
func (b *batches) keys(scope string, ids ...string) []string {
	p := b.partitionOf(scope)
	at := p.Prefix() + scope
	keys := make([]string, 0, 5+3*len(ids)+5)
	keys = append(keys, dueKey+p.Suffix(), bufferedKey+p.Suffix(), "alert:storm:aggregate:"+at, "alert:storm:resources:"+at, "alert:storm:payloads:"+at)
	for _, id := range ids {
		keys = append(keys, "alert:storm:metadata:"+at+":"+id, "alert:buffer:"+at+":"+id, "alert:storm:held:"+at+":"+id)
	}
	return keys
}

// scriptSettings are the first argument of every script, described in batch.lua.
type scriptSettings struct {
	Inactivity        int64   `json:"inactivity"`
	Longest           int64   `json:"longest"`
	Grace             int64   `json:"grace"`
	Turn              int64   `json:"turn"`
	Individual        int64   `json:"individual"`
	RateThreshold     int     `json:"rateThreshold"`
	PatternThreshold  int     `json:"patternThreshold"`
	BufferThreshold   int     `json:"bufferThreshold"`
	GlobalLimit       int     `json:"globalLimit"`
	SamplingThreshold float64 `json:"samplingThreshold"`
	SamplingRate      float64 `json:"samplingRate"`
	MaxBytes          int     `json:"maxBytes"`
}

// call is what the second argument of every script begins with. All of its texts are
// ASCII: JSON keeps no others for sure. None of its fields may be null, which is true
// in Lua.
type call struct {
	Scope string   `json:"scope"`
	IDs   []string `json:"ids"`
	Now   int64    `json:"now,omitempty"`
}

// call is one about a batch.
func (b *batches) call(ref batchRef) call { return call{ref.scope, []string{ref.id}, b.now()} }

// soonest is the least time in which a batch that is not there yet can become due.
func (b *batches) soonest() time.Duration {
	return min(b.grace, b.settings.InactivityTimeout.Std(), b.settings.MaxWindowDuration.Std())
}

type admitCall struct {
	call
	Fingerprint string  `json:"fingerprint"`
	Token       string  `json:"token"`
	Name        string  `json:"name"`
	Size        int     `json:"size"`
	Base        int     `json:"base"`
	Limit       int     `json:"limit"`
	Random      float64 `json:"random"`
	Finished    string  `json:"finished"`
	Kind        string  `json:"kind"`
	Claim       string  `json:"claim,omitempty"`
	New         string  `json:"new"`
	Rank        int     `json:"rank"`
	Elsewhere   int     `json:"elsewhere"`
}

// maxAsked bounds how often a batch may be replaced by another between two calls.
const maxAsked = 10

// admit takes an alert through detection and into a batch, see admit.lua. Finished is
// the id of a window whose object is known to be finished, or empty. Kind is the kind
// of storm, or empty if that is to be detected.
func (b *batches) admit(ctx context.Context, m member, name string, guard dedup.Guard, finished, kind string) (admission, error) {
	scope := scopeOf(m.sig)
	partition := b.partitionOf(scope)
	c := admitCall{
		call: call{Scope: scope, Now: b.now()}, Fingerprint: m.sig.Fingerprint, Token: m.token, Name: name, Size: m.size, Base: m.base,
		Limit: limit(b.settings, m.sig.Namespace), Random: b.random(), Finished: finished, Kind: kind, Claim: guard.Token,
		New: b.newID(), Rank: remediation.SeverityRank(m.sig.Severity), Elsewhere: b.waiting.elsewhere(partition),
	}
	needed := []string{c.New, finished, b.current.of(scope)}
	for range maxAsked {
		c.IDs = nil
		for _, id := range needed {
			if id != "" && !slices.Contains(c.IDs, id) {
				c.IDs = append(c.IDs, id)
			}
		}
		at := partition.Prefix() + scope
		keys := b.keys(scope, c.IDs...)
		if guard.Token != "" {
			keys = append(keys, guard.Incident, guard.Lock)
		}
		keys = append(keys, "alert:storm:rate:"+at, "alert:pattern:"+at, "alert:storm:individual:"+partition.Prefix()+c.Fingerprint)
		a, err := run(ctx, b, opDetect, admitScript, keys, c, m.resource, m.data)
		if err != nil || a.decision != admitKeys {
			if a.ref.id != "" {
				b.current.note(a.ref)
			}
			return a, err
		}
		needed = a.needed
	}
	return admission{}, b.fail(opDetect, fmt.Errorf("batch of %s has been replaced %d times meanwhile", scope, maxAsked))
}

type settleCall struct {
	call
	ID           string   `json:"id"`
	Object       string   `json:"object"`
	Fingerprints []string `json:"fingerprints,omitempty"`
}

// settle removes members that an object holds. The object is that of a window, or
// empty.
func (b *batches) settle(ctx context.Context, ref batchRef, object string, fingerprints ...string) error {
	_, err := run(ctx, b, opAggregate, settleScript, b.keys(ref.scope, ref.id), settleCall{b.call(ref), ref.id, object, fingerprints})
	return err
}

// oneCall is about a batch and nothing else.
type oneCall struct {
	call
	ID string `json:"id"`
}

// look reads a window with all its members.
func (b *batches) look(ctx context.Context, ref batchRef) (look, error) {
	return run(ctx, b, opAggregate, lookScript, b.keys(ref.scope, ref.id), oneCall{b.call(ref), ref.id})
}

// maxLooked bounds how many batches of a partition are looked at of which none has
// anything to do.
const maxLooked = 100

// maxLookTime is how long the flusher waits for a partition's first answer. A server of a
// Cluster that is silent is not to keep it from what is due on the others.
const maxLookTime = time.Second

// answer is what a partition says of what is due in it.
type answer struct {
	partition int
	next      next
	err       error
}

// take begins a turn on a batch that is due, if there is one: in the first partition that
// says so, without a wait for those that don't answer. The error is that of the partitions
// which failed, if none has a batch.
func (b *batches) take(ctx context.Context) (task, error) {
	partitions := b.partitions.All()
	if len(partitions) == 1 {
		return b.takeIn(ctx, partitions[0])
	}
	// The first is the one that had a batch last, and may well have another.
	first := int(b.turn.Load()) % len(partitions)
	found := task{decision: takeNone}
	var failures []error
	asking, stopAsking := context.WithCancel(ctx)
	defer stopAsking()
	// The others are asked all together: one after the other, or in groups, what is due in
	// the last ones would wait for the silent ones before them.
	for _, group := range [][]int{{first}, othersThan(first, len(partitions))} {
		answers := make(chan answer, len(group))
		for _, partition := range group {
			go func() { answers <- b.ask(asking, partition) }()
		}
		for range group {
			var a answer
			select {
			case a = <-answers:
			case <-ctx.Done():
				return task{}, context.Cause(ctx)
			}
			t := task{decision: takeNone}
			switch {
			case a.err != nil:
			case a.next.decision == nextIdle:
				t = task{decision: takeIdle, wait: a.next.wait}
			case a.next.decision == nextDue:
				t, a.err = b.takeIn(ctx, partitions[a.partition])
			}
			switch {
			case a.err != nil:
				failures = append(failures, a.err)
			case t.decision == takeIdle:
				if found.decision == takeNone || t.wait < found.wait {
					found = t
				}
			case t.decision != takeNone:
				b.turn.Store(uint32(a.partition))
				return t, nil
			}
		}
	}
	return found, errors.Join(failures...)
}

// othersThan returns the numbers from first+1 on, around to before first.
func othersThan(first, count int) []int {
	var others []int
	for i := 1; i < count; i++ {
		others = append(others, (first+i)%count)
	}
	return others
}

// ask returns what a partition says is due at some moment after the call, or that it did
// not answer for maxLookTime. One answer serves all who wait for it, so that nobody waits
// twice for a server that is silent.
func (b *batches) ask(ctx context.Context, partition int) answer {
	n, err := b.questions.Do(ctx, partition)
	return answer{partition, n, err}
}

// next asks a partition which batch is due first.
func (b *batches) next(ctx context.Context, p redisclient.Partition) (next, error) {
	now := ""
	if ms := b.now(); ms != 0 {
		now = strconv.FormatInt(ms, 10)
	}
	n, err := runRaw(ctx, b, opAggregate, nextScript, []string{dueKey + p.Suffix(), bufferedKey + p.Suffix()}, now)
	if err == nil {
		b.waiting.note(p, n.waiting)
	}
	return n, err
}

func (b *batches) takeIn(ctx context.Context, p redisclient.Partition) (task, error) {
	for range maxLooked {
		n, err := b.next(ctx, p)
		if err != nil {
			return task{}, err
		}
		switch n.decision {
		case nextNone:
			return task{decision: takeNone}, nil
		case nextIdle:
			return task{decision: takeIdle, wait: n.wait}, nil
		}
		t, err := run(ctx, b, opAggregate, takeScript, b.keys(n.ref.scope, n.ref.id), oneCall{b.call(n.ref), n.ref.id})
		if err != nil || t.decision != takeNone {
			return t, err
		}
	}
	return task{decision: takeIdle}, nil // there may be more
}

type reserveCall struct {
	call
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint"`
	Name        string `json:"name"`
	Fence       *int64 `json:"fence,omitempty"`
}

// reserve fixes the name of a flushed member's object. The fence is that of the
// flusher's turn, or nil if a request asks for its own alert. It returns "" if the
// object is not the caller's to make any more.
func (b *batches) reserve(ctx context.Context, ref batchRef, fingerprint, name string, fence *int64) (string, error) {
	r, err := run(ctx, b, opAggregate, reserveScript, b.keys(ref.scope, ref.id), reserveCall{b.call(ref), ref.id, fingerprint, name, fence})
	return r.name, err
}

type postponeCall struct {
	call
	ID    string `json:"id"`
	Fence int64  `json:"fence"`
	First int64  `json:"first"`
	Most  int64  `json:"most"`
}

// postpone gives a batch back that could not be finished. It does nothing if another
// turn on the batch has begun.
func (b *batches) postpone(ctx context.Context, ref batchRef, fence int64, first, most time.Duration) error {
	_, err := run(ctx, b, opAggregate, postponeScript, b.keys(ref.scope, ref.id), postponeCall{b.call(ref), ref.id, fence, first.Milliseconds(), most.Milliseconds()})
	return err
}

// payload returns the signal of a pending member as kept, or "" if the member is not
// pending any more, and the most severe of its repeats while it was buffered, or "" if
// there was none.
func (b *batches) payload(ctx context.Context, ref batchRef, fingerprint string) (first, worst string, err error) {
	values, err := b.client.HMGet(ctx, "alert:storm:payloads:"+b.partitionOf(ref.scope).Prefix()+ref.scope, fingerprint, fingerprint+"+").Result()
	if err != nil {
		return "", "", b.fail(opAggregate, err)
	}
	first, _ = values[0].(string)
	ranked, _ := values[1].(string)
	_, worst, _ = strings.Cut(ranked, "\n")
	return first, worst, nil
}

// run runs a script that takes settings and a call, which is its second argument, as
// JSON; further ones are texts that need not be UTF-8.
func run[R any](ctx context.Context, b *batches, operation string, s script[R], keys []string, call any, texts ...any) (R, error) {
	// Texts and finite numbers, of which calls are made, can always be encoded.
	encoded, _ := json.Marshal(call)
	return runRaw(ctx, b, operation, s, keys, append([]any{b.forScripts, encoded}, texts...)...)
}

// runRaw runs a script. A reply that its reader does not know is an error.
func runRaw[R any](ctx context.Context, b *batches, operation string, s script[R], keys []string, args ...any) (R, error) {
	var none R
	start := time.Now()
	reply, err := s.redis.Run(ctx, b.client, keys, args...).Result()
	b.metrics.RedisOperation(operation, time.Since(start))
	if err != nil {
		return none, b.fail(operation, err)
	}
	f := newFields(reply)
	r := s.readAs(f)
	if err := f.end(); err != nil {
		return none, b.fail(operation, fmt.Errorf("read reply of %s: %w", s.name, err))
	}
	return r, nil
}

func (b *batches) fail(operation string, err error) error {
	b.metrics.RedisOperationFailed(operation)
	return &redisclient.UnavailableError{Op: operation, Err: err}
}
