package pods

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// addressPool hands out the host addresses of one IPv4 prefix. It goes round
// the prefix, so a released address rests for as long as possible: a client
// that still holds it reaches no pod rather than another one.
type addressPool struct {
	prefix netip.Prefix

	mu   sync.Mutex
	last netip.Addr
	used map[netip.Addr]struct{}
}

// newAddressPool makes a pool without the prefix's own address, its broadcast
// address and the reserved ones.
func newAddressPool(prefix netip.Prefix, reserved ...netip.Addr) *addressPool {
	prefix = prefix.Masked()
	pool := &addressPool{prefix: prefix, last: prefix.Addr(), used: map[netip.Addr]struct{}{}}
	for _, address := range append(reserved, prefix.Addr(), broadcastAddress(prefix)) {
		pool.used[address] = struct{}{}
	}
	return pool
}

func (p *addressPool) acquire() (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for address := p.last.Next(); ; address = address.Next() {
		if !p.prefix.Contains(address) {
			address = p.prefix.Addr()
		}
		if _, taken := p.used[address]; !taken {
			p.used[address] = struct{}{}
			p.last = address
			return address, nil
		}
		if address == p.last {
			return netip.Addr{}, fmt.Errorf("no free pod address in %s: all %d are held; delete pods", p.prefix, len(p.used))
		}
	}
}

func (p *addressPool) release(address netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, address)
}

// offset is the place of an address in its prefix, counted from 0.
func offset(prefix netip.Prefix, address netip.Addr) uint32 {
	first, this := prefix.Masked().Addr().As4(), address.As4()
	return binary.BigEndian.Uint32(this[:]) - binary.BigEndian.Uint32(first[:])
}

// nth is the reverse of offset.
func nth(prefix netip.Prefix, n uint32) netip.Addr {
	first := prefix.Masked().Addr().As4()
	binary.BigEndian.PutUint32(first[:], binary.BigEndian.Uint32(first[:])+n)
	return netip.AddrFrom4(first)
}

func broadcastAddress(prefix netip.Prefix) netip.Addr {
	return nth(prefix, 1<<(32-prefix.Bits())-1)
}

// hardwareAddress derives a locally administered MAC address from an IPv4
// address. A pod that gets a released address thus gets the MAC address that
// its neighbours have in their caches, and answers at once.
func hardwareAddress(address netip.Addr) net.HardwareAddr {
	ip := address.As4()
	return net.HardwareAddr{0x02, 0x53, ip[0], ip[1], ip[2], ip[3]}
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}
}
