package proxy

import (
	"fmt"
	"net"
	"testing"
	"time"

	"stormgate.internal/tools/cluster/internal/network/networktest"
)

// udpBackend answers each datagram with its name and the datagram.
func udpBackend(t *testing.T, name string) int {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		buffer := make([]byte, maxDatagram)
		for {
			n, client, err := socket.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = socket.WriteToUDPAddrPort([]byte(name+":"+string(buffer[:n])), client)
		}
	}()
	return socket.LocalAddr().(*net.UDPAddr).Port
}

func udpPort(number int) string { return fmt.Sprintf("dns:UDP:%d", number) }

func dialUDP(t *testing.T, address string) *net.UDPConn {
	t.Helper()
	conn, err := net.Dial("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UDPConn)
}

// exchange sends a datagram and returns the answer, "" if there is none soon.
func exchange(t *testing.T, conn *net.UDPConn, message string) string {
	t.Helper()
	if _, err := conn.Write([]byte(message)); err != nil {
		return ""
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, maxDatagram)
	n, err := conn.Read(buffer)
	if err != nil {
		return ""
	}
	return string(buffer[:n])
}

func TestProxyForwardsDatagrams(t *testing.T) {
	api := networktest.NewAPI(t, networktest.Service("kube-system/dns", "10.96.0.10", "dns:UDP:53"),
		networktest.Slice("kube-system/dns", "dns-1", udpPort(udpBackend(t, "one")), networktest.Endpoint("127.0.0.1", "rs")))
	address := startProxy(t, api).At(t, "udp", "10.96.0.10:53")
	first, second := dialUDP(t, address), dialUDP(t, address)
	for i := range 3 {
		for _, client := range []*net.UDPConn{first, second} {
			message := fmt.Sprintf("%s %d", client.LocalAddr(), i)
			if got := exchange(t, client, message); got != "one:"+message {
				t.Errorf("answer %q to %q", got, message)
			}
		}
	}
}

// A UDP client keeps its endpoint, but not past that endpoint's end.
func TestProxyMovesDatagramClientsToLiveEndpoints(t *testing.T) {
	one, two := udpBackend(t, "one"), udpBackend(t, "two")
	api := networktest.NewAPI(t, networktest.Service("kube-system/dns", "10.96.0.10", "dns:UDP:53"),
		networktest.Slice("kube-system/dns", "dns-1", udpPort(one), networktest.Endpoint("127.0.0.1", "rs")))
	sockets := startProxy(t, api)
	client := dialUDP(t, sockets.At(t, "udp", "10.96.0.10:53"))
	if got := exchange(t, client, "a"); got != "one:a" {
		t.Fatalf("answer %q, want that of the only endpoint", got)
	}
	api.Put(networktest.Slice("kube-system/dns", "dns-1", udpPort(two), networktest.Endpoint("127.0.0.1", "rs")))
	networktest.Eventually(t, "the client gets to the new endpoint", func() bool { return exchange(t, client, "b") == "two:b" })
	if sockets.Count() != 1 {
		t.Errorf("%d sockets were opened, want 1", sockets.Count())
	}
}

// A client that was silent for longer than the idle time is a new one.
func TestProxyForgetsSilentDatagramClients(t *testing.T) {
	api := networktest.NewAPI(t, networktest.Service("kube-system/dns", "10.96.0.10", "dns:UDP:53"),
		networktest.Slice("kube-system/dns", "dns-1", udpPort(udpBackend(t, "one")), networktest.Endpoint("127.0.0.1", "rs")))
	sockets := networktest.NewSockets()
	p := &proxy{
		options:   Options{Sockets: sockets, UDPIdle: 10 * time.Millisecond, Logger: networktest.Quiet()},
		catalog:   api.Catalog(t),
		frontends: map[servicePort]*frontend{}, failed: map[servicePort]string{}, conns: newConnections(),
	}
	t.Cleanup(p.close)
	networktest.Eventually(t, "the service is proxied", func() bool { p.sync(t.Context()); return len(p.frontends) == 1 })
	client := dialUDP(t, sockets.At(t, "udp", "10.96.0.10:53"))
	open := func() int {
		p.conns.mu.Lock()
		defer p.conns.mu.Unlock()
		return len(p.conns.open)
	}
	for range 2 {
		if got := exchange(t, client, "a"); got != "one:a" {
			t.Fatalf("answer %q", got)
		}
		networktest.Eventually(t, "the client's socket is closed", func() bool { return open() == 0 })
	}
}
