package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"stormgate.internal/gateway/pipeline"
	"stormgate.internal/gateway/redact"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
	"stormgate.internal/gateway/storm"
)

const (
	statusCreated   = "created"
	statusDuplicate = "duplicate"
	statusAccepted  = "accepted"
	statusIgnored   = "ignored"
	statusError     = "error"

	// retryAfter is when a sender may try again what failed because of something that the
	// gateway depends on.
	retryAfter = 30 * time.Second
	// maxParallel limits how many incidents of one request are handled at once. Repeats
	// that wait for the same object are stored by one update, so it is also how many of a
	// storm's repeats one update can take: with 32, a group of 2,000 that is sent again
	// took 62 updates of a large object, longer than its sender waits, and never ended.
	maxParallel = 2048
	// maxInvalidLogged limits how many lines one request can write.
	maxInvalidLogged = 20
)

// result says what became of one signal.
type result struct {
	Status                      string    `json:"status"`
	Message                     string    `json:"message"`
	Fingerprint                 string    `json:"fingerprint"`
	Duplicate                   bool      `json:"duplicate"`
	RemediationRequestName      string    `json:"remediationRequestName,omitempty"`
	RemediationRequestNamespace string    `json:"remediationRequestNamespace,omitempty"`
	Environment                 string    `json:"environment,omitempty"`
	Priority                    string    `json:"priority,omitempty"`
	RemediationPath             string    `json:"remediationPath,omitempty"`
	Metadata                    *metadata `json:"metadata,omitempty"`
	IsStorm                     bool      `json:"isStorm,omitempty"`
	StormType                   string    `json:"stormType,omitempty"`
	WindowID                    string    `json:"windowID,omitempty"`
	Error                       *problem  `json:"error,omitempty"`

	// code is the HTTP status of a reply about this signal alone.
	code int
	// reason is that of an InvalidError.
	reason string
}

// metadata describes the incident that a duplicate belongs to. The capitals are
// part of the wire contract.
type metadata struct {
	Fingerprint           string
	Count                 int
	RemediationRequestRef string
	FirstSeen, LastSeen   time.Time
}

// reply is the body about all signals of a request.
type reply struct {
	result
	Results []result `json:"results,omitempty"`
}

// signals handles requests with signals.
func (s *Server) signals(adapter Adapter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received := s.now()
		body, err := readAll(r)
		if err != nil {
			s.rejectUnreadable(w, r, err)
			return
		}
		leave, err := s.reserve(r.Context(), s.parsing, parsedSize(body), 0)
		if err != nil {
			s.rejectBusy(w, r)
			return
		}
		defer leave()
		parsed, err := adapter.Parse(body, received)
		if invalidReason(err) == signal.ReasonTooMany {
			s.rejectTooLarge(w, r, err.Error())
			return
		}
		if err != nil {
			s.reject(w, r, http.StatusBadRequest, invalidReason(err), err.Error())
			return
		}
		ctx, cancel := finishing(r.Context())
		defer cancel()
		if left := parsed[0].Truncated; left > 0 {
			s.options.Metrics.AlertsTruncated(left)
			s.options.Logger.WarnContext(ctx, "sender has left alerts out of its request; AlertManager's max_alerts says how many it sends",
				"sent", len(parsed), "left_out", left, "source_ip", clientIP(r))
		}
		s.writeResults(w, r, s.processAll(ctx, r, parsed))
	})
}

// finishing is a request's context without the end that its sender gives it by going. A
// sender that gives up sends all of it again. What was begun for it is finished, so that
// it has less to do each time: else a group that takes longer than its sender waits would
// never be stored.
func finishing(request context.Context) (context.Context, context.CancelFunc) {
	if deadline, limited := request.Deadline(); limited {
		return context.WithDeadline(context.WithoutCancel(request), deadline)
	}
	return context.WithoutCancel(request), func() {}
}

// readAll reads a body into as much memory as it takes.
func readAll(r *http.Request) ([]byte, error) {
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := body.ReadFrom(r.Body)
	return body.Bytes(), err
}

// processAll handles the signals of a request. It takes those of one incident one
// after the other, and different incidents side by side.
func (s *Server) processAll(ctx context.Context, r *http.Request, parsed []signal.Parsed) []result {
	results := make([]result, len(parsed))
	incidents := make(map[string][]int)
	var order []string
	invalid := 0
	for i, p := range parsed {
		if p.Err != nil {
			s.options.Metrics.SignalInvalid(invalidReason(p.Err))
			if invalid++; invalid <= maxInvalidLogged {
				s.options.Logger.WarnContext(ctx, "signal is refused, since it is not valid", "reason", invalidReason(p.Err), "detail", redact.Text(p.Err.Error()))
			}
			results[i] = failed(r, "", http.StatusBadRequest, p.Err.Error())
			results[i].reason = invalidReason(p.Err)
			continue
		}
		key := p.Fingerprint
		if incidents[key] == nil {
			order = append(order, key)
		}
		incidents[key] = append(incidents[key], i)
	}
	if more := invalid - maxInvalidLogged; more > 0 {
		s.options.Logger.WarnContext(ctx, "more signals of the request are refused; the reply names them", "signals", more)
	}
	handle := func(key string) {
		for _, i := range incidents[key] {
			results[i] = s.process(ctx, r, parsed[i])
		}
	}
	var group errgroup.Group
	group.SetLimit(maxParallel)
	for _, key := range order {
		size := 0
		for _, i := range incidents[key] {
			size = max(size, parsed[i].Size) // one after the other
		}
		// What waits for room has no goroutine yet, whose stack would take room.
		leave, err := s.makeRoom(ctx, size)
		if err != nil {
			for _, i := range incidents[key] {
				results[i] = s.noRoom(ctx, r, parsed[i])
			}
			continue
		}
		run := func() error {
			defer leave()
			handle(key)
			return nil
		}
		if len(order) == 1 {
			// Most requests are like this. A new goroutine would have to grow its stack.
			_ = run()
			break
		}
		group.Go(run)
	}
	_ = group.Wait() // the functions return no errors
	return results
}

// noRoom refuses a signal for now.
func (s *Server) noRoom(ctx context.Context, r *http.Request, parsed signal.Parsed) result {
	s.options.Logger.ErrorContext(ctx, "signal is not handled, there was no room for it in time", "fingerprint", parsed.Fingerprint, "bytes", parsed.Size)
	s.options.Metrics.RequestRejected("memory")
	return failed(r, parsed.Fingerprint, http.StatusServiceUnavailable, "too many signals, or too large ones, are being handled")
}

// process handles one signal, for which there is room. A panic fails this signal alone.
// Without that it would end the gateway, since the signal may have a goroutine of its own.
func (s *Server) process(ctx context.Context, r *http.Request, parsed signal.Parsed) (res result) {
	defer func() {
		if failure := recover(); failure != nil {
			s.logPanic(r, failure)
			res = failed(r, parsed.Fingerprint, http.StatusInternalServerError, "internal error")
		}
	}()
	sig := parsed.Signal()
	outcome, err := s.options.Processor.Process(ctx, sig)
	if err != nil {
		code := errorCode(err)
		s.options.Logger.ErrorContext(ctx, "signal is not stored", "signal", sig.Name, "namespace", sig.Namespace,
			"fingerprint", sig.Fingerprint, "status", code, "error", err)
		return failed(r, sig.Fingerprint, code, err.Error())
	}
	return succeeded(sig, outcome)
}

const (
	// signalCopies is how often a signal is in memory while it is handled: as it is, for
	// Redis, in the object, and in what is sent to the API server.
	signalCopies = 4
	// signalBytes is what a signal is reckoned to take beside that while it is handled, most
	// of it the stack of its goroutine, with the call that it waits for. It is an estimate: of
	// 2,000 small ones that wait for the Kubernetes API each takes 22.2 KiB, by
	// BenchmarkWaitingSignal of package app. With it, 2,700 signals wait at most by default,
	// which the gateway's 256 MiB were seen to hold in scenario 09.
	signalBytes = 24 << 10
)

// makeRoom waits until a signal of so many bytes can be made. Each signal of a request has
// all that they have in common, so together they can be a thousand times larger than it.
// While Redis is silent, all that is sent waits for it: many small signals take as much as
// few large ones.
func (s *Server) makeRoom(ctx context.Context, size int) (leave func(), err error) {
	return s.reserve(ctx, s.making, signalBytes+int64(size)*signalCopies, 0)
}

// memberBytes is about what a member of a JSON object takes in memory beside its text.
const memberBytes = 64

// parsedSize is about what a body takes once it is parsed. Its texts may be tiny, and the
// members have commas between them.
func parsedSize(body []byte) int64 {
	return int64(len(body) + memberBytes*bytes.Count(body, []byte{','}))
}

func succeeded(sig *signal.Signal, outcome pipeline.Outcome) result {
	switch {
	case outcome.Created != nil:
		return created(sig, *outcome.Created)
	case outcome.Storm != nil:
		return gathered(sig, *outcome.Storm)
	case outcome.Duplicate != nil:
		d := outcome.Duplicate
		message := "signal repeats an incident in progress"
		if d.CoolingDown != "" {
			message = "signal repeats an incident that ended not long ago: " + d.CoolingDown
		}
		return result{
			Status: statusDuplicate, Message: message, Fingerprint: sig.Fingerprint, Duplicate: true,
			RemediationRequestName: d.Object.Name, RemediationRequestNamespace: d.Object.Namespace,
			Metadata: &metadata{
				Fingerprint: sig.Fingerprint, Count: d.Count, RemediationRequestRef: d.Object.String(),
				FirstSeen: d.FirstSeen.UTC(), LastSeen: d.LastSeen.UTC(),
			},
			code: http.StatusAccepted,
		}
	}
	if noted := outcome.Resolved; noted != nil {
		return result{
			Status: statusIgnored, Message: "signal says that its condition is over, which is noted on its object", Fingerprint: sig.Fingerprint,
			RemediationRequestName: noted.Name, RemediationRequestNamespace: noted.Namespace, code: http.StatusOK,
		}
	}
	return result{Status: statusIgnored, Message: ignoredBecause(sig), Fingerprint: sig.Fingerprint, code: http.StatusOK}
}

// ignoredBecause says why a signal starts nothing.
func ignoredBecause(sig *signal.Signal) string {
	switch {
	case sig.Resolved:
		return "signal says that its condition is over"
	case sig.Heartbeat != "":
		return "signal says that the sender works"
	case sig.Ignored == signal.IgnoredAge:
		return "event happened too long ago"
	case sig.Ignored == signal.IgnoredDeleted:
		return "event was deleted, which is no occurrence"
	case sig.Ignored == signal.IgnoredBySeverity:
		return "signals of this severity start nothing"
	}
	return "signals of this name start nothing"
}

func created(sig *signal.Signal, c pipeline.Created) result {
	return result{
		Status: statusCreated, Message: "RemediationRequest created", Fingerprint: sig.Fingerprint,
		RemediationRequestName: c.Object.Name, RemediationRequestNamespace: c.Object.Namespace,
		Environment: c.Environment, Priority: c.Priority, RemediationPath: c.Path,
		code: http.StatusCreated,
	}
}

// gathered describes a signal of a storm. By the wire contract, the answer to a signal
// that was added to a window does not name the object.
func gathered(sig *signal.Signal, g pipeline.Storm) result {
	res := result{Fingerprint: sig.Fingerprint, IsStorm: true, StormType: g.Type, WindowID: g.WindowID}
	switch g.Kind {
	case storm.Flushed:
		return created(sig, g.Created)
	case storm.Opened:
		res.Status, res.code = statusCreated, http.StatusCreated
		res.Message = fmt.Sprintf("RemediationRequest created for a storm of %d alerts", g.Members)
		res.RemediationRequestName, res.RemediationRequestNamespace = g.Object.Name, g.Object.Namespace
		res.Environment, res.Priority = g.Environment, g.Priority
	case storm.Added:
		res.Status, res.code = statusAccepted, http.StatusAccepted
		res.Message = fmt.Sprintf("added to storm window %s, alert %d of it", g.WindowID, g.Members)
	default:
		res.Status, res.code = statusAccepted, http.StatusAccepted
		res.Message = fmt.Sprintf("kept with %d alerts of what may be a storm", g.Members)
	}
	return res
}

func failed(r *http.Request, fingerprint string, code int, detail string) result {
	p := newProblem(r, code, detail)
	return result{Status: statusError, Message: p.Detail, Fingerprint: fingerprint, Error: &p, code: code}
}

// errorCode returns the status for a failure to store a signal. It is 500 for a
// failure of the Kubernetes API. All others are those of Redis, or pass by
// themselves: the sender should try again.
func errorCode(err error) int {
	var redis *redisclient.UnavailableError
	var kubernetes *remediation.APIError
	if errors.As(err, &kubernetes) && !errors.As(err, &redis) {
		return http.StatusInternalServerError
	}
	return http.StatusServiceUnavailable
}

func invalidReason(err error) string {
	var invalid *signal.InvalidError
	if errors.As(err, &invalid) {
		return invalid.Reason
	}
	return "invalid"
}

// writeResults answers with the worst failure if there is one that may pass, so that
// the sender repeats the request. Repeats are harmless to what was stored. Signals that
// are refused for good are none of that: they would have the request repeated for ever.
// Without such a failure the status is 201 if anything was created, 202 if anything was
// accepted, and 200 if all else was ignored. Only if every signal was refused for good is
// the request.
func (s *Server) writeResults(w http.ResponseWriter, r *http.Request, results []result) {
	var worst, good *result
	passing := false // worst may pass
	code := http.StatusOK
	for i := range results {
		switch c := results[i].code; {
		case results[i].Error != nil:
			passes := c >= http.StatusInternalServerError
			if worst == nil || c > worst.code {
				worst = &results[i]
			}
			passing = passing || passes
		default:
			if good == nil {
				good = &results[i]
			}
			if c == http.StatusCreated || code == http.StatusOK {
				code = c
			}
		}
	}
	if worst != nil && (passing || good == nil) {
		if !passing {
			s.options.Metrics.RequestRejected(worst.reason)
		}
		p := *worst.Error
		if len(results) > 1 {
			p.Results = results
		}
		if p.Status == http.StatusServiceUnavailable {
			setRetryAfter(w, retryAfter)
		}
		p.write(w)
		return
	}
	body := reply{result: *good}
	if len(results) > 1 {
		body.Results = results
	}
	writeJSON(w, code, "application/json", body)
}
