package storm

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/redisclient"
)

// individualLifetime is how long a request that was told to make an individual
// object may take.
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
	//go:embed scripts/take.lua
	takeSource string
	//go:embed scripts/reserve.lua
	reserveSource string
	//go:embed scripts/postpone.lua
	postponeSource string

	admitScript    = redis.NewScript(sharedSource + admitSource)
	settleScript   = redis.NewScript(sharedSource + settleSource)
	lookScript     = redis.NewScript(sharedSource + lookSource)
	takeScript     = redis.NewScript(sharedSource + takeSource)
	reserveScript  = redis.NewScript(sharedSource + reserveSource)
	postponeScript = redis.NewScript(sharedSource + postponeSource)
)

// batchRef names a batch in Redis.
type batchRef struct{ scope, id string }

func (r batchRef) String() string { return r.scope + ":" + r.id }

func parseRef(text string) batchRef {
	i := strings.LastIndexByte(text, ':')
	return batchRef{text[:max(i, 0)], text[i+1:]}
}

// batch is what a script tells of a batch.
type batch struct {
	// word is why it is told.
	word string
	ref  batchRef
	// kind of storm: rate or pattern.
	kind string
	// opened is when the window was, in ms since 1970.
	opened  int64
	members int
	// name is reserved for the window's object; object is namespace/name of it when
	// it is stored.
	name, object string
	fence        string
	// buffered is how many members the namespace has in buffers.
	buffered int
	// reason says which limit filled the buffer early, or is empty.
	reason string
	// pending are the members that are told, in the order of arrival.
	pending []pendingMember
	// first and filler are the signals of the first member and of the one that filled
	// the buffer, as kept, if told.
	first, filler string
	// waits is how long it is until the next batch is due, if none is now. Negative
	// if there is none.
	waits time.Duration
	// lasted is from the opening of a window that was closed to its last alert.
	lasted time.Duration
}

type pendingMember struct {
	fingerprint string
	arrived     int64
	// name is reserved for an object of its own, or empty.
	name, resource string
}

// batches runs the scripts. Errors are *redisclient.UnavailableError.
type batches struct {
	client   redis.UniversalClient
	metrics  *metrics.Metrics
	settings config.Storm
	grace    time.Duration
	now      func() string
	random   func() float64

	inactivityArg, longestArg, graceArg, turnArg int64
}

func newBatches(o Options) batches {
	grace := min(o.Grace, o.Settings.InactivityTimeout.Std())
	return batches{
		client: o.Redis, metrics: o.Metrics, settings: o.Settings, grace: grace, now: o.now, random: rand.Float64,
		inactivityArg: o.Settings.InactivityTimeout.Std().Milliseconds(), longestArg: o.Settings.MaxWindowDuration.Std().Milliseconds(),
		graceArg: grace.Milliseconds(), turnArg: o.Turn.Milliseconds(),
	}
}

// soonest is the least time in which a batch that is not there yet can become due.
func (b *batches) soonest() time.Duration {
	return min(b.grace, b.settings.InactivityTimeout.Std(), b.settings.MaxWindowDuration.Std())
}

func (b *batches) admit(ctx context.Context, m member, name, finished, kind string) (batch, error) {
	s := b.settings
	return b.describe(ctx, opDetect, admitScript, scopeOf(m.sig),
		m.sig.Fingerprint, m.token, name, m.resource, m.data, m.size, m.base,
		s.RateThreshold, s.PatternThreshold, s.BufferThreshold, limit(s, m.sig.Namespace), s.GlobalMaxSize,
		s.SamplingThreshold, s.SamplingRate, b.random(), maxObjectBytes, finished, kind, individualLifetime.Milliseconds())
}

// settle removes members that an object holds. The object is that of a window, or
// empty.
func (b *batches) settle(ctx context.Context, ref batchRef, object string, fingerprints ...string) error {
	args := make([]any, 0, 2+len(fingerprints))
	args = append(args, ref.id, object)
	for _, fingerprint := range fingerprints {
		args = append(args, fingerprint)
	}
	_, err := b.run(ctx, opAggregate, settleScript, ref.scope, args...)
	return err
}

// look tells a window with all its members.
func (b *batches) look(ctx context.Context, ref batchRef) (batch, error) {
	return b.describe(ctx, opAggregate, lookScript, ref.scope, ref.id)
}

// take returns the batch that is due, or for how long there is none.
func (b *batches) take(ctx context.Context) (batch, error) {
	return b.describe(ctx, opAggregate, takeScript, "", b.turnArg)
}

// reserve fixes the name of a flushed member's object. It returns "" if that is not
// the caller's to make any more.
func (b *batches) reserve(ctx context.Context, ref batchRef, fingerprint, name, fence string) (string, error) {
	reply, err := b.run(ctx, opAggregate, reserveScript, ref.scope, ref.id, fingerprint, name, fence, b.turnArg)
	fixed, _ := reply.(string)
	return fixed, err
}

// postpone gives a batch back that could not be finished.
func (b *batches) postpone(ctx context.Context, ref batchRef, fence string, first, longest time.Duration) error {
	_, err := b.run(ctx, opAggregate, postponeScript, ref.scope, ref.id, fence, first.Milliseconds(), longest.Milliseconds())
	return err
}

// payload returns the signal of a pending member, or nil if it is none any more.
func (b *batches) payload(ctx context.Context, ref batchRef, fingerprint string) (string, error) {
	data, err := b.client.HGet(ctx, "alert:storm:payloads:"+ref.scope, fingerprint).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	if err != nil {
		b.metrics.RedisOperationFailed(opAggregate)
		return "", &redisclient.UnavailableError{Op: opAggregate, Err: err}
	}
	return data, nil
}

func (b *batches) run(ctx context.Context, operation string, script *redis.Script, scope string, args ...any) (any, error) {
	start := time.Now()
	all := make([]any, 0, 5+len(args))
	all = append(all, scope, b.now(), b.inactivityArg, b.longestArg, b.graceArg)
	all = append(all, args...)
	reply, err := script.Run(ctx, b.client, nil, all...).Result()
	b.metrics.RedisOperation(operation, time.Since(start))
	if err != nil {
		b.metrics.RedisOperationFailed(operation)
		return nil, &redisclient.UnavailableError{Op: operation, Err: err}
	}
	return reply, nil
}

func (b *batches) describe(ctx context.Context, operation string, script *redis.Script, scope string, args ...any) (batch, error) {
	reply, err := b.run(ctx, operation, script, scope, args...)
	if err != nil {
		return batch{}, err
	}
	fields, _ := reply.([]any)
	return parseBatch(fields), nil
}

// parseBatch reads what describe of batch.lua returned.
func parseBatch(fields []any) batch {
	text := func(i int) string {
		if i >= len(fields) {
			return ""
		}
		s, _ := fields[i].(string)
		return s
	}
	number := func(i int) int64 {
		if i >= len(fields) {
			return 0
		}
		n, _ := fields[i].(int64)
		return n
	}
	b := batch{word: text(0)}
	switch {
	case b.word == "idle":
		b.waits = time.Duration(number(1)) * time.Millisecond
		return b
	case len(fields) < 14:
		return b
	}
	b.ref, b.kind, b.opened, b.members = parseRef(text(1)), text(3), number(4), int(number(5))
	b.name, b.object, b.reason = text(6), text(7), text(10)
	if b.fence = text(8); b.fence == "" {
		b.fence = strconv.FormatInt(number(8), 10)
	}
	b.buffered = int(number(9))
	b.first, b.filler = text(12), text(13)
	list, _ := fields[11].([]any)
	if b.word == "closed" {
		last, _ := list[0].(int64)
		b.lasted = time.Duration(last-b.opened) * time.Millisecond
		return b
	}
	for ; len(list) >= 3; list = list[3:] {
		b.pending = append(b.pending, parsePending(list))
	}
	slices.SortFunc(b.pending, func(x, y pendingMember) int {
		if x.arrived != y.arrived {
			return int(x.arrived - y.arrived)
		}
		return strings.Compare(x.resource, y.resource)
	})
	return b
}

func parsePending(list []any) pendingMember {
	var m pendingMember
	m.fingerprint, _ = list[0].(string)
	arrived, _ := list[1].(string)
	record, _ := list[2].(string)
	m.arrived, _ = strconv.ParseInt(arrived, 10, 64)
	if lines := strings.SplitN(record, "\n", 4); len(lines) == 4 {
		m.name, m.resource = lines[2], lines[3]
	}
	return m
}

func (b batch) String() string { return fmt.Sprintf("%s %s", b.word, b.ref) }
