package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxClients bounds the memory of the rate limit. When as many clients are being
// limited at once, further ones share a bucket.
const maxClients = 50_000

// limiter holds a token bucket for each client.
type limiter struct {
	every time.Duration
	burst int

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	swept   time.Time
}

// rateLimit refuses clients that send more than they may. It does so with 503 since
// AlertManager never sends again what was answered with 429.
func (s *Server) rateLimit() middleware {
	if s.options.RequestsPerMinute <= 0 {
		return func(next http.Handler) http.Handler { return next }
	}
	l := &limiter{
		every:   time.Minute / time.Duration(s.options.RequestsPerMinute),
		burst:   max(s.options.Burst, 1),
		buckets: make(map[string]*rate.Limiter),
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			client := clientIP(r)
			address, err := netip.ParseAddr(client)
			if err == nil && isIn(address, s.options.Unlimited) || identityOf(r).Is(s.options.UnlimitedUsers, s.options.UnlimitedGroups) {
				next.ServeHTTP(w, r)
				return
			}
			if wait := l.take(client, s.now()); wait > 0 {
				s.options.Metrics.RateLimited(client)
				setRetryAfter(w, wait)
				s.reject(w, r, http.StatusServiceUnavailable, "rate_limit", fmt.Sprintf("more than %d requests per minute", s.options.RequestsPerMinute))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// take takes a token, or returns how long it would have to be waited for.
func (l *limiter) take(client string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	reservation := l.bucket(client).ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// wait returns how long a token would have to be waited for if so many were taken
// before. It takes none.
func (l *limiter) wait(client string, now time.Time, taken int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	missing := float64(1+taken) - l.bucket(client).TokensAt(now)
	// What rounding makes of a whole token is one.
	return time.Duration(max(missing, 0) * float64(l.every)).Truncate(time.Millisecond)
}

// bucket returns the client's bucket. When there are too many, those that have none yet
// share one.
func (l *limiter) bucket(client string) *rate.Limiter {
	bucket, ok := l.buckets[client]
	if !ok && len(l.buckets) >= maxClients {
		client = ""
		bucket, ok = l.buckets[client]
	}
	if !ok {
		bucket = rate.NewLimiter(rate.Every(l.every), l.burst)
		l.buckets[client] = bucket
	}
	return bucket
}

// sweep removes buckets that are full again, which are as good as new ones: once
// a minute, and once a second while there are too many.
func (l *limiter) sweep(now time.Time) {
	interval := time.Minute
	if len(l.buckets) >= maxClients {
		interval = time.Second
	}
	if now.Sub(l.swept) < interval {
		return
	}
	l.swept = now
	for client, bucket := range l.buckets {
		if bucket.TokensAt(now) >= float64(l.burst) {
			delete(l.buckets, client)
		}
	}
}
