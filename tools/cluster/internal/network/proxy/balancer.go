package proxy

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// balancer chooses the backend of each new connection of one service port: at
// random, or the client's last one where the service asks for that.
type balancer struct {
	now func() time.Time

	mu       sync.Mutex
	backends []netip.AddrPort
	affinity time.Duration // 0: none
	sticky   map[netip.Addr]stickiness
}

type stickiness struct {
	backend netip.AddrPort
	expires time.Time
}

func newBalancer(now func() time.Time) *balancer {
	return &balancer{now: now, sticky: map[netip.Addr]stickiness{}}
}

// update replaces the backends. Clients whose backend is gone, or whose time
// is over, choose anew.
func (b *balancer) update(backends []netip.AddrPort, affinity time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends, b.affinity = backends, affinity
	now := b.now()
	for client, last := range b.sticky {
		if affinity == 0 || !now.Before(last.expires) || !slices.Contains(backends, last.backend) {
			delete(b.sticky, client)
		}
	}
}

// candidates are the backends for a client, in the order to be tried.
func (b *balancer) candidates(client netip.Addr) []netip.AddrPort {
	b.mu.Lock()
	defer b.mu.Unlock()
	order := slices.Clone(b.backends)
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	if last, ok := b.sticky[client]; ok && b.now().Before(last.expires) {
		if i := slices.Index(order, last.backend); i > 0 {
			order[0], order[i] = order[i], order[0]
		}
	}
	return order
}

// chosen notes that the client got the backend, which starts its affinity time
// again.
func (b *balancer) chosen(client netip.Addr, backend netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.affinity > 0 && slices.Contains(b.backends, backend) {
		b.sticky[client] = stickiness{backend: backend, expires: b.now().Add(b.affinity)}
	}
}

func (b *balancer) has(backend netip.AddrPort) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.backends, backend)
}
