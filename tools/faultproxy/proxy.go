// Package faultproxy is a reverse proxy for a Kubernetes API server that injects
// faults: refusals, lost answers, broken and silent connections.
//
// A rule names the requests that meet a fault, how many of them do, and the fault.
// Requests that no rule matches pass unchanged, watches and upgrades included. Each
// request is sent with the client's own credentials, or with the proxy's if it has
// none.
//
// Clients get HTTP/1.1 only. With HTTP/2 all requests of a client share a connection.
// A fault that breaks the connection for one of them would break it for all.
package faultproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"k8s.io/client-go/rest"
)

// maxBody is the size of the largest request, in bytes, that a fault can happen
// to. API servers take about 3 MiB.
const maxBody = 16 << 20

// Proxy is an http.Handler. Serve it with NewServer. Its methods may be called
// concurrently.
type Proxy struct {
	reverse *httputil.ReverseProxy
	logger  *slog.Logger

	mu    sync.Mutex
	rules []*active // in the order in which they were first put
}

// New returns a proxy without rules for the API server of the configuration.
func New(upstream *rest.Config, logger *slog.Logger) (*Proxy, error) {
	target, _, err := rest.DefaultServerUrlFor(upstream)
	if err != nil {
		return nil, fmt.Errorf("address of the API server %q: %w", upstream.Host, err)
	}
	transport, err := newTransport(upstream)
	if err != nil {
		return nil, err
	}
	p := &Proxy{logger: logger}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { rewrite(r, target) },
		Transport:      transport,
		FlushInterval:  -1, // watches
		ModifyResponse: afterwards,
		ErrorHandler:   p.failed,
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	return p, nil
}

func rewrite(r *httputil.ProxyRequest, target *url.URL) {
	r.SetURL(target)
	r.Out.Host = "" // the API server's own
}

// Put adds a rule, or replaces the one with its ID. Requests that the replaced rule
// holds go on, and all counts begin at 0. The error names every problem of the rule.
func (p *Proxy) Put(rule Rule) error {
	if err := rule.Validate(); err != nil {
		return fmt.Errorf("rule %q: %w", rule.ID, err)
	}
	added := &active{state: State{Rule: rule}, released: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := p.index(rule.ID); i >= 0 {
		close(p.rules[i].released)
		p.rules[i] = added
	} else {
		p.rules = append(p.rules, added)
	}
	return nil
}

// Delete removes a rule and returns its last state. Its held requests go on. The bool
// is false if there is no such rule.
func (p *Proxy) Delete(id string) (State, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.index(id)
	if i < 0 {
		return State{}, false
	}
	removed := p.rules[i]
	close(removed.released)
	p.rules = slices.Delete(p.rules, i, i+1)
	return removed.state, true
}

// Get returns a rule's state. The bool is false if there is no such rule.
func (p *Proxy) Get(id string) (State, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := p.index(id); i >= 0 {
		return p.rules[i].state, true
	}
	return State{}, false
}

// List returns all rules' states in the order in which they are tried.
func (p *Proxy) List() []State {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := make([]State, len(p.rules))
	for i, a := range p.rules {
		states[i] = a.state
	}
	return states
}

func (p *Proxy) index(id string) int {
	return slices.IndexFunc(p.rules, func(a *active) bool { return a.state.Rule.ID == id })
}

// take finds the first rule that has a fault for the request.
func (p *Proxy) take(r request) *active {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.rules {
		if a.state.Rule.Match.matches(r) && a.take() {
			return a
		}
	}
	return nil
}

// hold waits until the rule is removed. It reports whether the client still waits.
func (p *Proxy) hold(done <-chan struct{}, a *active) bool {
	count := func(n int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		a.state.Held += n
	}
	count(1)
	defer count(-1)
	select {
	case <-a.released:
		return true
	case <-done:
		return false
	}
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := p.take(parse(r))
	if a == nil {
		p.reverse.ServeHTTP(w, r)
		return
	}
	// The whole body is read first. Before that, the server does not notice a client
	// that goes away, and a client that still writes would lose an early answer.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		p.logger.Warn("read the request that a fault is for", "rule", a.state.Rule.ID, "error", err)
		panic(http.ErrAbortHandler)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	p.inject(w, r, a)
}

func (p *Proxy) inject(w http.ResponseWriter, r *http.Request, a *active) {
	fault := a.state.Rule.Fault // rules in force don't change
	done := r.Context().Done()
	if !sleep(done, fault.Delay.Duration) {
		panic(http.ErrAbortHandler)
	}
	if fault.Kind == Delay || fault.Kind == Hold && !fault.Forward {
		if fault.Kind == Hold && !p.hold(done, a) {
			panic(http.ErrAbortHandler)
		}
		p.reverse.ServeHTTP(w, r)
		return
	}
	if fault.Forward {
		// The request reaches the API server. The fault happens to its answer.
		p.reverse.ServeHTTP(w, r.WithContext(withAfter(r.Context(), after{
			hold:    func() bool { return fault.Kind != Hold || p.hold(done, a) },
			replace: func() { p.refuse(w, &a.state.Rule) },
			lose:    fault.Kind != Hold,
		})))
		return
	}
	p.refuse(w, &a.state.Rule)
}

// refuse answers in the API server's place, or ends the connection.
func (p *Proxy) refuse(w http.ResponseWriter, rule *Rule) {
	switch rule.Fault.Kind {
	case Status:
		body, err := json.Marshal(rule.answer())
		if err != nil {
			p.logger.Error("encode answer", "rule", rule.ID, "error", err)
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		if seconds := rule.Fault.RetryAfterSeconds; seconds != nil {
			w.Header().Set("Retry-After", strconv.Itoa(*seconds))
		}
		w.WriteHeader(rule.Fault.Code)
		_, _ = w.Write(body) // a client that has gone needs no answer
	case Reset:
		p.reset(w)
	default:
		panic(http.ErrAbortHandler)
	}
}

// reset ends the connection with a TCP reset.
func (p *Proxy) reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.logger.Error("reset connection", "error", err)
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = wrapped.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		_ = tcp.Close() // before TLS can send its close_notify
	}
}

// failed is called when the API server gives no answer, and when a rule keeps the
// answer from the client.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	if lost, ok := errors.AsType[*lostError](err); ok {
		lost.replace()
		return
	}
	if r.Context().Err() == nil {
		p.logger.Warn("forward", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	// The client sees a broken connection, as it would without the proxy.
	panic(http.ErrAbortHandler)
}
