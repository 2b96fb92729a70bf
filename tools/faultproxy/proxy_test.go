package faultproxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const things = "/apis/example.io/v1/namespaces/a/things"

// setup is an API server of the test's own, which speaks HTTP/2 as real ones do,
// a proxy before it and a client of that.
type setup struct {
	*Proxy
	url    string
	client *http.Client
	// reached counts the requests that reached the API server.
	reached atomic.Int64
}

func newSetup(t *testing.T, api http.HandlerFunc) *setup {
	t.Helper()
	s := &setup{}
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.reached.Add(1)
		api(w, r)
	}))
	upstream.EnableHTTP2 = true
	upstream.StartTLS()
	t.Cleanup(upstream.Close)
	proxy, err := New(&rest.Config{
		Host: upstream.URL, BearerToken: "proxy", TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(proxy, slog.New(slog.DiscardHandler))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	s.Proxy, s.url = proxy, "http://"+listener.Addr().String()
	// A request on a connection that was used before is repeated by the client
	// when the connection ends.
	s.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return s
}

// echo answers with what arrived.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("X-Authorization", r.Header.Get("Authorization"))
	w.Header().Set("X-Target", r.Method+" "+r.URL.String())
	_, _ = w.Write(body)
}

func (s *setup) put(t *testing.T, rule Rule) {
	t.Helper()
	if err := s.Put(rule); err != nil {
		t.Fatal(err)
	}
}

func (s *setup) post(t *testing.T, body string) (*http.Response, string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+things, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return s.do(t, request)
}

func (s *setup) do(t *testing.T, request *http.Request) (*http.Response, string, error) {
	t.Helper()
	response, err := s.client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	return response, string(body), nil
}

// until waits for what another goroutine brings about.
func until(t *testing.T, what string, reached func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !reached() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRequestsPassUnchangedWithoutRules(t *testing.T) {
	s := newSetup(t, echo)
	big := strings.Repeat("0123456789abcdef", 1<<17) // 2 MiB
	for _, token := range []string{"", "Bearer client"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+things+"?fieldManager=a%20b", strings.NewReader(big))
		if err != nil {
			t.Fatal(err)
		}
		want := "Bearer proxy"
		if token != "" {
			request.Header.Set("Authorization", token)
			want = token
		}
		response, body, err := s.do(t, request)
		if err != nil {
			t.Fatal(err)
		}
		if body != big {
			t.Errorf("body of %d bytes came back with %d", len(big), len(body))
		}
		if got := response.Header.Get("X-Authorization"); got != want {
			t.Errorf("API server saw credentials %q, want %q", got, want)
		}
		if got, want := response.Header.Get("X-Target"), "POST "+things+"?fieldManager=a%20b"; got != want {
			t.Errorf("API server saw %q, want %q", got, want)
		}
	}
}

// A watch is of use only if each event passes when it happens.
func TestWatchesAreNotBuffered(t *testing.T) {
	next := make(chan string)
	s := newSetup(t, func(w http.ResponseWriter, r *http.Request) {
		for event := range next {
			fmt.Fprintln(w, event)
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
		}
	})
	// An event is sent only after the last one arrived.
	t.Cleanup(func() { close(next) })
	go func() { next <- "event 0" }()
	response, err := s.client.Get(s.url + things + "?watch=true")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for i := range 3 {
		if i > 0 {
			next <- fmt.Sprint("event ", i)
		}
		if !lines.Scan() || lines.Text() != fmt.Sprint("event ", i) {
			t.Fatalf("line %d is %q (%v)", i, lines.Text(), lines.Err())
		}
	}
}

// exec and port-forward upgrade the connection, which HTTP/2 can't.
func TestUpgradesPass(t *testing.T) {
	s := newSetup(t, func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		line, err := buffered.ReadString('\n')
		if err == nil {
			fmt.Fprintf(conn, "echo %s", line)
		}
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+things, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "SPDY/3.1")
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer is %s", response.Status)
	}
	stream := response.Body.(io.ReadWriter)
	fmt.Fprintln(stream, "hello")
	if line, err := bufio.NewReader(stream).ReadString('\n'); line != "echo hello\n" {
		t.Errorf("upgraded connection said %q, %v", line, err)
	}
}

func TestStatusAnswersAsTheAPIServerDoes(t *testing.T) {
	seconds := 7
	cases := []struct {
		name  string
		fault Fault
		want  metav1.Status
		retry string
	}{
		{"429", Fault{Code: 429}, metav1.Status{Code: 429, Reason: metav1.StatusReasonTooManyRequests}, ""},
		{"429 with Retry-After", Fault{Code: 429, RetryAfterSeconds: &seconds}, metav1.Status{Code: 429, Reason: metav1.StatusReasonTooManyRequests, Details: &metav1.StatusDetails{RetryAfterSeconds: 7}}, "7"},
		{"503", Fault{Code: 503}, metav1.Status{Code: 503, Reason: metav1.StatusReasonServiceUnavailable}, ""},
		{"403", Fault{Code: 403}, metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden}, ""},
		{"409", Fault{Code: 409}, metav1.Status{Code: 409, Reason: metav1.StatusReasonConflict}, ""},
		{"409 of a name that is taken", Fault{Code: 409, Reason: metav1.StatusReasonAlreadyExists}, metav1.Status{Code: 409, Reason: metav1.StatusReasonAlreadyExists}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t, echo)
			c.fault.Kind, c.fault.Message = Status, "on purpose"
			s.put(t, Rule{ID: "r", Match: Match{Namespace: "a"}, Fault: c.fault})
			response, body, err := s.post(t, "{}")
			if err != nil {
				t.Fatal(err)
			}
			var got metav1.Status
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			c.want.Kind, c.want.APIVersion, c.want.Status, c.want.Message = "Status", "v1", "Failure", "on purpose"
			wanted, err := json.Marshal(c.want)
			if err != nil {
				t.Fatal(err)
			}
			if body != string(wanted) {
				t.Errorf("answer is %s\nwant %s", body, wanted)
			}
			if response.StatusCode != c.fault.Code || response.Header.Get("Content-Type") != "application/json" {
				t.Errorf("answer is %s of %s", response.Status, response.Header.Get("Content-Type"))
			}
			if got := response.Header.Get("Retry-After"); got != c.retry {
				t.Errorf("Retry-After is %q, want %q", got, c.retry)
			}
			if s.reached.Load() != 0 {
				t.Error("the request reached the API server")
			}
		})
	}
}

func TestBrokenConnections(t *testing.T) {
	cases := []struct {
		name  string
		fault Fault
		// reached is how many requests reach the API server.
		reached int64
		want    error
	}{
		{"closed before", Fault{Kind: Close}, 0, io.EOF},
		{"closed after", Fault{Kind: Close, Forward: true}, 1, io.EOF},
		{"reset before", Fault{Kind: Reset}, 0, syscall.ECONNRESET},
		{"reset after", Fault{Kind: Reset, Forward: true}, 1, syscall.ECONNRESET},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t, echo)
			s.put(t, Rule{ID: "r", Match: Match{Namespace: "a"}, Count: 1, Fault: c.fault})
			if response, _, err := s.post(t, "{}"); !errors.Is(err, c.want) {
				t.Errorf("answer is %v, %v, want %v", response, err, c.want)
			}
			if got := s.reached.Load(); got != c.reached {
				t.Errorf("%d requests reached the API server, want %d", got, c.reached)
			}
			if _, _, err := s.post(t, "{}"); err != nil {
				t.Errorf("the rule is used up and the next request fails: %v", err)
			}
		})
	}
}

// Under TLS a connection that ends without a good-bye is reset all the same.
func TestFaultsUnderTLS(t *testing.T) {
	s := newSetup(t, echo)
	server := httptest.NewUnstartedServer(s.Proxy)
	server.Config = NewServer(s.Proxy, slog.New(slog.DiscardHandler))
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	s.put(t, Rule{ID: "r", Match: Match{Namespace: "a"}, Count: 1, Fault: Fault{Kind: Reset}})
	if response, err := client.Post(server.URL+things, "application/json", strings.NewReader("{}")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("answer is %v, %v, want a reset", response, err)
	}
	response, err := client.Post(server.URL+things, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 1 {
		t.Errorf("answer is %s %s, want 200 in HTTP/1.1", response.Proto, response.Status)
	}
}

// An answer can be replaced after the change was made, as by a gateway that
// times out.
func TestStatusAfterForwarding(t *testing.T) {
	s := newSetup(t, echo)
	s.put(t, Rule{ID: "r", Match: Match{Namespace: "a"}, Fault: Fault{Kind: Status, Code: 504, Forward: true}})
	response, body, err := s.post(t, "the request")
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 504 || strings.Contains(body, "the request") || response.Header.Get("X-Target") != "" {
		t.Errorf("answer is %s: %s", response.Status, body)
	}
	if s.reached.Load() != 1 {
		t.Error("the request did not reach the API server")
	}
}

func TestHeldRequestsGoOnWhenTheRuleIsRemoved(t *testing.T) {
	for _, forward := range []bool{false, true} {
		t.Run(fmt.Sprintf("forward=%t", forward), func(t *testing.T) {
			s := newSetup(t, echo)
			s.put(t, Rule{ID: "r", Match: Match{Namespace: "a"}, Fault: Fault{Kind: Hold, Forward: forward}})
			answered := make(chan string, 1)
			go func() {
				_, body, err := s.post(t, "held")
				if err != nil {
					body = err.Error()
				}
				answered <- body
			}()
			until(t, "the request is held", func() bool {
				state, _ := s.Get("r")
				return state.Held == 1
			})
			want := int64(0)
			if forward {
				want = 1
			}
			if got := s.reached.Load(); got != want {
				t.Errorf("%d requests reached the API server, want %d", got, want)
			}
			select {
			case body := <-answered:
				t.Fatalf("a held request was answered: %s", body)
			default:
			}
			if state, ok := s.Delete("r"); !ok || state.Hits != 1 {
				t.Errorf("Delete = %+v, %t", state, ok)
			}
			if body := <-answered; body != "held" {
				t.Errorf("answer is %q", body)
			}
		})
	}
}

// A request whose sender gave up must not take effect later.
func TestHeldRequestEndsWithItsSender(t *testing.T) {
	s := newSetup(t, echo)
	s.put(t, Rule{ID: "r", Match: Match{Namespace: "a"}, Fault: Fault{Kind: Hold}})
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+things, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.client.Do(request)
		ended <- err
	}()
	held := func(n int) func() bool {
		return func() bool {
			state, _ := s.Get("r")
			return state.Held == n
		}
	}
	until(t, "the request is held", held(1))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("request ended with %v", err)
	}
	until(t, "the request is dropped", held(0))
	s.Delete("r")
	if got := s.reached.Load(); got != 0 {
		t.Errorf("%d requests reached the API server", got)
	}
}

func TestDelay(t *testing.T) {
	s := newSetup(t, echo)
	const delay = 50 * time.Millisecond
	s.put(t, Rule{ID: "r", Match: Match{Namespace: "a"}, Fault: Fault{Kind: Delay, Delay: metav1.Duration{Duration: delay}}})
	start := time.Now()
	if _, body, err := s.post(t, "late"); err != nil || body != "late" {
		t.Errorf("answer is %q, %v", body, err)
	}
	if took := time.Since(start); took < delay {
		t.Errorf("answered after %s", took)
	}
}

// Rules of tests that run at the same time must not meet, and each request
// spends only one rule.
func TestFirstRuleThatIsNotUsedUpDecides(t *testing.T) {
	s := newSetup(t, echo)
	s.put(t, Rule{ID: "other", Match: Match{Namespace: "b"}, Fault: Fault{Kind: Status, Code: 500}})
	s.put(t, Rule{ID: "second", Match: Match{Namespace: "a"}, Skip: 1, Count: 2, Fault: Fault{Kind: Status, Code: 503}})
	s.put(t, Rule{ID: "last", Match: Match{Namespace: "a"}, Skip: 2, Fault: Fault{Kind: Status, Code: 409}})
	var codes []int
	for range 6 {
		response, _, err := s.post(t, "{}")
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, response.StatusCode)
	}
	// The first passes both (Skip), two are second's, the next last skips, too.
	if got, want := fmt.Sprint(codes), "[200 503 503 200 409 409]"; got != want {
		t.Errorf("codes are %s, want %s", got, want)
	}
	var states []string
	for _, state := range s.List() {
		states = append(states, fmt.Sprintf("%s %d/%d", state.Rule.ID, state.Hits, state.Matched))
	}
	if got, want := fmt.Sprint(states), "[other 0/0 second 2/3 last 2/4]"; got != want {
		t.Errorf("states are %s, want %s", got, want)
	}
	// Put anew, a rule counts anew and keeps its place.
	s.put(t, Rule{ID: "second", Match: Match{Namespace: "a"}, Count: 1, Fault: Fault{Kind: Status, Code: 502}})
	if response, _, err := s.post(t, "{}"); err != nil || response.StatusCode != 502 {
		t.Errorf("answer is %v, %v", response, err)
	}
}

func TestUnreachableAPIServerIsABrokenConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	proxy, err := New(&rest.Config{Host: "http://" + listener.Addr().String()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(proxy)
	defer server.Close()
	response, err := http.Get(server.URL + "/version")
	if !errors.Is(err, io.EOF) {
		t.Errorf("answer is %v, %v", response, err)
	}
}

func TestControl(t *testing.T) {
	s := newSetup(t, echo)
	control := httptest.NewServer(s.Control())
	defer control.Close()
	client := &Client{URL: control.URL}
	ctx := t.Context()
	rule := Rule{ID: "slow down", Match: Match{Namespace: "a", Verbs: []string{"create"}}, Count: 1, Fault: Fault{Kind: Status, Code: 429}}
	if err := client.Put(ctx, rule); err != nil {
		t.Fatal(err)
	}
	if response, _, err := s.post(t, "{}"); err != nil || response.StatusCode != 429 {
		t.Errorf("answer is %v, %v", response, err)
	}
	if state, err := client.Get(ctx, rule.ID); err != nil || state.Hits != 1 || state.Rule.Fault.Code != 429 {
		t.Errorf("Get = %+v, %v", state, err)
	}
	if state, err := client.Delete(ctx, rule.ID); err != nil || state.Hits != 1 {
		t.Errorf("Delete = %+v, %v", state, err)
	}
	for name, f := range map[string]func(context.Context, string) (State, error){"Get": client.Get, "Delete": client.Delete} {
		if _, err := f(ctx, rule.ID); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("%s of a rule that is gone = %v", name, err)
		}
	}
	if err := client.Put(ctx, Rule{ID: "wide", Fault: Fault{Kind: Close}}); err == nil || !strings.Contains(err.Error(), "namespace") {
		t.Errorf("Put of a rule without scope = %v", err)
	}
	for _, body := range []string{
		`{"match":{"namespace":"a"},"fault":{"kind":"close"},"counts":1}`,
		`{"id":"other","match":{"namespace":"a"},"fault":{"kind":"close"}}`,
		`{"match":`,
	} {
		request, err := http.NewRequestWithContext(ctx, http.MethodPut, control.URL+"/rules/r", bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		response, _, err := s.do(t, request)
		if err != nil || response.StatusCode != http.StatusBadRequest {
			t.Errorf("PUT of %s = %v, %v", body, response, err)
		}
	}
	if states := s.List(); len(states) != 0 {
		t.Errorf("rules are left: %+v", states)
	}
}
