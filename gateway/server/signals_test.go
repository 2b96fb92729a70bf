package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stormgate.internal/gateway/pipeline"
	"stormgate.internal/gateway/signal"
)

// workers handles signals, and notes how many bytes of payload they have at most at once.
type workers struct {
	mu             sync.Mutex
	bytes, most, n int
	hold           func()
}

// Process implements Processor.
func (w *workers) Process(_ context.Context, sig *signal.Signal) (pipeline.Outcome, error) {
	w.mu.Lock()
	w.n++
	w.bytes += len(sig.Payload)
	w.most = max(w.most, w.bytes)
	w.mu.Unlock()
	w.hold()
	w.mu.Lock()
	w.bytes -= len(sig.Payload)
	w.mu.Unlock()
	return pipeline.Outcome{}, nil
}

// Each alert of a request has all that they have in common. However many there are of
// them, only so many are made at once, and all have their turn.
func TestMemoryForSignalsIsBounded(t *testing.T) {
	const alerts, common, pending = 500, 20_000, 1 << 20
	var names []string
	for i := range alerts {
		names = append(names, fmt.Sprintf(`{"labels":{"alertname":"A%d"}}`, i))
	}
	body := fmt.Sprintf(`{"x":%q,"alerts":[%s]}`, strings.Repeat("x", common), strings.Join(names, ","))
	w := &workers{hold: func() { time.Sleep(time.Millisecond) }} // so that as many as may are there
	s, _ := newServer(t, func(o *Options) { o.Processor, o.MaxBodyBytes, o.MaxPendingBytes = w, pending, pending })
	if r := do(s, "POST", route, body); r.Code != 200 || w.n != alerts {
		t.Errorf("%d, %d signals handled", r.Code, w.n)
	}
	if at := pending / (signalBytes + common*signalCopies) * (common + len(names[0])); w.most > at || w.most < common {
		t.Errorf("%d bytes of signals at once, at most %d are allowed", w.most, at)
	}
	// All is given back.
	for name, memory := range map[string]interface{ TryAcquire(int64) bool }{"room": s.room, "parsing": s.parsing, "making": s.making} {
		if !memory.TryAcquire(pending) {
			t.Errorf("%s is not given back", name)
		}
	}
}

// Promise: while Redis is silent, all that is sent waits for it. Many small signals of
// several requests wait with no more of them in memory than there is room for.
func TestSmallSignalsAreBounded(t *testing.T) {
	const alerts, room = 500, 100
	goOn := make(chan struct{})
	var waiting atomic.Int32
	w := &workers{hold: func() { waiting.Add(1); <-goOn }}
	s, _ := newServer(t, func(o *Options) { o.Processor, o.MaxBodyBytes, o.MaxPendingBytes = w, 1<<20, room*signalBytes })
	before := runtime.NumGoroutine()
	var requests sync.WaitGroup
	for range 3 {
		requests.Go(func() {
			var names []string
			for i := range alerts {
				names = append(names, fmt.Sprintf(`{"labels":{"alertname":"A%d"}}`, i))
			}
			if r := do(s, "POST", route, `{"alerts":[`+strings.Join(names, ",")+`]}`); r.Code != 200 {
				t.Errorf("%d", r.Code)
			}
		})
	}
	// As many as there is room for are there, and three more are about to come.
	for deadline := time.Now().Add(10 * time.Second); waiting.Load() < room*9/10 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	if n, goroutines := int(waiting.Load()), runtime.NumGoroutine()-before; n > room || n < room*8/10 || goroutines > room+10 {
		t.Errorf("%d signals wait in %d goroutines, there is room for %d", n, goroutines, room)
	}
	close(goOn)
	requests.Wait()
	if w.n != 3*alerts {
		t.Errorf("%d signals handled, want %d", w.n, 3*alerts)
	}
}

// Promise: room for less than one signal holds one at a time. It refuses none for ever.
func TestRoomForLessThanOneSignal(t *testing.T) {
	var underWay atomic.Int32
	w := &workers{hold: func() {
		if n := underWay.Add(1); n > 1 {
			t.Errorf("%d signals at once", n)
		}
		underWay.Add(-1)
	}}
	s, _ := newServer(t, func(o *Options) { o.Processor, o.MaxBodyBytes, o.MaxPendingBytes = w, 200, 200 })
	if r := do(s, "POST", route, `{"alerts":[{"labels":{"alertname":"A"}},{"labels":{"alertname":"B"}},{"labels":{"alertname":"C"}}]}`); r.Code != 200 || w.n != 3 {
		t.Errorf("%d, %d signals handled", r.Code, w.n)
	}
}

// What has no turn in time is refused for now.
func TestNoMemoryInTime(t *testing.T) {
	for name, take := range map[string]func(*Server){
		"to parse a body":    func(s *Server) { s.parsing.TryAcquire(1000) },
		"to make its signal": func(s *Server) { s.making.TryAcquire(1000) },
	} {
		s, m := newServer(t, func(o *Options) {
			o.MaxBodyBytes, o.MaxPendingBytes, o.WriteTimeout = 1000, 1000, 50*time.Millisecond
		})
		take(s)
		r := do(s, "POST", route, named("New"))
		if r.Code != 503 || r.Header().Get("Retry-After") == "" || counted(t, m, "gateway_requests_rejected_total")[`{reason="memory"}`] != 1 {
			t.Errorf("no memory %s: %d %v", name, r.Code, r.Header())
		}
	}
}

// A signal that panics gives back what it had.
func TestPanicGivesMemoryBack(t *testing.T) {
	s, _ := newServer(t, func(o *Options) { o.MaxBodyBytes, o.MaxPendingBytes = 1000, 1000 })
	do(s, "POST", route, named("Panic", "New"))
	if !s.making.TryAcquire(1000) || !s.parsing.TryAcquire(1000) || !s.room.TryAcquire(1000) {
		t.Error("memory is not given back")
	}
}

// An alert can be a single byte, and takes hundreds of them once it is answered. A request
// of nothing else is too large, as its metric and alert rule say.
func TestTooManyAlerts(t *testing.T) {
	s, m := newServer(t, func(o *Options) { o.Adapters = []Adapter{signal.Prometheus{MaxAlerts: 3}} })
	for alerts, want := range map[int]int{3: 400, 4: 413} {
		r := do(s, "POST", route, `{"alerts":[0`+strings.Repeat(",0", alerts-1)+`]}`)
		if r.Code != want {
			t.Errorf("%d alerts: %d", alerts, r.Code)
		}
		if p := decode(t, r); want == 413 && (p["type"] != problemPrefix+"payload-too-large" || p["results"] != nil || !strings.Contains(p["detail"].(string), "4 alerts")) {
			t.Errorf("problem %v", p)
		}
	}
	if got := counted(t, m, "gateway_requests_rejected_total"); got[`{reason="too_large"}`] != 1 {
		t.Errorf("rejected %v", got)
	}
}

// One request can't fill the log: what is wrong with each of its alerts is in the reply.
func TestInvalidSignalsAreLoggedInPart(t *testing.T) {
	var log bytes.Buffer
	s, m := newServer(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	const bad = maxInvalidLogged + 5
	r := do(s, "POST", route, `{"alerts":[`+strings.Repeat("0,", bad)+strings.TrimPrefix(named("New"), `{"alerts":[`))
	if r.Code != 201 {
		t.Fatalf("%d: %s", r.Code, r.Body)
	}
	lines := []int{strings.Count(log.String(), "is not valid"), strings.Count(log.String(), "signals=5")}
	if diff := cmp.Diff([]int{maxInvalidLogged, 1}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s\n%s", diff, log.String())
	}
	results, _ := decode(t, r)["results"].([]any)
	if got := counted(t, m, "gateway_signals_invalid_total")[`{reason="malformed_alert"}`]; got != bad || len(results) != bad+1 {
		t.Errorf("%v counted, %d results", got, len(results))
	}
}

// slowBody takes its time.
type slowBody struct {
	text  *strings.Reader
	after time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.after)
	b.after = 0
	return b.text.Read(p)
}

// The time to answer counts from the beginning of a request, as the connection's does:
// what a slow body has used up is not there for its signals.
func TestTimeCountsFromTheBeginning(t *testing.T) {
	const limit = 400 * time.Millisecond
	var left time.Duration
	s, _ := newServer(t, func(o *Options) {
		o.WriteTimeout = limit
		o.Processor = deadlines(func(at time.Time) { left = time.Until(at) })
	})
	r := httptest.NewRecorder()
	s.Handler().ServeHTTP(r, httptest.NewRequest("POST", route, &slowBody{strings.NewReader(named("New")), limit / 2}))
	if r.Code != 200 || left > limit/2 {
		t.Errorf("%d; after half of %s there are %s left", r.Code, limit, left)
	}
}

// deadlines gets those of signals.
type deadlines func(time.Time)

// Process implements Processor.
func (d deadlines) Process(ctx context.Context, _ *signal.Signal) (pipeline.Outcome, error) {
	at, ok := ctx.Deadline()
	if !ok {
		panic("there is none")
	}
	d(at)
	return pipeline.Outcome{}, nil
}
