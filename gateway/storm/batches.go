package storm

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/redisclient"
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
	//go:embed scripts/take.lua
	takeSource string
	//go:embed scripts/reserve.lua
	reserveSource string
	//go:embed scripts/postpone.lua
	postponeSource string

	admitScript    = newScript("admit.lua", admitSource, readAdmission)
	settleScript   = newScript("settle.lua", settleSource, readSettlement)
	lookScript     = newScript("look.lua", lookSource, readLook)
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
	client   redis.UniversalClient
	metrics  *metrics.Metrics
	settings config.Storm
	grace    time.Duration
	now      func() int64 // in ms since 1970; 0 for Redis' clock
	random   func() float64
	// forScripts are the settings as scripts take them.
	forScripts []byte
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
	return batches{
		client: o.Redis, metrics: o.Metrics, settings: s, grace: grace, now: o.now, random: rand.Float64, forScripts: forScripts,
	}
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
	Scope string `json:"scope"`
	Now   int64  `json:"now,omitempty"`
}

func (b *batches) call(scope string) call { return call{scope, b.now()} }

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
}

// admit takes an alert through detection and into a batch, see admit.lua. Finished is
// the id of a window whose object is known to be finished, or empty. Kind is the kind
// of storm, or empty if that is to be detected.
func (b *batches) admit(ctx context.Context, m member, name, finished, kind string) (admission, error) {
	return run(ctx, b, opDetect, admitScript, admitCall{
		call: b.call(scopeOf(m.sig)), Fingerprint: m.sig.Fingerprint, Token: m.token, Name: name, Size: m.size, Base: m.base,
		Limit: limit(b.settings, m.sig.Namespace), Random: b.random(), Finished: finished, Kind: kind,
	}, m.resource, m.data)
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
	_, err := run(ctx, b, opAggregate, settleScript, settleCall{b.call(ref.scope), ref.id, object, fingerprints})
	return err
}

type lookCall struct {
	call
	ID string `json:"id"`
}

// look reads a window with all its members.
func (b *batches) look(ctx context.Context, ref batchRef) (look, error) {
	return run(ctx, b, opAggregate, lookScript, lookCall{b.call(ref.scope), ref.id})
}

// take begins a turn on the batch that is due, if there is one.
func (b *batches) take(ctx context.Context) (task, error) {
	return run(ctx, b, opAggregate, takeScript, b.call(""))
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
	r, err := run(ctx, b, opAggregate, reserveScript, reserveCall{b.call(ref.scope), ref.id, fingerprint, name, fence})
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
	_, err := run(ctx, b, opAggregate, postponeScript, postponeCall{b.call(ref.scope), ref.id, fence, first.Milliseconds(), most.Milliseconds()})
	return err
}

// payload returns the signal of a pending member as kept, or "" if the member is not
// pending any more.
func (b *batches) payload(ctx context.Context, ref batchRef, fingerprint string) (string, error) {
	data, err := b.client.HGet(ctx, "alert:storm:payloads:"+ref.scope, fingerprint).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", b.fail(opAggregate, err)
	}
	return data, nil
}

// run runs a script. The call is its second argument, as JSON; further ones are texts
// that need not be UTF-8. A reply that the script's reader does not know is an error.
func run[R any](ctx context.Context, b *batches, operation string, s script[R], call any, texts ...any) (R, error) {
	var none R
	start := time.Now()
	// Texts and finite numbers, of which calls are made, can always be encoded.
	encoded, _ := json.Marshal(call)
	reply, err := s.redis.Run(ctx, b.client, nil, append([]any{b.forScripts, encoded}, texts...)...).Result()
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
