package networktest

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Sockets opens sockets on free ports of the loopback interface in
// place of service addresses, and knows where they are.
type Sockets struct {
	mu     sync.Mutex
	tcp    map[netip.AddrPort]netip.AddrPort
	udp    map[netip.AddrPort]netip.AddrPort
	opened int
	refuse error
}

func NewSockets() *Sockets {
	return &Sockets{tcp: map[netip.AddrPort]netip.AddrPort{}, udp: map[netip.AddrPort]netip.AddrPort{}}
}

func (s *Sockets) ListenTCP(address netip.AddrPort) (*net.TCPListener, error) {
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

func (s *Sockets) ListenUDP(address netip.AddrPort) (*net.UDPConn, error) {
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

func (s *Sockets) Refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

func (s *Sockets) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// At waits for a socket that stands for the address.
func (s *Sockets) At(t *testing.T, network, address string) string {
	t.Helper()
	sockets := s.tcp
	if network == "udp" {
		sockets = s.udp
	}
	var actual netip.AddrPort
	Eventually(t, network+" "+address+" is listened at", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		var ok bool
		actual, ok = sockets[netip.MustParseAddrPort(address)]
		return ok
	})
	return actual.String()
}

// Ask connects and returns what the backend says, or an error's text.
func Ask(address string) string {
	conn, err := net.DialTimeout("tcp4", address, Patience)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		return err.Error()
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

// Refuses reports whether a connection is refused.
func Refuses(address string) bool {
	conn, err := net.DialTimeout("tcp4", address, Patience)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
