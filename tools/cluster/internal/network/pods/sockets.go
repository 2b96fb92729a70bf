package pods

import (
	"net"
	"net/netip"

	"stormgate.internal/tools/cluster/internal/network"
)

var _ network.Sockets = (*Network)(nil)

// ListenTCP listens at an address of the service CIDR.
func (n *Network) ListenTCP(address netip.AddrPort) (*net.TCPListener, error) {
	var listener *net.TCPListener
	err := inNamespace(n.services, func() (err error) {
		listener, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(address))
		return err
	})
	return listener, err
}

// ListenUDP opens a datagram socket at an address of the service CIDR.
func (n *Network) ListenUDP(address netip.AddrPort) (*net.UDPConn, error) {
	var conn *net.UDPConn
	err := inNamespace(n.services, func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(address))
		return err
	})
	return conn, err
}
