// Package audit knows who changed what in a cluster: it reads kube-apiserver's audit
// log, which is written by the policy in this package, and keeps the newest part.
//
// kube-apiserver writes an event in one piece before it goes on (the mode "blocking"):
// that a request was received before anything else is done with it, that it is
// complete before its answer is. So what was written before a mark of our own came
// before it, and Log waits for such a mark, and then for the end of what was begun
// before it.
package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
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
	open     map[string]int // requests that were received and are not complete, by id
	marks    map[string]*mark
}

// mark is one that is waited for.
type mark struct {
	seen bool
	// left are the requests that were open when it was seen, and still are.
	left map[string]bool
	done chan struct{} // closed when the mark was seen and none is left
}

var _ io.Writer = (*Log)(nil)

// NewLog returns an empty log. Lines that are no events go to other.
func NewLog(other io.Writer) *Log {
	return &Log{other: other, writes: history.New[api.Write](writesKept), open: map[string]int{}, marks: map[string]*mark{}}
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
		l.open[e.AuditID]++
	case stageComplete, stagePanic:
		// First into the record, then out of what is waited for.
		l.record(&e)
		l.close(e.AuditID)
	case stageStarted:
		l.record(&e)
	}
}

func (l *Log) record(e *event) {
	if e.isWrite() {
		l.writes.Add(e.write)
	}
}

// close ends a request. A client may give several the same id: then all must end.
func (l *Log) close(id string) {
	if l.open[id]--; l.open[id] > 0 {
		return
	}
	delete(l.open, id)
	for _, m := range l.marks {
		if m.seen && m.left[id] {
			delete(m.left, id)
			m.check()
		}
	}
}

// see notes what was begun before the mark.
func (l *Log) see(m *mark) {
	if m.seen {
		return
	}
	m.seen = true
	for id := range l.open {
		m.left[id] = true
	}
	m.check()
}

func (m *mark) check() {
	if len(m.left) == 0 {
		close(m.done)
	}
}

// Writes returns those after number seq, as far as they are kept. All that the API
// server had received when Writes was called are among them. request has to ask the
// API server for MarkPath with the id in IDHeader. The error is request's, or the
// cause of ctx's end with what was waited for, or says that a part of the record is lost.
func (l *Log) Writes(ctx context.Context, seq uint64, request func(ctx context.Context, id string) error) (api.Writes, error) {
	id := "stormgate-mark-" + rand.Text()
	m := &mark{left: map[string]bool{}, done: make(chan struct{})}
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
	case <-m.done:
	case <-ctx.Done():
		return api.Writes{}, l.late(ctx, m)
	}
	if err := l.Broken(); err != nil {
		return api.Writes{}, err
	}
	writes, first, last := l.writes.After(seq)
	return api.Writes{First: first, Last: last, Writes: writes}, nil
}

// late says what a mark waits for.
func (l *Log) late(ctx context.Context, m *mark) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !m.seen {
		return fmt.Errorf("wait for the mark in the audit log: %w", context.Cause(ctx))
	}
	return fmt.Errorf("wait for %d requests that the API server has not answered: %w", len(m.left), context.Cause(ctx))
}

// Broken says that a part of the log could not be read, and which; nil is the rule.
func (l *Log) Broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}
