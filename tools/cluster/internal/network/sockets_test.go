package network

import (
	"net"
	"net/netip"
	"sync"
	"testing"
)

// loopbackSockets opens sockets on free ports of the loopback interface in
// place of service addresses, and tells where they are.
type loopbackSockets struct {
	mu     sync.Mutex
	tcp    map[netip.AddrPort]netip.AddrPort
	udp    map[netip.AddrPort]netip.AddrPort
	opened int
	refuse error
}

func newLoopbackSockets() *loopbackSockets {
	return &loopbackSockets{tcp: map[netip.AddrPort]netip.AddrPort{}, udp: map[netip.AddrPort]netip.AddrPort{}}
}

func (s *loopbackSockets) ListenTCP(address netip.AddrPort) (*net.TCPListener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, s.refuse
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err == nil {
		s.opened++
		s.tcp[address] = listener.Addr().(*net.TCPAddr).AddrPort()
	}
	return listener, err
}

func (s *loopbackSockets) ListenUDP(address netip.AddrPort) (*net.UDPConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, s.refuse
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err == nil {
		s.opened++
		s.udp[address] = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	return conn, err
}

func (s *loopbackSockets) setRefuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

func (s *loopbackSockets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// at waits for a socket that stands for the address.
func (s *loopbackSockets) at(t *testing.T, network, address string) string {
	t.Helper()
	sockets := s.tcp
	if network == "udp" {
		sockets = s.udp
	}
	var actual netip.AddrPort
	eventually(t, network+" "+address+" is listened at", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		var ok bool
		actual, ok = sockets[netip.MustParseAddrPort(address)]
		return ok
	})
	return actual.String()
}
