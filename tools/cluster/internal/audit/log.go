// Package audit knows who changed what in a cluster: it reads kube-apiserver's audit
// log, which is written by the policy in this package, and keeps the newest part.
//
// kube-apiserver writes an event in one piece before it goes on (the mode "blocking"):
// that a request was received before anything else is done with it, that it is
// complete before its answer is. So what was written before a mark of our own came
// before it, and Log waits for such a mark. What was begun before it and is not complete
// is told as well: somebody's request may last, and whether that matters Log can't say.
package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/history"
)

// Policy is the policy file for kube-apiserver, whose log Log understands.
//
//go:embed policy.yaml
var Policy []byte

// MarkPath is a path of the API server that identity stormgate:init has to ask for to
// set a mark, and IDHeader the header that has to carry the mark's id.
const (
	MarkPath = "/version"
	IDHeader = "Audit-ID"
)

const (
	// writesKept is how many writes are kept. One takes about 400 bytes.
	writesKept = 50_000
	// maxEvent bounds an event in bytes. Headers and URLs, the longest parts of it,
	// have a bound of 1 MiB together.
	maxEvent = 8 << 20
)

// Log takes kube-apiserver's standard output. All methods may be called concurrently.
type Log struct {
	other  io.Writer
	writes *history.Log[api.Write]

	mu       sync.Mutex
	partial  []byte // an event whose rest is still to come
	skipping bool   // the rest of one that was too long
	broken   error
	open     map[string]*unanswered // by id
	marks    map[string]*mark
}

// unanswered are requests that were received and are not complete. A client may give
// several the same id: then nobody knows which of them ended before the last has.
type unanswered struct {
	count  int
	writes []api.Write // those that may change something
}

// mark is one that is waited for.
type mark struct {
	// open are the ids of what was open when it was seen.
	open []string
	seen chan struct{} // closed when it was
}

var _ io.Writer = (*Log)(nil)

// NewLog returns an empty log. Lines that are no events go to other.
func NewLog(other io.Writer) *Log {
	return &Log{other: other, writes: history.New[api.Write](writesKept), open: map[string]*unanswered{}, marks: map[string]*mark{}}
}

// Write takes a part of the output. It never fails and waits for nobody: an error
// would end the pipe and kube-apiserver with it, and a wait would hold up all writers
// of the cluster.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := p
	for {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		if !whole {
			l.keep(line)
			return len(p), nil
		}
		rest = after
		if len(l.partial) > 0 {
			l.keep(line)
			line = l.partial
		}
		if !l.skipping {
			l.take(line)
		}
		l.partial, l.skipping = l.partial[:0], false
	}
}

// keep holds on to a part of an event.
func (l *Log) keep(part []byte) {
	if l.skipping || len(part) == 0 {
		return
	}
	if len(l.partial)+len(part) > maxEvent {
		l.fail(fmt.Errorf("an event has more than %d bytes", maxEvent))
		l.partial, l.skipping = nil, true
		return
	}
	l.partial = append(l.partial, part...)
}

func (l *Log) fail(err error) {
	if l.broken == nil {
		l.broken = fmt.Errorf("the record of writes has a hole: read kube-apiserver's audit log: %w; start the cluster anew", err)
	}
}

// take reads one line.
func (l *Log) take(line []byte) {
	if !bytes.HasPrefix(line, []byte("{")) {
		// Nobody reads it but a person who looks for the reason of something.
		_, _ = l.other.Write(append(bytes.Clone(line), '\n'))
		return
	}
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		l.fail(fmt.Errorf("%w in %.200q", err, line))
		return
	}
	if m := l.marks[e.AuditID]; m != nil {
		l.see(m)
		return
	}
	switch e.Stage {
	case stageReceived:
		l.begin(&e)
	case stageComplete, stagePanic:
		// First into the record, then out of what is open.
		l.record(&e)
		l.end(e.AuditID)
	case stageStarted:
		l.record(&e)
	}
}

func (l *Log) record(e *event) {
	if e.isWrite() {
		l.writes.Add(e.write)
	}
}

func (l *Log) begin(e *event) {
	request := l.open[e.AuditID]
	if request == nil {
		request = &unanswered{}
		l.open[e.AuditID] = request
	}
	request.count++
	if e.ObjectRef != nil && !e.isRehearsal() {
		request.writes = append(request.writes, e.write(0))
	}
}

func (l *Log) end(id string) {
	request := l.open[id]
	if request == nil {
		return
	}
	if request.count--; request.count == 0 {
		delete(l.open, id)
	}
}

// see notes what was begun before the mark.
func (l *Log) see(m *mark) {
	select {
	case <-m.seen:
		return
	default:
	}
	m.open = slices.Collect(maps.Keys(l.open))
	close(m.seen)
}

// Writes returns those after number seq, as far as they are kept, and those that are
// still unanswered. All that the API server had received when Writes was called are
// among them. request has to ask the API server for MarkPath with the id in IDHeader. The
// error is request's, or the cause of ctx's end, or says that a part of the record is lost.
func (l *Log) Writes(ctx context.Context, seq uint64, request func(ctx context.Context, id string) error) (api.Writes, error) {
	id := "stormgate-mark-" + rand.Text()
	m := &mark{seen: make(chan struct{})}
	l.mu.Lock()
	l.marks[id] = m
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.marks, id)
		l.mu.Unlock()
	}()
	if err := request(ctx, id); err != nil {
		return api.Writes{}, fmt.Errorf("mark the end of the audit log: %w", err)
	}
	select {
	case <-m.seen:
	case <-ctx.Done():
		return api.Writes{}, fmt.Errorf("wait for the mark in the audit log: %w", context.Cause(ctx))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return api.Writes{}, l.broken
	}
	var answer api.Writes
	answer.Writes, answer.First, answer.Last = l.writes.After(seq)
	for _, id := range m.open {
		if request := l.open[id]; request != nil {
			answer.Unanswered = append(answer.Unanswered, request.writes...)
		}
	}
	slices.SortFunc(answer.Unanswered, func(a, b api.Write) int { return a.Time.Compare(b.Time) })
	return answer, nil
}

// Broken says that a part of the log could not be read, and which; nil is the rule.
func (l *Log) Broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}
