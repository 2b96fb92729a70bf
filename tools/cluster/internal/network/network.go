// Package network is the cluster's network inside one network namespace of the
// host. Its parts are
//
//   - pods: an address and a network namespace for each pod,
//   - catalog: what the API server knows of services and their endpoints,
//   - proxy: ClusterIP services,
//   - dns: cluster DNS.
//
// Service addresses live in a network namespace of their own on the pods'
// bridge, where a userspace proxy and the DNS server listen. A service may use
// any port there without meeting a program that listens on every address of the
// node, and a port that no service uses refuses connections. Nothing here needs
// a program of the host (ip, nft) or a privilege beyond the user namespace that
// owns the network.
package network

import (
	"net"
	"net/netip"
)

// Sockets opens sockets at service addresses. A cluster's is *pods.Network.
type Sockets interface {
	ListenTCP(address netip.AddrPort) (*net.TCPListener, error)
	ListenUDP(address netip.AddrPort) (*net.UDPConn, error)
}
