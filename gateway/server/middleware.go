package server

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"

	"stormgate.internal/gateway/logging"
)

type middleware = func(http.Handler) http.Handler

// chain wraps a handler so that requests pass the layers in the order given.
func chain(handler http.Handler, layers ...middleware) http.Handler {
	for i := len(layers) - 1; i >= 0; i-- {
		handler = layers[i](handler)
	}
	return handler
}

const maxRequestID = 128

// requestID takes the sender's X-Request-ID, or makes one, and echoes it.
func requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if id == "" || len(id) > maxRequestID || strings.ContainsFunc(id, func(c rune) bool { return c < '!' || c > '~' }) {
			id = uuid.NewString()
		}
		w.Header().Set("X-Request-ID", id)
		next.ServeHTTP(w, r.WithContext(logging.WithRequestID(r.Context(), id)))
	})
}

// realIP puts the address that a trusted proxy saw in place of the proxy's own. What
// others say of themselves does not count: anybody can write these headers.
func (s *Server) realIP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer, err := netip.ParseAddr(clientIP(r)); err == nil && isIn(peer, s.options.TrustedProxies) {
			if client, ok := s.forwardedFor(r.Header); ok {
				r.RemoteAddr = client.String() // one spelling for each address
			}
		}
		next.ServeHTTP(w, r)
	})
}

// forwardedFor returns the client that the proxies name. If their headers name several,
// none counts: most proxies write one or two of the three, and leave the others as their
// clients have sent them, so one of them is made up.
func (s *Server) forwardedFor(header http.Header) (netip.Addr, bool) {
	forwarded := strings.Join(header.Values("X-Forwarded-For"), ",")
	client, ok := s.lastHop(forwarded)
	if !ok && forwarded != "" {
		return netip.Addr{}, false
	}
	for _, text := range slices.Concat(header.Values("True-Client-Ip"), header.Values("X-Real-Ip")) {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		named, err := netip.ParseAddr(text)
		if named = named.Unmap(); err != nil || client.IsValid() && client != named {
			return netip.Addr{}, false
		}
		client = named
	}
	return client, client.IsValid()
}

// lastHop returns the client that X-Forwarded-For names. Each proxy adds the address that
// it saw at the end, so the last one that is no trusted proxy is the client's. What is
// before it may be made up.
func (s *Server) lastHop(forwarded string) (netip.Addr, bool) {
	hops := strings.Split(forwarded, ",")
	var client netip.Addr
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = hop.Unmap()
		if !isIn(hop, s.options.TrustedProxies) {
			break
		}
	}
	return client, client.IsValid()
}

func isIn(address netip.Addr, networks []netip.Prefix) bool {
	address = address.Unmap()
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}

// clientIP returns the address without a port.
func clientIP(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// observe measures, counts and logs requests, and turns a panic into a 500.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		recorder := &statusRecorder{ResponseWriter: w}
		s.options.Metrics.RequestStarted()
		defer func() {
			failure := recover()
			if failure != nil {
				s.logPanic(r, failure)
				if recorder.status == 0 {
					writeProblem(recorder, r, http.StatusInternalServerError, "internal error")
				}
			}
			if recorder.status == 0 {
				recorder.status = http.StatusOK
			}
			path, duration := routePath(r), time.Since(start)
			s.options.Metrics.RequestEnded(path, methodLabel(r.Method), recorder.status, duration)
			level := slog.LevelInfo
			if !strings.HasPrefix(path, "/api/") {
				level = slog.LevelDebug
			}
			s.options.Logger.Log(r.Context(), level, "request",
				"source_ip", clientIP(r), "method", r.Method, "endpoint", path,
				"status", recorder.status, "duration_ms", float64(duration.Microseconds())/1000)
		}()
		next.ServeHTTP(recorder, r)
	})
}

// logPanic is for deferred functions, where the stack is still that of the panic.
func (s *Server) logPanic(r *http.Request, failure any) {
	s.options.Logger.ErrorContext(r.Context(), "request panicked", "panic", fmt.Sprint(failure), "stack", string(debug.Stack()))
}

// routePath returns the route that served the request, without its method. The
// routes have set it on the request, which no layer in between may copy.
func routePath(r *http.Request) string {
	_, path, found := strings.Cut(r.Pattern, " ")
	if !found {
		path = r.Pattern
	}
	if path == "" {
		return "other"
	}
	return path
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// statusRecorder remembers the status of a reply; 0 means none yet.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the first final status.
func (r *statusRecorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts as status 200 if none was set.
func (r *statusRecorder) Write(data []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(data)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// securityHeaders keeps browsers from doing anything with replies.
func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("X-XSS-Protection", "1; mode=block")
		header.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		header.Set("Content-Security-Policy", "default-src 'none'")
		header.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// limitTime gives a request up in time for its error to be sent. It counts from the
// beginning, as the connection's own limit does.
func (s *Server) limitTime(next http.Handler) http.Handler {
	limit := s.options.WriteTimeout - s.options.WriteTimeout/10
	if limit <= 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

const (
	timestampPast   = 5 * time.Minute
	timestampFuture = 2 * time.Minute
)

// freshTimestamp refuses requests that say they were sent too long ago, or later
// than now. Requests without X-Timestamp pass.
func (s *Server) freshTimestamp(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text := r.Header.Get("X-Timestamp"); text != "" {
			if problem := timestampProblem(text, s.now()); problem != "" {
				s.reject(w, r, http.StatusBadRequest, "timestamp", problem)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func timestampProblem(text string, now time.Time) string {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return "X-Timestamp must be the time in whole seconds since 1970"
	}
	switch age := now.Sub(time.Unix(seconds, 0)); {
	case age > timestampPast:
		return fmt.Sprintf("X-Timestamp is more than %s in the past", timestampPast)
	case age < -timestampFuture:
		return fmt.Sprintf("X-Timestamp is more than %s in the future", timestampFuture)
	}
	return ""
}

// jsonOnly refuses bodies that say they are something else. By contract these two
// errors carry no request id.
func (s *Server) jsonOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, detail string) {
			s.options.Metrics.RequestRejected("content_type")
			p := newProblem(r, status, detail)
			p.RequestID = ""
			p.write(w)
		}
		if text := r.Header.Get("Content-Type"); text != "" {
			mediaType, _, err := mime.ParseMediaType(text)
			switch {
			case err != nil:
				refuse(http.StatusBadRequest, fmt.Sprintf("Content-Type is malformed: %v", err))
				return
			case mediaType != "application/json":
				w.Header().Set("Accept", "application/json")
				refuse(http.StatusUnsupportedMediaType, fmt.Sprintf("Content-Type must be application/json, is %s", mediaType))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// limitBody unpacks bodies and refuses those that are too long. It does so at once if
// the request gives the length. Otherwise the handler gets an error when it reads too
// much, before or after unpacking.
func (s *Server) limitBody(next http.Handler) http.Handler {
	limit := s.options.MaxBodyBytes
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			s.rejectTooLarge(w, r, s.tooLarge())
			return
		}
		packed, known := isPacked(r.Header.Values("Content-Encoding"))
		if !known {
			w.Header().Set("Accept", "application/json")
			w.Header().Set("Accept-Encoding", "gzip")
			s.reject(w, r, http.StatusUnsupportedMediaType, "content_encoding", fmt.Sprintf("Content-Encoding must be gzip or absent, is %.100s", strings.Join(r.Header.Values("Content-Encoding"), ", ")))
			return
		}
		room := limit
		if !packed && r.ContentLength >= 0 {
			room = r.ContentLength
		}
		leave, err := s.enter(r.Context(), room)
		if err != nil {
			s.rejectBusy(w, r)
			return
		}
		defer leave()
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		if packed {
			unpacked, err := gzip.NewReader(r.Body)
			if err != nil {
				s.rejectUnreadable(w, r, err)
				return
			}
			r.Body = http.MaxBytesReader(w, unpacked, limit)
		}
		next.ServeHTTP(w, r)
	})
}

// isPacked reports whether a body is packed by gzip, and whether all of its encodings
// are known.
func isPacked(encodings []string) (packed, known bool) {
	for _, text := range encodings {
		for encoding := range strings.SplitSeq(text, ",") {
			switch strings.ToLower(strings.TrimSpace(encoding)) {
			case "", "identity":
			case "gzip", "x-gzip":
				if packed {
					return false, false // nobody packs twice
				}
				packed = true
			default:
				return false, false
			}
		}
	}
	return packed, true
}

// memoryWait is how long a request waits for room before it is refused.
const memoryWait = 5 * time.Second

// enter waits for room for a body, so that many large bodies at once can't take all of
// the memory.
func (s *Server) enter(ctx context.Context, bytes int64) (leave func(), err error) {
	return s.reserve(ctx, s.room, bytes, memoryWait)
}

// reserve waits for so many bytes, or for all that there are if they are more. It waits no
// longer than that; 0 means as long as ctx goes on. Leave gives them back.
func (s *Server) reserve(ctx context.Context, memory *semaphore.Weighted, bytes int64, longest time.Duration) (leave func(), err error) {
	if memory == nil {
		return func() {}, nil
	}
	bytes = min(bytes, max(s.options.MaxPendingBytes, s.options.MaxBodyBytes))
	if !memory.TryAcquire(bytes) {
		if longest > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, longest)
			defer cancel()
		}
		if err := memory.Acquire(ctx, bytes); err != nil {
			return nil, err
		}
	}
	return func() { memory.Release(bytes) }, nil
}

func (s *Server) rejectBusy(w http.ResponseWriter, r *http.Request) {
	setRetryAfter(w, memoryWait)
	s.reject(w, r, http.StatusServiceUnavailable, "memory", "too many large requests are being handled")
}

func (s *Server) tooLarge() string {
	return fmt.Sprintf("body is larger than %d bytes", s.options.MaxBodyBytes)
}

func (s *Server) rejectTooLarge(w http.ResponseWriter, r *http.Request, detail string) {
	s.options.Logger.WarnContext(r.Context(), "request is refused: it is too large, and its sender will hardly send it again",
		"source_ip", clientIP(r), "limit", s.options.MaxBodyBytes, "detail", detail)
	s.reject(w, r, http.StatusRequestEntityTooLarge, "too_large", detail)
}

// rejectUnreadable answers a failure to read the body.
func (s *Server) rejectUnreadable(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		s.rejectTooLarge(w, r, s.tooLarge())
		return
	}
	s.reject(w, r, http.StatusBadRequest, "unreadable_body", fmt.Sprintf("body can't be read: %v", err))
}

func (s *Server) reject(w http.ResponseWriter, r *http.Request, status int, reason, detail string) {
	s.options.Metrics.RequestRejected(reason)
	writeProblem(w, r, status, detail)
}
