package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"stormgate.internal/tools/cluster/internal/network/networktest"
)

// startProxy runs a proxy for the API's services on loopback sockets.
func startProxy(t *testing.T, api *networktest.API) *networktest.Sockets {
	t.Helper()
	sockets := networktest.NewSockets()
	catalog := api.Catalog(t)
	networktest.Run(t, "service proxy", func(ctx context.Context) error {
		return Run(ctx, catalog, Options{Sockets: sockets, Logger: networktest.Quiet(), UDPIdle: time.Second})
	})
	return sockets
}

// backend serves TCP connections on 127.0.0.1 and returns its port.
func backend(t *testing.T, serve func(*net.TCPConn)) int {
	t.Helper()
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.AcceptTCP()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// says is a backend that sends its name at once.
func says(t *testing.T, name string) int {
	return backend(t, func(conn *net.TCPConn) { fmt.Fprintln(conn, name) })
}

func tcpPort(number int) string { return fmt.Sprintf("http:TCP:%d", number) }

// dial connects to where a service address is listened at.
func dial(t *testing.T, sockets *networktest.Sockets, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp4", sockets.At(t, "tcp", address), networktest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(networktest.Patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// A client that has said all it has to say must still get the whole answer,
// and the backend must see that there is no more.
func TestProxyPassesHalfCloseOn(t *testing.T) {
	port := backend(t, func(conn *net.TCPConn) {
		body, err := io.ReadAll(conn)
		if err == nil {
			fmt.Fprintf(conn, "got %d bytes", len(body))
		}
	})
	api := networktest.NewAPI(t, networktest.Service("default/web", "10.96.0.5", "http:TCP:80"),
		networktest.Slice("default/web", "web-1", tcpPort(port), networktest.Endpoint("127.0.0.1", "rs")))
	conn := dial(t, startProxy(t, api), "10.96.0.5:80")
	if _, err := io.Copy(conn, strings.NewReader(strings.Repeat("x", 1<<20))); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if want := fmt.Sprintf("got %d bytes", 1<<20); err != nil || string(answer) != want {
		t.Errorf("answer %q, %v; want %q", answer, err, want)
	}
}

func TestProxyPassesResetOn(t *testing.T) {
	port := backend(t, func(conn *net.TCPConn) {
		_, _ = bufio.NewReader(conn).ReadString('\n')
		reset(conn)
	})
	api := networktest.NewAPI(t, networktest.Service("default/web", "10.96.0.5", "http:TCP:80"),
		networktest.Slice("default/web", "web-1", tcpPort(port), networktest.Endpoint("127.0.0.1", "rs")))
	conn := dial(t, startProxy(t, api), "10.96.0.5:80")
	fmt.Fprintln(conn, "hello")
	if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a reset of the backend arrives as %v, want ECONNRESET", err)
	}
}

func TestProxyChoosesEndpoints(t *testing.T) {
	good, draining, unready := says(t, "good"), says(t, "draining"), says(t, "unready")
	refusing := backend(t, nil)
	for name, test := range map[string]struct {
		slices []*discoveryv1.EndpointSlice
		want   string
	}{
		"ready only": {[]*discoveryv1.EndpointSlice{
			networktest.Slice("default/web", "a", tcpPort(good), networktest.Endpoint("127.0.0.1", "rs")),
			networktest.Slice("default/web", "b", tcpPort(draining), networktest.Endpoint("127.0.0.1", "st")),
			networktest.Slice("default/web", "c", tcpPort(unready), networktest.Endpoint("127.0.0.1", "")),
		}, "good"},
		"unknown readiness is ready": {[]*discoveryv1.EndpointSlice{
			networktest.Slice("default/web", "a", tcpPort(good), discoveryv1.Endpoint{Addresses: []string{"127.0.0.1"}}),
		}, "good"},
		"draining when none is ready": {[]*discoveryv1.EndpointSlice{
			networktest.Slice("default/web", "b", tcpPort(draining), networktest.Endpoint("127.0.0.1", "st")),
			networktest.Slice("default/web", "c", tcpPort(unready), networktest.Endpoint("127.0.0.1", "")),
		}, "draining"},
		"another when one refuses": {[]*discoveryv1.EndpointSlice{
			networktest.Slice("default/web", "a", tcpPort(good), networktest.Endpoint("127.0.0.1", "rs")),
			networktest.Slice("default/web", "b", tcpPort(refusing), networktest.Endpoint("127.0.0.99", "rs")),
		}, "good"},
		"the port of this name": {[]*discoveryv1.EndpointSlice{
			networktest.Slice("default/web", "a", tcpPort(good), networktest.Endpoint("127.0.0.1", "rs")),
			networktest.Slice("default/web", "b", fmt.Sprintf("admin:TCP:%d", unready), networktest.Endpoint("127.0.0.1", "rs")),
			networktest.Slice("default/web", "c", fmt.Sprintf("http:UDP:%d", unready), networktest.Endpoint("127.0.0.1", "rs")),
			networktest.Slice("default/other", "d", tcpPort(unready), networktest.Endpoint("127.0.0.1", "rs")),
		}, "good"},
	} {
		t.Run(name, func(t *testing.T) {
			api := networktest.NewAPI(t, networktest.Service("default/web", "10.96.0.5", "http:TCP:80"))
			for _, slice := range test.slices {
				api.Put(slice)
			}
			address := startProxy(t, api).At(t, "tcp", "10.96.0.5:80")
			for range 20 {
				if got := networktest.Ask(address); got != test.want {
					t.Fatalf("a connection got %q, want %q", got, test.want)
				}
			}
		})
	}
}

func TestProxyResetsWhenNoEndpointCanBeReached(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	// No program listens at this port of another loopback address.
	port := listener.Addr().(*net.TCPAddr).Port
	api := networktest.NewAPI(t, networktest.Service("default/web", "10.96.0.5", "http:TCP:80"),
		networktest.Slice("default/web", "web-1", tcpPort(port), networktest.Endpoint("127.0.0.99", "rs")))
	// The reset may come before the client knows that it is connected.
	if got := networktest.Ask(startProxy(t, api).At(t, "tcp", "10.96.0.5:80")); !strings.Contains(got, syscall.ECONNRESET.Error()) {
		t.Errorf("got %q, want a reset: an end of stream looks like an empty answer", got)
	}
}

func TestProxyListensOnlyWhileThereAreEndpoints(t *testing.T) {
	port := says(t, "web")
	web := networktest.Service("default/web", "10.96.0.5", "http:TCP:80")
	api := networktest.NewAPI(t, web, networktest.Service("default/headless", "None", "http:TCP:80"), networktest.Service("default/empty", "10.96.0.6", "http:TCP:80"),
		networktest.Slice("default/headless", "headless-1", tcpPort(port), networktest.Endpoint("127.0.0.1", "rs")))
	sockets := startProxy(t, api)
	api.Put(networktest.Slice("default/web", "web-1", tcpPort(port), networktest.Endpoint("127.0.0.1", "rs")))
	address := sockets.At(t, "tcp", "10.96.0.5:80")
	if got := networktest.Ask(address); got != "web" {
		t.Errorf("a service that was there before its endpoints gives %q", got)
	}
	api.Put(networktest.Slice("default/web", "web-1", tcpPort(port), networktest.Endpoint("127.0.0.1", "s")))
	networktest.Eventually(t, "a service without ready endpoints refuses", func() bool { return networktest.Refuses(address) })
	api.Put(networktest.Slice("default/web", "web-1", tcpPort(port), networktest.Endpoint("127.0.0.1", "rs")))
	networktest.Eventually(t, "the service works again", func() bool { return networktest.Ask(sockets.At(t, "tcp", "10.96.0.5:80")) == "web" })
	address = sockets.At(t, "tcp", "10.96.0.5:80")
	api.Remove(web)
	networktest.Eventually(t, "a deleted service refuses", func() bool { return networktest.Refuses(address) })
	if sockets.Count() != 2 {
		t.Errorf("%d sockets were opened, want 2: none for services without address or endpoints", sockets.Count())
	}
}

// A change of one service must not touch another one's listener, nor
// connections through any.
func TestProxyLeavesTheUnconcernedAlone(t *testing.T) {
	echo := backend(t, func(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) })
	changing := networktest.Service("default/changing", "10.96.0.6", "http:TCP:80")
	api := networktest.NewAPI(t, networktest.Service("default/stable", "10.96.0.5", "http:TCP:80"), changing,
		networktest.Slice("default/stable", "stable-1", tcpPort(echo), networktest.Endpoint("127.0.0.1", "rs")),
		networktest.Slice("default/changing", "changing-1", tcpPort(echo), networktest.Endpoint("127.0.0.1", "rs")))
	sockets := startProxy(t, api)
	stable, leaving := dial(t, sockets, "10.96.0.5:80"), dial(t, sockets, "10.96.0.6:80")
	check := func(conn net.Conn, when string) {
		t.Helper()
		fmt.Fprintln(conn, when)
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || strings.TrimSpace(line) != when {
			t.Errorf("%s: echo %q, %v", when, line, err)
		}
	}
	check(stable, "before")
	check(leaving, "before")
	moved := networktest.Service("default/changing", "10.96.0.6", "http:TCP:81")
	api.Put(moved)
	old := sockets.At(t, "tcp", "10.96.0.6:80")
	sockets.At(t, "tcp", "10.96.0.6:81")
	networktest.Eventually(t, "the old port refuses", func() bool { return networktest.Refuses(old) })
	check(stable, "other service moved")
	check(leaving, "own service moved")
	if sockets.Count() != 3 {
		t.Errorf("%d sockets were opened, want 3", sockets.Count())
	}
}

func TestProxyKeepsClientsWithAffinity(t *testing.T) {
	web := networktest.Service("default/web", "10.96.0.5", "http:TCP:80")
	web.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	api := networktest.NewAPI(t, web)
	for i := range 4 {
		name := fmt.Sprintf("web-%d", i)
		api.Put(networktest.Slice("default/web", name, tcpPort(says(t, name)), networktest.Endpoint("127.0.0.1", "rs")))
	}
	address := startProxy(t, api).At(t, "tcp", "10.96.0.5:80")
	first := networktest.Ask(address)
	for range 20 {
		if got := networktest.Ask(address); got != first {
			t.Fatalf("the client got %q after %q", got, first)
		}
	}
}

// An address may be taken for a moment; the listener must come without another
// change of the service.
func TestProxyTriesAgainToListen(t *testing.T) {
	port := says(t, "web")
	api := networktest.NewAPI(t, networktest.Service("default/web", "10.96.0.5", "http:TCP:80"))
	sockets := networktest.NewSockets()
	sockets.Refuse(syscall.EADDRINUSE)
	catalog := api.Catalog(t)
	var attempts atomic.Int32
	networktest.Run(t, "service proxy", func(ctx context.Context) error {
		return Run(ctx, catalog, Options{Sockets: countingSockets{sockets, &attempts}, Logger: networktest.Quiet()})
	})
	api.Put(networktest.Slice("default/web", "web-1", tcpPort(port), networktest.Endpoint("127.0.0.1", "rs")))
	networktest.Eventually(t, "an attempt to listen failed", func() bool { return attempts.Load() > 0 })
	sockets.Refuse(nil)
	if got := networktest.Ask(sockets.At(t, "tcp", "10.96.0.5:80")); got != "web" {
		t.Errorf("got %q", got)
	}
}

type countingSockets struct {
	*networktest.Sockets
	attempts *atomic.Int32
}

func (s countingSockets) ListenTCP(address netip.AddrPort) (*net.TCPListener, error) {
	defer s.attempts.Add(1)
	return s.Sockets.ListenTCP(address)
}

func TestAffinityOfServices(t *testing.T) {
	seconds := int32(60)
	for name, test := range map[string]struct {
		spec corev1.ServiceSpec
		want time.Duration
	}{
		"none":     {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityNone}, 0},
		"default":  {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityClientIP}, 3 * time.Hour},
		"explicit": {corev1.ServiceSpec{SessionAffinity: corev1.ServiceAffinityClientIP, SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}}, time.Minute},
	} {
		if got := affinityOf(&corev1.Service{Spec: test.spec}); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
