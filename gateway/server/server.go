// Package server is the gateway's HTTP interface: routes, what requests pass
// before and after they are handled, the shape of replies and errors, and the
// orderly end.
package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/pipeline"
	"stormgate.internal/gateway/signal"
)

// defaultMaxBodyBytes is the default of Options.MaxBodyBytes. A group of 2,000 alerts of
// AlertManager's has about 2 MB.
const defaultMaxBodyBytes = 4 << 20

// readinessBudget limits all checks of a readiness probe together.
const readinessBudget = 5 * time.Second

// Adapter reads the requests of one kind of sender.
type Adapter interface {
	// Name is the last element of the adapter's route.
	Name() string
	// Parse returns the body's signals, or why the body as a whole is not
	// acceptable: a *signal.InvalidError, as in each Parsed.
	Parse(body []byte, received time.Time) ([]signal.Parsed, error)
}

// Processor stores signals. It is an interface, since tests of answers need each
// outcome that pipeline.Pipeline can have, without Redis and a cluster.
type Processor interface {
	Process(ctx context.Context, sig *signal.Signal) (pipeline.Outcome, error)
}

// Check is something that must work for the gateway to be ready.
type Check struct {
	// Name names it in the error.
	Name string
	// Run returns why it does not work. It ends with the context.
	Run func(context.Context) error
}

// Options are the parts of a Server. All are required but those with a default.
type Options struct {
	// Addr is where to listen, as host:port.
	Addr string
	// ReadTimeout, WriteTimeout and IdleTimeout are http.Server's. A request is
	// given up after 9/10 of WriteTimeout, so that its error can still be sent.
	ReadTimeout, WriteTimeout, IdleTimeout time.Duration
	// MaxBodyBytes limits the body of a signal request, packed and unpacked. Default 4 MiB.
	MaxBodyBytes int64
	// MaxPendingBytes limits the bodies of all requests that are being handled, what is
	// parsed of them, and the signals that are made of that, each for itself. It is at least
	// MaxBodyBytes; 0 means no limit.
	MaxPendingBytes int64
	// RequestsPerMinute and Burst limit each client. 0 requests means no limit.
	RequestsPerMinute, Burst int
	// Unlimited are the addresses of clients without a limit.
	Unlimited []netip.Prefix
	// UnlimitedUsers and UnlimitedGroups are those of senders without a limit, as the
	// Authenticator names them.
	UnlimitedUsers, UnlimitedGroups []string
	// TrustedProxies are those whose word counts on whom they forward for.
	TrustedProxies []netip.Prefix

	// TLS encrypts connections. Nil: they are not.
	TLS *tls.Config
	// Authenticator says who may send signals. Nil: anybody.
	Authenticator Authenticator
	// Protected are paths besides those of signals, such as /metrics, for which the
	// Authenticator is asked.
	Protected []string

	Adapters  []Adapter
	Processor Processor
	// Metrics count requests, and are served as /metrics.
	Metrics *metrics.Metrics
	Checks  []Check
	// Logger gets contexts of logging.WithRequestID.
	Logger *slog.Logger

	// Now returns the time. Default time.Now.
	Now func() time.Time

	// ShutdownPause is how long requests are still accepted after readiness has begun
	// to fail, so that load balancers notice. Default 5 s. Negative means none.
	ShutdownPause time.Duration
	// ShutdownBudget limits the whole shutdown. Default 30 s.
	ShutdownBudget time.Duration
}

// Server serves the gateway's routes.
type Server struct {
	options  Options
	handler  http.Handler
	draining atomic.Bool
	// Memory for bodies, for what is parsed of them, and for the signals that are made of
	// that. Nil: any amount. What waits for one of these holds at most those before it, so
	// what has got it always ends.
	room, parsing, making *semaphore.Weighted
	now                   func() time.Time
}

// New returns a server that does not listen yet.
func New(o Options) *Server {
	if o.ShutdownPause == 0 {
		o.ShutdownPause = 5 * time.Second
	}
	if o.ShutdownBudget == 0 {
		o.ShutdownBudget = 30 * time.Second
	}
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = defaultMaxBodyBytes
	}
	s := &Server{options: o, now: time.Now}
	if o.Now != nil {
		s.now = o.Now
	}
	if o.MaxPendingBytes > 0 {
		bytes := max(o.MaxPendingBytes, o.MaxBodyBytes)
		s.room, s.parsing, s.making = semaphore.NewWeighted(bytes), semaphore.NewWeighted(bytes), semaphore.NewWeighted(bytes)
	}
	mux := http.NewServeMux()
	authenticate, limit := s.authenticate(), s.rateLimit() // one for all signal routes
	for _, adapter := range o.Adapters {
		path := "/api/v1/signals/" + adapter.Name()
		mux.Handle("POST "+path, s.signalRoute(adapter, authenticate, limit))
		mux.Handle(path, s.allow(http.MethodPost))
	}
	protect := func(path string, handler http.Handler) http.Handler {
		if slices.Contains(o.Protected, path) {
			return authenticate(handler)
		}
		return handler
	}
	for path, handler := range map[string]http.HandlerFunc{"/health": s.health, "/healthz": s.health, "/ready": s.ready} {
		mux.Handle("GET "+path, protect(path, handler))
		mux.Handle(path, s.allow(http.MethodGet+", "+http.MethodHead))
	}
	mux.Handle("/metrics", protect("/metrics", o.Metrics.Handler()))
	s.handler = s.outer(mux)
	return s
}

// Handler returns what the server serves, for tests and other listeners.
func (s *Server) Handler() http.Handler { return s.handler }

// outer is what every request passes, outermost first.
func (s *Server) outer(routes http.Handler) http.Handler {
	return chain(routes,
		s.partWhileDraining,
		requestID,
		s.realIP,
		s.observe,
		securityHeaders,
	)
}

// signalRoute is what requests with signals pass, outermost first.
func (s *Server) signalRoute(adapter Adapter, authenticate, limit middleware) http.Handler {
	return chain(s.signals(adapter),
		s.limitTime,
		authenticate,
		limit,
		s.freshTimestamp,
		s.jsonOnly,
		s.limitBody,
	)
}

// allow refuses a method that a route does not have.
func (s *Server) allow(methods string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", methods)
		s.reject(w, r, http.StatusMethodNotAllowed, "method", "allowed: "+methods)
	})
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", map[string]string{
		"status": "healthy", "timestamp": s.now().UTC().Format(time.RFC3339),
	})
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		writeProblem(w, r, http.StatusServiceUnavailable, "gateway is shutting down")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readinessBudget)
	defer cancel()
	if err := s.check(ctx); err != nil {
		writeProblem(w, r, http.StatusServiceUnavailable, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "ready"})
}

// check runs all checks at once and returns the first failure in their order.
func (s *Server) check(ctx context.Context) error {
	results := make([]chan error, len(s.options.Checks))
	for i, check := range s.options.Checks {
		results[i] = make(chan error, 1)
		go func() { results[i] <- check.Run(ctx) }()
	}
	for i, check := range s.options.Checks {
		if err := <-results[i]; err != nil {
			return fmt.Errorf("%s is not available: %w", check.Name, err)
		}
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, contentType string, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // all values are structs and maps of strings and numbers
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may have gone
}
