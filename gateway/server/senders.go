package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"stormgate.internal/gateway/authentication"
	"stormgate.internal/gateway/metrics"
)

// Authenticator says who has sent a request, and whether it may. It is an interface,
// since tests of answers need each decision, without a Kubernetes API.
type Authenticator interface {
	// Known decides without a question to the Kubernetes API, or reports that it can't.
	Known(*http.Request) (d authentication.Decision, ok bool)
	// Review decides by questions to the Kubernetes API, of which the budget has so many.
	// An error means that it did not answer, or is a *authentication.BudgetError.
	Review(*http.Request, authentication.Budget) (authentication.Decision, error)
}

// An address may send a burst of so many bad tokens, and then one each badTokenEvery,
// before no more questions are asked about further ones. Each costs the Kubernetes API a
// review.
const (
	badTokenBurst = 20
	badTokenEvery = 3 * time.Second
)

// badTokens count what addresses cost the Kubernetes API by bad tokens. Questions under
// way count as bad ones until they are answered: else as many could be asked as come at
// once.
type badTokens struct {
	limiter limiter
	now     func() time.Time

	mu    sync.Mutex
	asked map[string]int // questions under way, by address
}

func newBadTokens(now func() time.Time) *badTokens {
	return &badTokens{
		limiter: limiter{every: badTokenEvery, burst: badTokenBurst, buckets: make(map[string]*rate.Limiter)},
		now:     now, asked: make(map[string]int),
	}
}

// budget is that of one address. It implements authentication.Budget.
type budget struct {
	bad    *badTokens
	client string
}

// Begin implements authentication.Budget.
func (b budget) Begin() (end func(bad bool), wait time.Duration) {
	t := b.bad
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait := t.limiter.wait(b.client, t.now(), t.asked[b.client]); wait > 0 {
		return nil, wait
	}
	t.asked[b.client]++
	return func(bad bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.asked[b.client]--; t.asked[b.client] == 0 {
			delete(t.asked, b.client)
		}
		if bad {
			t.limiter.take(b.client, t.now())
		}
	}, 0
}

type identityKey struct{}

// identityOf returns who has sent the request. It is empty if nobody was asked.
func identityOf(r *http.Request) authentication.Identity {
	identity, _ := r.Context().Value(identityKey{}).(authentication.Identity)
	return identity
}

// authenticate lets through only requests of senders that may send.
func (s *Server) authenticate() middleware {
	if s.options.Authenticator == nil {
		return func(next http.Handler) http.Handler { return next }
	}
	bad := newBadTokens(func() time.Time { return s.now() })
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d, known := s.options.Authenticator.Known(r)
			if !known {
				client := clientIP(r)
				var err error
				var spent *authentication.BudgetError
				if d, err = s.options.Authenticator.Review(r, budget{bad, client}); errors.As(err, &spent) {
					s.undecided(w, r, spent.Wait, "too many bad tokens came from this address")
					return
				} else if err != nil {
					s.options.Logger.ErrorContext(r.Context(), "sender can't be authenticated", "source_ip", client, "error", err)
					s.undecided(w, r, retryAfter, "the Kubernetes API does not say who the sender is")
					return
				}
			}
			s.options.Metrics.Authenticated(d.Method, d.Outcome)
			switch d.Outcome {
			case metrics.Admitted:
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, d.Identity)))
			case metrics.Forbidden:
				s.refuse(w, r, http.StatusForbidden, d)
			default:
				w.Header().Set("WWW-Authenticate", "Bearer")
				s.refuse(w, r, http.StatusUnauthorized, d)
			}
		})
	}
}

// refuse answers a sender that may not send. AlertManager does not repeat what was
// answered so, which makes each one worth a line in the log.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, d authentication.Decision) {
	s.options.Logger.WarnContext(r.Context(), "sender is refused, and will hardly send this again",
		"source_ip", clientIP(r), "endpoint", r.URL.Path, "method", d.Method, "sender", d.Identity.String(), "outcome", string(d.Outcome), "reason", d.Reason)
	s.reject(w, r, status, string(d.Outcome), d.Reason)
}

// undecided answers for now, so that the sender repeats.
func (s *Server) undecided(w http.ResponseWriter, r *http.Request, wait time.Duration, detail string) {
	s.options.Metrics.Authenticated(authentication.Token, metrics.Undecided)
	setRetryAfter(w, wait)
	s.reject(w, r, http.StatusServiceUnavailable, string(metrics.Undecided), fmt.Sprintf("sender is not authenticated: %s", detail))
}
