package storm

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/redistest"
)

// readers are the readers of all scripts' replies.
var readers = map[string]func(*fields){
	"admit":    func(f *fields) { readAdmission(f) },
	"take":     func(f *fields) { readTask(f) },
	"next":     func(f *fields) { readNext(f) },
	"look":     func(f *fields) { readLook(f) },
	"reserve":  func(f *fields) { readReservation(f) },
	"settle":   func(f *fields) { readSettlement(f) },
	"postpone": func(f *fields) { readPostponement(f) },
}

// about returns a reply about a batch.
func about(decision string, more ...any) []any {
	return append([]any{"decision", decision, "batch", "shop:A:1-2", "kind", "rate", "opened", int64(0), "members", int64(2),
		"name", "", "object", ""}, more...)
}

var aMember = []any{"fingerprint", "f", "arrived", int64(1_700_000_000_123), "name", "", "resource", "shop:Pod:\xff"}

func TestRepliesAreRead(t *testing.T) {
	f := newFields(about("opened", "buffered", int64(3), "overflow", "global", "pending", []any{aMember}, "first", "signal\x00\xff", "severest", "worst"))
	got := readAdmission(f)
	if err := f.end(); err != nil {
		t.Fatal(err)
	}
	want := pendingMember{fingerprint: "f", arrived: 1_700_000_000_123, resource: "shop:Pod:\xff"}
	if got.decision != admitOpened || got.ref != (batchRef{"shop:A", "1-2"}) || got.kind != "rate" || got.members != 2 || got.buffered != 3 ||
		got.overflow != overflowGlobal || !slices.Equal(got.contents.pending, []pendingMember{want}) || got.contents.first != "signal\x00\xff" {
		t.Errorf("admission %+v", got)
	}
	f = newFields(about("closed", "lasted", int64(1500)))
	if got := readTask(f); f.end() != nil || got.decision != takeClosed || got.lasted != 1500*time.Millisecond {
		t.Errorf("task %+v, %v", got, f.end())
	}
}

// What a reader does not know is an error and never taken for something else: an
// unknown decision would otherwise answer an alert that nothing holds.
func TestUnknownRepliesAreErrors(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		reply  any
		want   string
	}{
		"no list":             {"admit", "added", "is a string, not a list"},
		"nothing":             {"take", nil, "not a list"},
		"empty list":          {"look", []any{}, "has no decision"},
		"name without value":  {"settle", []any{"decision"}, "without a value"},
		"no decision":         {"reserve", []any{"name", "x"}, "has no decision"},
		"unknown admission":   {"admit", about("adopted", "buffered", int64(0)), `decision is "adopted"`},
		"unknown task":        {"take", about("wait"), `decision is "wait"`},
		"unknown look":        {"look", about("lost"), `decision is "lost"`},
		"unknown reservation": {"reserve", []any{"decision", ""}, `decision is ""`},
		"unknown settlement":  {"settle", []any{"decision", "OK"}, `decision is "OK"`},
		"other's decision":    {"postpone", []any{"decision", "settled"}, `decision is "settled"`},
		"decision of no text": {"postpone", []any{"decision", int64(1)}, "decision is a int64"},
		"unknown kind":        {"admit", slices.Replace(about("added", "buffered", int64(0)), 5, 6, any("flood")), `kind is "flood"`},
		"unknown overflow":    {"admit", about("opened", "buffered", int64(1), "overflow", "moon", "pending", []any{}, "first", "", "severest", ""), `overflow is "moon"`},
		"field is missing":    {"admit", about("added"), "has no buffered"},
		"field is new":        {"admit", about("added", "buffered", int64(1), "mood", "good"), "only"},
		"field twice":         {"settle", []any{"decision", "gone", "decision", "settled"}, "only"},
		"negative number":     {"next", []any{"decision", "idle", "wait", int64(-1), "waiting", int64(0)}, "wait is negative"},
		"number as text":      {"next", []any{"decision", "idle", "wait", "1", "waiting", int64(0)}, "wait is a string"},
		"unknown next":        {"next", []any{"decision", "later", "waiting", int64(0)}, `decision is "later"`},
		"id of no text":       {"admit", []any{"decision", "keys", "ids", []any{int64(1)}}, "not only texts"},
		"batch without id":    {"admit", slices.Replace(about("added", "buffered", int64(0)), 3, 4, any("shop:")), "batch is no scope and id"},
		"member is no list":   {"take", about("flush", "fence", int64(1), "pending", []any{"f"}), "read member"},
		"member lacks field":  {"take", about("flush", "fence", int64(1), "pending", []any{aMember[:6]}), "has no resource"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFields(c.reply)
			readers[c.script](f)
			if err := f.end(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// decided gives every script's reply another decision.
type decided struct{ decision string }

func (decided) DialHook(next redis.DialHook) redis.DialHook { return next }
func (d decided) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if reply, ok := cmd.(*redis.Cmd); ok && err == nil {
			if list, ok := reply.Val().([]any); ok {
				reply.SetVal(append([]any{"decision", d.decision}, list[2:]...))
			}
		}
		return err
	}
}
func (decided) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// An alert about which the script decides in an unknown word is refused. The sender
// tries again.
func TestUnknownDecisionRefusesTheAlert(t *testing.T) {
	client := redistest.Start(t).Client()
	defer client.Close()
	client.AddHook(decided{"adopted"})
	s := New(Options{Redis: client, Settings: config.Default().Processing.Storm, Metrics: metrics.New(), Logger: slog.New(slog.DiscardHandler)})
	verdict, err := s.Handle(t.Context(), testSignal("A", "shop", "pod"), "rr", dedup.Guard{})
	var unavailable *redisclient.UnavailableError
	if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "admit.lua") || !strings.Contains(err.Error(), `"adopted"`) {
		t.Errorf("verdict %+v, error %v", verdict, err)
	}
	if wait, err := s.step(t.Context()); !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "next.lua") {
		t.Errorf("flusher waits %s, error %v", wait, err)
	}
}

// Arguments are JSON and texts, replies are lists. Neither may change the bytes that
// senders choose, nor the last digit of a time.
func TestScriptsKeepBytesAndNumbers(t *testing.T) {
	client := redistest.Start(t).Client()
	defer client.Close()
	const now = 1_700_000_000_123
	b := newBatches(Options{
		Redis: client, Metrics: metrics.New(), Grace: time.Second, Turn: time.Second, now: func() int64 { return now },
		Settings: config.Storm{
			BufferThreshold: 2, InactivityTimeout: config.Duration(time.Minute), MaxWindowDuration: config.Duration(time.Hour),
			DefaultMaxSize: 10, GlobalMaxSize: 10, SamplingThreshold: 1, SamplingRate: 1,
		},
	})
	var every []byte
	for c := range 256 {
		every = append(every, byte(c))
	}
	var last admission
	resources := map[string]bool{}
	for _, pod := range []string{"\xff\x00<&>\u2028\"", "ordinary"} {
		sig := testSignal("A", "shop", pod)
		sig.Payload = every
		resources[sig.Resource.ID()] = true
		var err error
		if last, err = b.admit(t.Context(), newMember(sig), "name", dedup.Guard{}, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	if last.decision != admitOpened || last.opened != now || len(last.contents.pending) != 2 {
		t.Fatalf("admission %+v", last)
	}
	for _, m := range last.contents.pending {
		if m.arrived != now || !resources[m.resource] {
			t.Errorf("member %+v", m)
		}
	}
	if sig, err := decode(last.contents.first); err != nil || !slices.Equal(sig.Payload, every) {
		t.Errorf("signal of the first member: %+v, %v", sig, err)
	}
	// Without fingerprints there is no JSON null, which Lua takes for true.
	if err := b.settle(t.Context(), last.ref, "shop/name"); err != nil {
		t.Error(err)
	}
	if found, err := b.look(t.Context(), last.ref); err != nil || found.object != "shop/name" || len(found.contents.pending) != 2 {
		t.Errorf("window %+v, %v", found, err)
	}
	if gone, err := b.look(t.Context(), batchRef{"shop:A", "0-0"}); err != nil || gone.decision != lookGone {
		t.Errorf("batch that is not there: %+v, %v", gone, err)
	}
}

// A reply that a reader can't read gives an error and nothing worse. One that it can
// read has a known decision.
func FuzzReply(f *testing.F) {
	for _, reply := range []any{
		about("opened", "buffered", 3, "overflow", "", "pending", []any{aMember}, "first", "s", "severest", ""),
		[]any{"decision", "keys", "ids", []any{"1-2"}},
		about("added", "buffered", 3), about("flush", "fence", 1, "pending", []any{aMember}),
		about("window", "fence", 1, "pending", []any{}, "first", "", "filler", "", "severest", ""), about("closed", "lasted", 9),
		[]any{"decision", "idle", "wait", 5}, []any{"decision", "fixed", "name", "x"}, []any{"decision", "none"}, "OK", nil,
	} {
		data, err := json.Marshal(reply)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var value any
		if json.Unmarshal(data, &value) != nil {
			return
		}
		reply := asReply(value)
		a := newFields(reply)
		if got := readAdmission(a); a.end() == nil {
			known := slices.Contains([]admitDecision{admitNone, admitBuffered, admitOpened, admitAdded, admitAgain, admitFlush, admitKeys}, got.decision)
			if !known || got.decision != admitNone && got.decision != admitKeys && (got.ref.id == "" || got.members < 0 || got.buffered < 0) {
				t.Errorf("admission %+v", got)
			}
		}
		k := newFields(reply)
		if got := readTask(k); k.end() == nil {
			known := slices.Contains([]takeDecision{takeNone, takeIdle, takeFlush, takeWindow, takeClosed}, got.decision)
			if !known || got.wait < 0 || got.lasted < 0 {
				t.Errorf("task %+v", got)
			}
		}
		for _, read := range readers {
			r := newFields(reply)
			read(r)
			_ = r.end()
		}
	})
}

// asReply returns JSON as Redis would reply it: with whole numbers.
func asReply(value any) any {
	switch v := value.(type) {
	case float64:
		return int64(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = asReply(v[i])
		}
		return list
	}
	return value
}
