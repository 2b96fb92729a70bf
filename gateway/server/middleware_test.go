package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"

	"stormgate.internal/gateway/logging"
	"stormgate.internal/gateway/metrics"
)

// A request that is wrong in every way is refused by the outermost layer; with
// that put right, by the next; and so on in the contract's order.
func TestLayersInOrder(t *testing.T) {
	s, _ := newServer(t, func(o *Options) { o.RequestsPerMinute, o.Burst, o.MaxBodyBytes = 60, 1, 1000 })
	now := seen
	s.now = func() time.Time { return now }
	do(s, "POST", route, named("New")) // takes the only token
	headers := map[string]string{"X-Timestamp": "1", "Content-Type": "text/plain"}
	body := strings.Repeat(" ", 1001)
	for _, step := range []struct {
		putRight func()
		code     int
		kind     string
	}{
		{func() {}, 503, "service-unavailable"},
		{func() { now = now.Add(time.Second) }, 400, "validation-error"},
		{func() { now = now.Add(time.Second); headers["X-Timestamp"] = "" }, 415, "unsupported-media-type"},
		{func() { now = now.Add(time.Second); headers["Content-Type"] = "" }, 413, "payload-too-large"},
		{func() { now = now.Add(time.Second); body = "{" }, 400, "validation-error"},
		{func() { now = now.Add(time.Second); body = named("New") }, 201, ""},
	} {
		step.putRight()
		r := do(s, "POST", route, body, "X-Timestamp", headers["X-Timestamp"], "Content-Type", headers["Content-Type"])
		kind, _ := decode(t, r)["type"].(string)
		if r.Code != step.code || strings.TrimPrefix(kind, problemPrefix) != step.kind {
			t.Errorf("%d %s, want %d %s", r.Code, r.Body, step.code, step.kind)
		}
	}
}

// probe is a reply that notes how many layers a request has passed when it is first
// seen to be counted, by what they have done to the reply. It looks whenever a layer
// is about to do that.
type probe struct {
	*httptest.ResponseRecorder
	look func() (events []string)
	at   map[string]string
}

func (p *probe) Header() http.Header {
	header := p.ResponseRecorder.Header()
	for _, event := range p.look() {
		if _, seen := p.at[event]; !seen {
			p.at[event] = fmt.Sprintf("id %t, security %t", header.Get("X-Request-ID") != "", header.Get("X-Frame-Options") != "")
		}
	}
	return header
}

// The outer layers refuse nothing. Ids and real addresses are there when a request
// is counted and logged, security headers are not yet, but are when the rate limit
// looks; and the duration covers all of that.
func TestOuterLayersInOrder(t *testing.T) {
	var log bytes.Buffer
	s, m := newServer(t, func(o *Options) {
		o.Logger = logging.New(&log, nil)
		o.RequestsPerMinute, o.Burst = 1, 1
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	})
	at := map[string]string{}
	look := func() (events []string) {
		if counted(t, m, "gateway_http_requests_in_flight")[""] == 1 {
			events = append(events, "started")
		}
		for client := range counted(t, m, "gateway_rate_limit_exceeded_total") {
			events = append(events, "limited "+client)
		}
		return events
	}
	for range 2 {
		request := httptest.NewRequest("POST", route, strings.NewReader(named("New")))
		request.Header.Set("X-Real-IP", "10.1.1.1")
		request.Header.Set("X-Request-ID", "mine")
		s.Handler().ServeHTTP(&probe{httptest.NewRecorder(), look, at}, request)
	}
	want := map[string]string{"started": "id true, security false", `limited {source_ip="10.1.1.1"}`: "id true, security true"}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Errorf("layers passed (-want +got):\n%s", diff)
	}
	ended := map[string]float64{endpoint("POST " + route + " 201"): 1, endpoint("POST " + route + " 503"): 1}
	if diff := cmp.Diff(ended, counted(t, m, "gateway_http_requests_total")); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"request_id": "mine", "source_ip": "10.1.1.1", "method": "POST", "endpoint": route, "status": 503.0} {
		if line[name] != want {
			t.Errorf("logged %s = %v, want %v", name, line[name], want)
		}
	}
}

// What is logged about a signal can be joined to its request.
func TestFailuresAreLoggedWithTheRequest(t *testing.T) {
	for _, name := range []string{"NoKubernetes", "NoRedis", "Panic"} {
		var log bytes.Buffer
		s, _ := newServer(t, func(o *Options) { o.Logger = logging.New(&log, nil) })
		do(s, "POST", route, named(name), "X-Request-ID", "mine")
		var failure map[string]any
		if err := json.NewDecoder(&log).Decode(&failure); err != nil {
			t.Fatal(err)
		}
		if failure["level"] != "ERROR" || failure["request_id"] != "mine" {
			t.Errorf("%s: logged %v", name, failure)
		}
		if text := fmt.Sprint(failure); strings.Contains(text, "hunter2") {
			t.Errorf("%s: the log has the secret: %s", name, text)
		}
	}
}

func TestContentTypesAccepted(t *testing.T) {
	s, _ := newServer(t, nil)
	for _, contentType := range []string{"", "application/json", "Application/JSON; charset=utf-8", `application/json; v="1"; x=y`} {
		if r := do(s, "POST", route, named("New"), "Content-Type", contentType); r.Code != 201 {
			t.Errorf("%q: %d", contentType, r.Code)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	for limit, o := range map[int]Options{4 << 20: {}, 1000: {MaxBodyBytes: 1000}} {
		s, m := newServer(t, func(all *Options) { all.MaxBodyBytes = o.MaxBodyBytes })
		body := named("New")
		exact := body + strings.Repeat(" ", limit-len(body))
		for name, c := range map[string]struct {
			body   io.Reader
			packed bool
			code   int
		}{
			"exact":                           {strings.NewReader(exact), false, 201},
			"exact, chunked":                  {io.MultiReader(strings.NewReader(exact)), false, 201},
			"exact, packed":                   {packed(exact), true, 201},
			"one byte more":                   {strings.NewReader(exact + " "), false, 413},
			"one byte more, chunked":          {io.MultiReader(strings.NewReader(exact), strings.NewReader(" ")), false, 413},
			"one byte more, packed":           {packed(exact + " "), true, 413},
			"one byte more, packed in chunks": {io.MultiReader(packed(exact + " ")), true, 413},
		} {
			request := httptest.NewRequest("POST", route, c.body)
			if c.packed {
				request.Header.Set("Content-Encoding", "gzip")
			}
			r := httptest.NewRecorder()
			s.Handler().ServeHTTP(r, request)
			if r.Code != c.code {
				t.Errorf("limit %d, %s: %d %.200s", limit, name, r.Code, r.Body)
			}
		}
		if diff := cmp.Diff(map[string]float64{`{reason="too_large"}`: 4}, counted(t, m, "gateway_requests_rejected_total")); diff != "" {
			t.Errorf("limit %d: rejected (-want +got):\n%s", limit, diff)
		}
	}
}

// packed returns the body as gzip.
func packed(body string) *bytes.Reader {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(body)) // to memory
	_ = w.Close()
	return bytes.NewReader(b.Bytes())
}

func TestContentEncoding(t *testing.T) {
	s, m := newServer(t, nil)
	for encoding, want := range map[string]int{"": 201, "identity": 201, "gzip": 201, "X-GZIP": 201, "identity, gzip": 201, "gzip, gzip": 415, "br": 415, "deflate": 415, "gzip, br": 415} {
		body := strings.NewReader(named("New"))
		var all io.Reader = body
		if strings.Contains(strings.ToLower(encoding), "gzip") {
			all = packed(named("New"))
		}
		request := httptest.NewRequest("POST", route, all)
		request.Header.Set("Content-Encoding", encoding)
		r := httptest.NewRecorder()
		s.Handler().ServeHTTP(r, request)
		if r.Code != want || want == 415 && r.Header().Get("Accept-Encoding") != "gzip" {
			t.Errorf("%q: %d %s", encoding, r.Code, r.Body)
		}
	}
	for name, body := range map[string]string{"plain": named("New"), "nothing": "", "half": string(halfPacked(t))} {
		if r := do(s, "POST", route, body, "Content-Encoding", "gzip"); r.Code != 400 {
			t.Errorf("%s, said to be packed: %d %s", name, r.Code, r.Body)
		}
	}
	if got := counted(t, m, "gateway_requests_rejected_total")[`{reason="content_encoding"}`]; got != 4 {
		t.Errorf("%v refused for their encoding", got)
	}
}

func halfPacked(t *testing.T) []byte {
	t.Helper()
	all, err := io.ReadAll(packed(named("New")))
	if err != nil {
		t.Fatal(err)
	}
	return all[:len(all)/2]
}

// Whatever is said to be packed, it is unpacked within the limit, or refused.
func FuzzContentEncoding(f *testing.F) {
	all, _ := io.ReadAll(packed(named("New")))
	f.Add("gzip", all)
	f.Add("gzip, identity", []byte("{"))
	f.Add("br", all[:9])
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		s, _ := newServer(t, func(o *Options) { o.MaxBodyBytes = 1000 })
		request := httptest.NewRequest("POST", route, bytes.NewReader(body))
		request.Header.Set("Content-Encoding", encoding)
		r := httptest.NewRecorder()
		s.Handler().ServeHTTP(r, request)
		switch r.Code {
		case 200, 201, 202, 400, 413, 415, 500, 503: // what became of a signal, too
		default:
			t.Fatalf("%q, %q: %d", encoding, body, r.Code)
		}
	})
}

// Large bodies at once wait for each other, and are refused for now if that takes long.
func TestMemoryForBodiesIsBounded(t *testing.T) {
	s, m := newServer(t, func(o *Options) { o.MaxBodyBytes, o.MaxPendingBytes = 1000, 1000 })
	leave, err := s.enter(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	go func() { answered <- do(s, "POST", route, named("New")).Code }()
	select {
	case code := <-answered:
		t.Fatalf("there is no room: %d", code)
	case <-time.After(50 * time.Millisecond):
	}
	leave()
	if code := <-answered; code != 201 {
		t.Errorf("once there is room: %d", code)
	}
	if _, err := s.enter(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request := httptest.NewRequest("POST", route, strings.NewReader(named("New"))).WithContext(ctx)
	r := httptest.NewRecorder()
	s.Handler().ServeHTTP(r, request)
	if r.Code != 503 || r.Header().Get("Retry-After") == "" || counted(t, m, "gateway_requests_rejected_total")[`{reason="memory"}`] != 1 {
		t.Errorf("%d %v", r.Code, r.Header())
	}
}

func TestRequestID(t *testing.T) {
	s, _ := newServer(t, nil)
	if got := do(s, "GET", "/health", "", "X-Request-ID", "mine").Header().Get("X-Request-ID"); got != "mine" {
		t.Errorf("id %q", got)
	}
	for _, unfit := range []string{"", "with space", strings.Repeat("x", maxRequestID+1), "ä"} {
		if got := do(s, "GET", "/health", "", "X-Request-ID", unfit).Header().Get("X-Request-ID"); len(got) != 36 {
			t.Errorf("in place of %q: %q", unfit, got)
		}
	}
}

func TestSecurityHeadersAreEverywhere(t *testing.T) {
	s, _ := newServer(t, nil)
	for _, path := range []string{"/health", "/nowhere", "/metrics", route} {
		r := do(s, "GET", path, "")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "X-XSS-Protection": "1; mode=block",
			"Strict-Transport-Security": "max-age=31536000; includeSubDomains", "Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer",
		} {
			if got := r.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

func TestTimestamp(t *testing.T) {
	s, _ := newServer(t, nil)
	s.now = func() time.Time { return seen }
	at := func(offset time.Duration) string { return strconv.FormatInt(seen.Add(offset).Unix(), 10) }
	for text, want := range map[string]int{
		"": 201, at(0): 201, at(-5 * time.Minute): 201, at(2 * time.Minute): 201,
		at(-5*time.Minute - time.Second): 400, at(2*time.Minute + time.Second): 400, "-1": 400, "now": 400, "1.5": 400,
	} {
		if r := do(s, "POST", route, named("New"), "X-Timestamp", text); r.Code != want {
			t.Errorf("X-Timestamp %q: %d, want %d", text, r.Code, want)
		}
	}
	if r := do(s, "GET", "/health", "", "X-Timestamp", "now"); r.Code != 200 {
		t.Errorf("other routes: %d", r.Code)
	}
}

func TestRateLimit(t *testing.T) {
	s, m := newServer(t, func(o *Options) {
		o.RequestsPerMinute, o.Burst = 60, 2
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		o.Unlimited = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}
	})
	now := seen
	s.now = func() time.Time { return now }
	send := func(client string) *httptest.ResponseRecorder {
		return do(s, "POST", route, named("New"), "X-Forwarded-For", client)
	}
	for i, want := range []int{201, 201, 503, 503} {
		r := send("10.1.1.1")
		if r.Code != want {
			t.Fatalf("request %d: %d", i, r.Code)
		}
		// AlertManager would never send again what is answered with 429.
		if want == 503 && (r.Header().Get("Retry-After") != "1" || decode(t, r)["type"] != "https://kubernaut.io/errors/service-unavailable") {
			t.Errorf("refusal %v %s", r.Header(), r.Body)
		}
	}
	if r := do(s, "POST", eventRoute, fullEvent("Warning", "New"), "X-Forwarded-For", "10.1.1.1"); r.Code != 503 {
		t.Errorf("the other signal route: %d", r.Code)
	}
	if r := send("10.1.1.2"); r.Code != 201 {
		t.Errorf("another client: %d", r.Code)
	}
	for range 5 {
		for _, client := range []string{"10.9.1.1", "::ffff:10.9.1.2", "2001:db8::7"} {
			if r := send(client); r.Code != 201 {
				t.Errorf("a client without a limit: %d", r.Code)
			}
		}
	}
	now = now.Add(time.Second)
	if r := send("10.1.1.1"); r.Code != 201 {
		t.Errorf("a second later: %d", r.Code)
	}
	if r := do(s, "GET", "/health", "", "X-Forwarded-For", "10.1.1.1"); r.Code != 200 {
		t.Errorf("other routes: %d", r.Code)
	}
	if diff := cmp.Diff(map[string]float64{`{source_ip="10.1.1.1"}`: 3}, counted(t, m, "gateway_rate_limit_exceeded_total")); diff != "" {
		t.Errorf("limited (-want +got):\n%s", diff)
	}
}

// Senders on the lists have no limit, wherever they send from.
func TestUnlimitedSenders(t *testing.T) {
	s, m := newServer(t, func(o *Options) {
		o.Authenticator, o.RequestsPerMinute, o.Burst = &gatekeeper{}, 60, 1
		o.UnlimitedUsers, o.UnlimitedGroups = []string{"alice"}, []string{"bobs"}
	})
	s.now = func() time.Time { return seen }
	for _, c := range []struct {
		sender string
		codes  []int
	}{
		{"carol", []int{201, 503, 503}},
		{"alice", []int{201, 201, 201}},
		{"bob", []int{201, 201, 201}},
		{"bobs", []int{503}}, // a user by the name of a group
		{"carol", []int{503}},
	} {
		for i, want := range c.codes {
			if r := do(s, "POST", route, named("New"), "Authorization", c.sender); r.Code != want {
				t.Errorf("%s, request %d: %d, want %d", c.sender, i, r.Code, want)
			}
		}
	}
	if got := counted(t, m, "gateway_rate_limit_exceeded_total"); got[`{source_ip="192.0.2.1"}`] != 4 {
		t.Errorf("limited %v", got)
	}
}

func TestRateLimitForgetsClients(t *testing.T) {
	l := &limiter{every: time.Second, burst: 1, buckets: make(map[string]*rate.Limiter)}
	for i := range 10 {
		l.take(fmt.Sprint(i), seen)
	}
	l.take("later", seen.Add(2*time.Minute))
	if len(l.buckets) != 1 {
		t.Errorf("%d clients remembered", len(l.buckets))
	}
}

// Only the word of trusted proxies counts, and of X-Forwarded-For only what they have
// added.
func TestRealIP(t *testing.T) {
	var got string
	s, _ := newServer(t, func(o *Options) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")}
	})
	handler := s.realIP(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = clientIP(r) }))
	for _, c := range []struct {
		peer    string
		headers []string
		want    string
	}{
		{"192.0.2.1:1", nil, "192.0.2.1"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "10.0.0.9"}, "10.0.0.9"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "10.0.0.3, 10.0.0.9"}, "10.0.0.9"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "10.0.0.3, 10.0.0.9, 192.0.2.7"}, "10.0.0.9"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "192.0.2.9,192.0.2.7"}, "192.0.2.9"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "10.0.0.2, 10.0.0.3", "X-Real-IP", "10.0.0.3"}, "10.0.0.3"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "10.0.0.3", "X-Real-IP", "::ffff:10.0.0.3", "True-Client-IP", "10.0.0.3"}, "10.0.0.3"},
		{"192.0.2.1:1", []string{"True-Client-IP", "::7"}, "::7"},
		// A proxy that writes one of them leaves the others as its client has made them up.
		{"192.0.2.1:1", []string{"X-Forwarded-For", "10.0.0.3", "X-Real-IP", "10.0.0.2"}, "192.0.2.1"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "10.0.0.3", "True-Client-IP", "10.0.0.2"}, "192.0.2.1"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "10.0.0.3", "X-Real-IP", "10.0.0.3", "True-Client-IP", "::7"}, "192.0.2.1"},
		{"192.0.2.1:1", []string{"X-Real-IP", "10.0.0.3", "True-Client-IP", "10.0.0.2"}, "192.0.2.1"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "not an address", "X-Real-IP", "10.0.0.3"}, "192.0.2.1"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "not an address"}, "192.0.2.1"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "10.0.0.3, not an address"}, "192.0.2.1"},
		{"192.0.2.1:1", []string{"X-Forwarded-For", "not an address, 10.0.0.3"}, "10.0.0.3"},
		{"192.0.2.1:1", []string{"X-Real-IP", "not an address", "X-Forwarded-For", "10.0.0.3"}, "192.0.2.1"},
		{"192.0.2.1:1", []string{"X-Real-IP", "2001:DB8:0:0::1"}, "2001:db8::1"},
		{"192.0.2.1:1", []string{"X-Real-IP", "::ffff:10.0.0.1"}, "10.0.0.1"},
		{"[::1]:1", []string{"X-Real-IP", "10.0.0.1"}, "10.0.0.1"},
		{"[::ffff:192.0.2.1]:1", []string{"X-Real-IP", "10.0.0.1"}, "10.0.0.1"},
		{"198.51.100.1:1", []string{"X-Forwarded-For", "10.0.0.3", "X-Real-IP", "10.0.0.2", "True-Client-IP", "::7"}, "198.51.100.1"},
	} {
		request := httptest.NewRequest("GET", "/", nil)
		request.RemoteAddr = c.peer
		for i := 0; i < len(c.headers); i += 2 {
			request.Header.Set(c.headers[i], c.headers[i+1])
		}
		handler.ServeHTTP(httptest.NewRecorder(), request)
		if got != c.want {
			t.Errorf("%s, %v: %s, want %s", c.peer, c.headers, got, c.want)
		}
	}
}

// By default no word counts.
func TestForwardedForIsNotTrusted(t *testing.T) {
	s, _ := newServer(t, func(o *Options) { o.RequestsPerMinute, o.Burst = 60, 1 })
	s.now = func() time.Time { return seen }
	do(s, "POST", route, named("New"))
	if r := do(s, "POST", route, named("New"), "X-Forwarded-For", "10.0.0.77", "X-Real-IP", "10.0.0.78"); r.Code != 503 {
		t.Errorf("with a made-up address: %d", r.Code)
	}
}

func FuzzForwardedFor(f *testing.F) {
	f.Add("10.0.0.3, 192.0.2.7", "", "")
	f.Add(" , ,::1%eth0", "x", "y")
	s := New(Options{Metrics: metrics.New(), Logger: slog.New(slog.DiscardHandler), TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	f.Fuzz(func(t *testing.T, forwarded, real, client string) {
		if address, ok := s.forwardedFor(http.Header{"X-Forwarded-For": {forwarded}, "X-Real-Ip": {real}, "True-Client-Ip": {client}}); ok != address.IsValid() {
			t.Fatalf("%v, %t", address, ok)
		}
	})
}

// Senders choose the address that counts as theirs; however many they make up, the
// memory they take is bounded, and comes back.
func TestRateLimitIsBounded(t *testing.T) {
	l := &limiter{every: time.Second, burst: 1, buckets: make(map[string]*rate.Limiter)}
	refused := 0
	for i := range maxClients + 100 {
		if l.take(fmt.Sprint(i), seen) > 0 {
			refused++
		}
	}
	if n := len(l.buckets); n > maxClients+1 {
		t.Errorf("%d clients remembered", n)
	}
	if refused != 99 {
		t.Errorf("%d of the 100 clients too many were refused, want all but the first", refused)
	}
	if wait := l.take("new", seen.Add(2*time.Second)); wait > 0 || len(l.buckets) != 1 {
		t.Errorf("once all could send again: a new one must wait for %s, %d are remembered", wait, len(l.buckets))
	}
}

func TestRetryAfterCoversTheWait(t *testing.T) {
	s, _ := newServer(t, func(o *Options) { o.RequestsPerMinute, o.Burst = 25, 1 }) // one in 2.4 s
	now := seen
	s.now = func() time.Time { return now }
	do(s, "POST", route, named("New"))
	r := do(s, "POST", route, named("New"))
	if r.Code != 503 || r.Header().Get("Retry-After") != "3" {
		t.Errorf("%d, Retry-After %s", r.Code, r.Header().Get("Retry-After"))
	}
	now = now.Add(3 * time.Second)
	if r := do(s, "POST", route, named("New")); r.Code != 201 {
		t.Errorf("after that time: %d", r.Code)
	}
}
