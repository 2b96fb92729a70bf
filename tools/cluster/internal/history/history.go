// Package history keeps the newest of what has happened, numbered.
package history

import "sync"

// Log keeps the newest entries of a kind. All methods may be called concurrently.
type Log[T any] struct {
	size int

	mu      sync.Mutex
	last    uint64
	entries []T // entry n is at (n-1) modulo size
}

// New returns an empty log that keeps the newest size entries, of which there must
// be one at least. It takes memory as it fills.
func New[T any](size int) *Log[T] { return &Log[T]{size: size} }

// Add appends the entry that build makes of its number. The first is number 1.
func (l *Log[T]) Add(build func(seq uint64) T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	entry := build(l.last)
	if len(l.entries) < l.size {
		l.entries = append(l.entries, entry)
		return
	}
	l.entries[(l.last-1)%uint64(l.size)] = entry
}

// After returns the entries that follow number seq and are kept, oldest first, and
// the numbers of the oldest that is kept and of the newest. Of an empty log those are
// 1 and 0.
func (l *Log[T]) After(seq uint64) (entries []T, first, last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = l.last - uint64(len(l.entries)) + 1
	if seq >= l.last {
		return nil, first, l.last
	}
	for n := max(seq+1, first); n <= l.last; n++ {
		entries = append(entries, l.entries[(n-1)%uint64(l.size)])
	}
	return entries, first, l.last
}
