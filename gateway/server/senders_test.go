package server

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stormgate.internal/gateway/authentication"
	"stormgate.internal/gateway/metrics"
)

// gatekeeper decides by the text of Authorization. What begins with "ask" needs a
// question.
type gatekeeper struct {
	asked   atomic.Int64
	proceed chan struct{} // if not nil, questions are answered once it is closed
}

func (g *gatekeeper) decide(r *http.Request) authentication.Decision {
	d := authentication.Decision{Method: authentication.Token}
	switch text := strings.TrimPrefix(r.Header.Get("Authorization"), "ask "); text {
	case "":
		d.Outcome, d.Method, d.Reason = metrics.Unauthenticated, authentication.None, "the request has no bearer token"
	case "bad":
		d.Outcome, d.Reason = metrics.Unauthenticated, "the token is bad"
	case "no role":
		d.Outcome, d.Reason, d.Identity = metrics.Forbidden, "user must not", authentication.Identity{Names: []string{"mallory"}}
	default:
		d.Outcome, d.Identity = metrics.Admitted, authentication.Identity{Names: []string{text}, Groups: []string{text + "s"}}
	}
	return d
}

// Known implements Authenticator.
func (g *gatekeeper) Known(r *http.Request) (authentication.Decision, bool) {
	if strings.HasPrefix(r.Header.Get("Authorization"), "ask ") {
		return authentication.Decision{}, false
	}
	return g.decide(r), true
}

// Review implements Authenticator.
func (g *gatekeeper) Review(r *http.Request, budget authentication.Budget) (authentication.Decision, error) {
	end, wait := budget.Begin()
	if wait > 0 {
		return authentication.Decision{}, &authentication.BudgetError{Wait: wait}
	}
	g.asked.Add(1)
	if g.proceed != nil {
		<-g.proceed
	}
	if r.Header.Get("Authorization") == "ask nobody" {
		end(false)
		return authentication.Decision{}, errors.New("connection refused")
	}
	d := g.decide(r)
	end(d.Outcome != metrics.Admitted)
	return d, nil
}

func TestSendersAreAuthenticated(t *testing.T) {
	var log bytes.Buffer
	s, m := newServer(t, func(o *Options) {
		o.Authenticator, o.Logger = &gatekeeper{}, slog.New(slog.NewTextHandler(&log, nil))
	})
	for _, c := range []struct {
		authorization string
		code          int
		kind, title   string
		header, value string
	}{
		{"", 401, "unauthorized", "Unauthorized", "WWW-Authenticate", "Bearer"},
		{"bad", 401, "unauthorized", "Unauthorized", "WWW-Authenticate", "Bearer"},
		{"ask bad", 401, "unauthorized", "Unauthorized", "WWW-Authenticate", "Bearer"},
		{"no role", 403, "forbidden", "Forbidden", "", ""},
		{"ask no role", 403, "forbidden", "Forbidden", "", ""},
		// AlertManager sends again what is answered so, and never what is with 4xx.
		{"ask nobody", 503, "service-unavailable", "Service Unavailable", "Retry-After", "30"},
		{"sender", 201, "", "", "", ""},
		{"ask sender", 201, "", "", "", ""},
	} {
		for _, path := range []string{route, eventRoute} {
			body := named("New")
			if path == eventRoute {
				body = fullEvent("Warning", "New")
			}
			r := do(s, "POST", path, body, "Authorization", c.authorization, "X-Request-ID", "mine")
			if r.Code != c.code || r.Header().Get(c.header) != c.value {
				t.Errorf("%q, %s: %d, %s %q", c.authorization, path, r.Code, c.header, r.Header().Get(c.header))
			}
			if p := decode(t, r); c.kind != "" && (p["type"] != problemPrefix+c.kind || p["title"] != c.title || p["instance"] != path || p["request_id"] != "mine" || p["detail"] == "") {
				t.Errorf("%q, %s: problem %v", c.authorization, path, p)
			}
		}
	}
	if diff := cmp.Diff(map[string]float64{
		`{method="none",outcome="unauthenticated"}`: 2, `{method="token",outcome="unauthenticated"}`: 4, `{method="token",outcome="forbidden"}`: 4,
		`{method="token",outcome="undecided"}`: 2, `{method="token",outcome="admitted"}`: 4,
	}, counted(t, m, "gateway_authentications_total")); diff != "" {
		t.Errorf("authentications (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{
		`{reason="unauthenticated"}`: 6, `{reason="forbidden"}`: 4, `{reason="undecided"}`: 2,
	}, counted(t, m, "gateway_requests_rejected_total")); diff != "" {
		t.Errorf("rejected (-want +got):\n%s", diff)
	}
	for _, want := range []string{"source_ip=192.0.2.1", "sender=mallory", `reason="the token is bad"`, "connection refused"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
}

// Probes have no credentials, and scrapes need some only if that is wanted.
func TestOtherRoutesAreOpen(t *testing.T) {
	for _, c := range []struct {
		protected []string
		closed    string
	}{
		{nil, ""},
		{[]string{"/metrics"}, "/metrics"},
		{[]string{"/health", "/healthz", "/ready", "/metrics"}, "/health /healthz /ready /metrics"},
	} {
		s, _ := newServer(t, func(o *Options) { o.Authenticator, o.Protected = &gatekeeper{}, c.protected })
		for _, path := range []string{"/health", "/healthz", "/ready", "/metrics"} {
			want := 200
			for closed := range strings.FieldsSeq(c.closed) {
				if closed == path {
					want = 401
				}
			}
			if r := do(s, "GET", path, ""); r.Code != want {
				t.Errorf("protected %q: %s is %d", c.protected, path, r.Code)
			}
			if r := do(s, "GET", path, "", "Authorization", "sender"); r.Code != 200 {
				t.Errorf("protected %q: %s is %d for a sender", c.protected, path, r.Code)
			}
		}
	}
}

// Nothing of a request is looked at before its sender, and the rate limit is not used
// up by strangers.
func TestAuthenticationComesFirst(t *testing.T) {
	s, _ := newServer(t, func(o *Options) { o.Authenticator, o.RequestsPerMinute, o.Burst = &gatekeeper{}, 60, 1 })
	s.now = func() time.Time { return seen }
	for range 3 {
		if r := do(s, "POST", route, "{", "Content-Type", "text/plain", "X-Timestamp", "1"); r.Code != 401 {
			t.Errorf("stranger: %d", r.Code)
		}
	}
	if r := do(s, "POST", route, named("New"), "Authorization", "sender"); r.Code != 201 {
		t.Errorf("sender: %d", r.Code)
	}
	if r := do(s, "POST", route, named("New"), "Authorization", "sender"); r.Code != 503 {
		t.Errorf("sender over its limit: %d", r.Code)
	}
}

// However many bad tokens an address sends, it makes few questions to the API server,
// and others, and senders that are known, don't suffer for it.
func TestBadTokensAreLimited(t *testing.T) {
	g := &gatekeeper{}
	s, m := newServer(t, func(o *Options) { o.Authenticator = g })
	now := seen
	s.now = func() time.Time { return now }
	for i := range badTokenBurst + 10 {
		r := do(s, "POST", route, named("New"), "Authorization", "ask bad")
		want := 401
		if i >= badTokenBurst {
			want = 503
		}
		if r.Code != want || want == 503 && r.Header().Get("Retry-After") != "3" {
			t.Fatalf("request %d: %d %v", i, r.Code, r.Header())
		}
	}
	if n := g.asked.Load(); n != badTokenBurst {
		t.Errorf("%d questions", n)
	}
	if got := counted(t, m, "gateway_authentications_total")[`{method="token",outcome="undecided"}`]; got != 10 {
		t.Errorf("%v undecided", got)
	}
	if r := do(s, "POST", route, named("New"), "Authorization", "sender"); r.Code != 201 {
		t.Errorf("known sender: %d", r.Code)
	}
	now = now.Add(badTokenEvery)
	for range 5 { // good tokens use nothing up
		if r := do(s, "POST", route, named("New"), "Authorization", "ask sender"); r.Code != 201 {
			t.Errorf("good token: %d", r.Code)
		}
	}
}

// Bad tokens that come all at once are no more questions than those that come one after
// the other, and questions that were answered well are none of them.
func TestBadTokensAtOnceAreLimited(t *testing.T) {
	for authorization, want := range map[string]map[int]int{
		"ask bad":    {401: badTokenBurst, 503: 80},
		"ask sender": {201: badTokenBurst, 503: 80},
		"ask nobody": {503: badTokenBurst + 80},
	} {
		g := &gatekeeper{proceed: make(chan struct{})}
		s, _ := newServer(t, func(o *Options) { o.Authenticator = g })
		s.now = func() time.Time { return seen }
		var answered atomic.Int64
		var all sync.WaitGroup
		codes := make(chan int, badTokenBurst+80)
		for range badTokenBurst + 80 {
			all.Go(func() {
				codes <- do(s, "POST", route, named("New"), "Authorization", authorization).Code
				answered.Add(1)
			})
		}
		// Those that are refused are so while the others wait for their answers.
		for g.asked.Load()+answered.Load() < badTokenBurst+80 {
			time.Sleep(time.Millisecond)
		}
		close(g.proceed)
		all.Wait()
		close(codes)
		got := make(map[int]int)
		for code := range codes {
			got[code]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", authorization, diff)
		}
		if n := g.asked.Load(); n != badTokenBurst {
			t.Errorf("%s: %d questions", authorization, n)
		}
		wantAfter := 503
		if authorization == "ask sender" {
			wantAfter = 201
		}
		if r := do(s, "POST", route, named("New"), "Authorization", authorization); r.Code != wantAfter {
			t.Errorf("%s afterwards: %d", authorization, r.Code)
		}
	}
}
