package process

import (
	"context"
	"errors"
	"sync"
	"time"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// broadcaster gives each subscriber all events in order, however slowly it
// takes them. The zero value is ready.
type broadcaster struct {
	mu          sync.Mutex
	closed      bool
	subscribers map[*subscriber]struct{}
}

type subscriber struct {
	pending []*rt.ContainerEventResponse // guarded by broadcaster.mu
	wake    chan struct{}                // holds at most one token; closed with the broadcaster
}

var errEventsClosed = errors.New("the process runtime is closed")

func (b *broadcaster) publish(event *rt.ContainerEventResponse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	for s := range b.subscribers {
		s.pending = append(s.pending, event)
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (b *broadcaster) subscribe() (*subscriber, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errEventsClosed
	}
	if b.subscribers == nil {
		b.subscribers = map[*subscriber]struct{}{}
	}
	s := &subscriber{wake: make(chan struct{}, 1)}
	b.subscribers[s] = struct{}{}
	return s, nil
}

func (b *broadcaster) unsubscribe(s *subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subscribers, s)
}

// take returns what has been published to s since the last call.
func (b *broadcaster) take(s *subscriber) []*rt.ContainerEventResponse {
	b.mu.Lock()
	defer b.mu.Unlock()
	events := s.pending
	s.pending = nil
	return events
}

func (b *broadcaster) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	for s := range b.subscribers {
		close(s.wake)
	}
}

// GetContainerEvents sends the events from now on to the channel, until ctx
// ends or the runtime is closed; it returns why.
func (r *Runtime) GetContainerEvents(ctx context.Context, events chan *rt.ContainerEventResponse, connected func(rt.RuntimeService_GetContainerEventsClient)) error {
	s, err := r.events.subscribe()
	if err != nil {
		return err
	}
	defer r.events.unsubscribe(s)
	if connected != nil {
		connected(nil) // there is no stream object between a caller and itself
	}
	for {
		open := true
		select {
		case _, open = <-s.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, event := range r.events.take(s) {
			select {
			case events <- event:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if !open {
			return errEventsClosed
		}
	}
}

// emitContainer publishes an event with the states as they are. The caller
// holds Runtime.mu, so events come in the order of the changes.
func (r *Runtime) emitContainer(c *container, kind rt.ContainerEventType) {
	r.events.publish(&rt.ContainerEventResponse{
		ContainerId: c.id, ContainerEventType: kind, CreatedAt: time.Now().UnixNano(),
		PodSandboxStatus: c.sandbox.status(), ContainersStatuses: []*rt.ContainerStatus{c.status()},
	})
}

// emitSandbox does the same for a sandbox.
func (r *Runtime) emitSandbox(s *sandbox, kind rt.ContainerEventType) {
	r.events.publish(&rt.ContainerEventResponse{
		ContainerId: s.id, ContainerEventType: kind, CreatedAt: time.Now().UnixNano(), PodSandboxStatus: s.status(),
	})
}
