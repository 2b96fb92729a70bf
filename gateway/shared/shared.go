// Package shared has one call serve all who ask for the same thing.
package shared

import (
	"context"
	"sync"
)

// Calls makes one call for a key at a time. Who asks while it is under way shares the next
// one with all others who do, so that nobody is told what was so before it asked. However
// many ask, two calls of a key are all that there is.
type Calls[Key comparable, Answer any] struct {
	call func(context.Context, Key) (Answer, error)

	mu sync.Mutex
	// queues are those of keys with a call under way or about to begin.
	queues map[Key]*queue[Answer]
}

// queue holds the call of a key that has not begun, or nil.
type queue[Answer any] struct{ next *call[Answer] }

// call is for all that asked before it began.
type call[Answer any] struct {
	ctx    context.Context
	done   chan struct{} // closed when answer and err are set
	answer Answer
	err    error
}

// NewCalls returns Calls of the function. The function limits its own time, since it does
// not end with those who ask: others may wait for it. Its context has the values of the
// first one's, and no end.
func NewCalls[Key comparable, Answer any](function func(context.Context, Key) (Answer, error)) *Calls[Key, Answer] {
	return &Calls[Key, Answer]{call: function, queues: make(map[Key]*queue[Answer])}
}

// Do returns what a call that began after it says. The answer is shared: nobody may change
// it. The error is the call's, or the context's.
func (c *Calls[Key, Answer]) Do(ctx context.Context, key Key) (Answer, error) {
	shared := c.join(ctx, key)
	select {
	case <-shared.done:
		return shared.answer, shared.err
	case <-ctx.Done():
		var none Answer
		return none, context.Cause(ctx)
	}
}

// join returns the next call of a key, and has it made.
func (c *Calls[Key, Answer]) join(ctx context.Context, key Key) *call[Answer] {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[key]
	active := q != nil
	if !active {
		q = &queue[Answer]{}
		c.queues[key] = q
	}
	if q.next == nil {
		q.next = &call[Answer]{ctx: context.WithoutCancel(ctx), done: make(chan struct{})}
	}
	if !active {
		go c.run(key, q)
	}
	return q.next
}

// run makes the calls of a key until nobody asks.
func (c *Calls[Key, Answer]) run(key Key, q *queue[Answer]) {
	for {
		c.mu.Lock()
		next := q.next
		if q.next = nil; next == nil {
			delete(c.queues, key)
		}
		c.mu.Unlock()
		if next == nil {
			return
		}
		next.answer, next.err = c.call(next.ctx, key)
		close(next.done)
	}
}
