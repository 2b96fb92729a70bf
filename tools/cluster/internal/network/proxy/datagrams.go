package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// maxDatagram is the largest UDP payload there is over IPv4.
const maxDatagram = 65507

// datagrams forwards UDP for one service port: each client has a socket of its
// own towards its backend, by which replies find their way home.
type datagrams struct {
	proxy    *proxy
	socket   *net.UDPConn
	balancer *balancer

	mu      sync.Mutex
	clients map[netip.AddrPort]*datagramClient
}

type datagramClient struct {
	address  netip.AddrPort
	backend  netip.AddrPort
	socket   *net.UDPConn
	lastSeen atomic.Int64 // unix ns of the last datagram, either way
}

func (p *proxy) startUDP(_ context.Context, address netip.AddrPort, front *frontend) error {
	socket, err := p.options.Sockets.ListenUDP(address)
	if err != nil {
		return err
	}
	d := &datagrams{proxy: p, socket: socket, balancer: front.balancer, clients: map[netip.AddrPort]*datagramClient{}}
	front.close = func() error {
		err := socket.Close()
		d.dropClients(func(*datagramClient) bool { return true })
		return err
	}
	front.backendsChanged = func() {
		d.dropClients(func(client *datagramClient) bool { return !d.balancer.has(client.backend) })
	}
	p.conns.running.Go(d.receive)
	return nil
}

// receive passes on what clients send.
func (d *datagrams) receive() {
	buffer := make([]byte, maxDatagram)
	for {
		n, address, err := d.socket.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// An ICMP error for an earlier reply: no matter of this datagram.
			continue
		}
		client, err := d.clientAt(netip.AddrPortFrom(address.Addr().Unmap(), address.Port()))
		if err != nil {
			d.proxy.options.Logger.Info("drop datagram of a service", "service", d.socket.LocalAddr(), "client", address, "error", err)
			continue
		}
		client.lastSeen.Store(time.Now().UnixNano())
		if _, err := client.socket.Write(buffer[:n]); err != nil {
			// Refused by the backend: the next datagram may choose another.
			d.drop(client)
		}
	}
}

func (d *datagrams) clientAt(address netip.AddrPort) (*datagramClient, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if client, ok := d.clients[address]; ok {
		return client, nil
	}
	candidates := d.balancer.candidates(address.Addr())
	if len(candidates) == 0 {
		return nil, errors.New("the service has no endpoints")
	}
	socket, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(candidates[0]))
	if err != nil {
		return nil, err
	}
	client := &datagramClient{address: address, backend: candidates[0], socket: socket}
	client.lastSeen.Store(time.Now().UnixNano())
	if !d.proxy.conns.add(socket) {
		return nil, net.ErrClosed
	}
	d.clients[address] = client
	d.balancer.chosen(address.Addr(), client.backend)
	d.proxy.conns.running.Go(func() { d.reply(client) })
	return client, nil
}

// reply passes on what a client's backend sends, until there was no datagram
// either way for as long as the proxy's options say.
func (d *datagrams) reply(client *datagramClient) {
	defer d.drop(client)
	buffer := make([]byte, maxDatagram)
	for {
		idleAt := time.Unix(0, client.lastSeen.Load()).Add(d.proxy.options.UDPIdle)
		if err := client.socket.SetReadDeadline(idleAt); err != nil {
			return
		}
		n, err := client.socket.Read(buffer)
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() && time.Since(time.Unix(0, client.lastSeen.Load())) < d.proxy.options.UDPIdle {
				continue
			}
			return
		}
		client.lastSeen.Store(time.Now().UnixNano())
		if _, err := d.socket.WriteToUDPAddrPort(buffer[:n], client.address); err != nil {
			return
		}
	}
}

func (d *datagrams) drop(client *datagramClient) {
	d.mu.Lock()
	if d.clients[client.address] == client {
		delete(d.clients, client.address)
	}
	d.mu.Unlock()
	d.proxy.conns.remove(client.socket)
}

func (d *datagrams) dropClients(unwanted func(*datagramClient) bool) {
	d.mu.Lock()
	var dropped []*datagramClient
	for _, client := range d.clients {
		if unwanted(client) {
			dropped = append(dropped, client)
		}
	}
	d.mu.Unlock()
	for _, client := range dropped {
		d.drop(client)
	}
}
