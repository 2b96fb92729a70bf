package remediation

import (
	"context"
	"sync"

	"stormgate.internal/gateway/api/v1alpha1"
)

// sharedLists lists the storms' objects of namespaces, one list of a namespace at a time.
// An object of a storm may have 1.5 MB, and each of a thousand signals that come at once
// may have to look for its own among them: a list for each took more memory than the
// gateway has.
type sharedLists struct {
	list func(ctx context.Context, namespace string) ([]v1alpha1.RemediationRequest, error)

	mu sync.Mutex
	// next is, by namespace, the list that has not begun, which whoever comes may share.
	next map[string]*sharedList
	// turns, by namespace, has room for the list that is being made.
	turns map[string]chan struct{}
}

// sharedList is a list for all that asked before it began.
type sharedList struct {
	done  chan struct{} // closed when items and err are set
	items []v1alpha1.RemediationRequest
	err   error
}

// in returns the storms' objects of a namespace, as they are at some moment after the
// call. They are shared: the caller changes none. The list goes on when ctx ends, since
// others may wait for it.
func (s *sharedLists) in(ctx context.Context, namespace string) ([]v1alpha1.RemediationRequest, error) {
	s.mu.Lock()
	shared := s.next[namespace]
	if shared == nil {
		shared = &sharedList{done: make(chan struct{})}
		if s.next == nil {
			s.next, s.turns = map[string]*sharedList{}, map[string]chan struct{}{}
		}
		s.next[namespace] = shared
		if s.turns[namespace] == nil {
			s.turns[namespace] = make(chan struct{}, 1)
		}
		go s.run(context.WithoutCancel(ctx), namespace, shared, s.turns[namespace])
	}
	s.mu.Unlock()
	select {
	case <-shared.done:
		return shared.items, shared.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run makes a list when it is its turn. The client limits the time that it takes.
func (s *sharedLists) run(ctx context.Context, namespace string, shared *sharedList, turn chan struct{}) {
	turn <- struct{}{}
	defer func() { <-turn }()
	s.mu.Lock()
	delete(s.next, namespace) // who comes now needs a later one
	s.mu.Unlock()
	defer close(shared.done)
	shared.items, shared.err = s.list(ctx, namespace)
}
