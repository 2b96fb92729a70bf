package network

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
)

// startProxy runs a proxy for the API's services on loopback sockets.
func startProxy(t *testing.T, api *api) *loopbackSockets {
	t.Helper()
	sockets := newLoopbackSockets()
	catalog := api.catalog(t)
	run(t, "service proxy", func(ctx context.Context) error {
		return RunServiceProxy(ctx, catalog, ProxyOptions{Sockets: sockets, Logger: quiet(), UDPIdle: time.Second})
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
func dial(t *testing.T, sockets *loopbackSockets, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp4", sockets.at(t, "tcp", address), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// ask connects and returns what the backend says, or an error's text.
func ask(address string) string {
	conn, err := net.DialTimeout("tcp4", address, patience)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err.Error()
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

func refuses(address string) bool {
	conn, err := net.DialTimeout("tcp4", address, patience)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
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
	api := newAPI(t, service("default/web", "10.96.0.5", "http:TCP:80"),
		slice("default/web", "web-1", tcpPort(port), endpoint("127.0.0.1", "rs")))
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
	api := newAPI(t, service("default/web", "10.96.0.5", "http:TCP:80"),
		slice("default/web", "web-1", tcpPort(port), endpoint("127.0.0.1", "rs")))
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
			slice("default/web", "a", tcpPort(good), endpoint("127.0.0.1", "rs")),
			slice("default/web", "b", tcpPort(draining), endpoint("127.0.0.1", "st")),
			slice("default/web", "c", tcpPort(unready), endpoint("127.0.0.1", "")),
		}, "good"},
		"unknown readiness is ready": {[]*discoveryv1.EndpointSlice{
			slice("default/web", "a", tcpPort(good), discoveryv1.Endpoint{Addresses: []string{"127.0.0.1"}}),
		}, "good"},
		"draining when none is ready": {[]*discoveryv1.EndpointSlice{
			slice("default/web", "b", tcpPort(draining), endpoint("127.0.0.1", "st")),
			slice("default/web", "c", tcpPort(unready), endpoint("127.0.0.1", "")),
		}, "draining"},
		"another when one refuses": {[]*discoveryv1.EndpointSlice{
			slice("default/web", "a", tcpPort(good), endpoint("127.0.0.1", "rs")),
			slice("default/web", "b", tcpPort(refusing), endpoint("127.0.0.99", "rs")),
		}, "good"},
		"the port of this name": {[]*discoveryv1.EndpointSlice{
			slice("default/web", "a", tcpPort(good), endpoint("127.0.0.1", "rs")),
			slice("default/web", "b", fmt.Sprintf("admin:TCP:%d", unready), endpoint("127.0.0.1", "rs")),
			slice("default/web", "c", fmt.Sprintf("http:UDP:%d", unready), endpoint("127.0.0.1", "rs")),
			slice("default/other", "d", tcpPort(unready), endpoint("127.0.0.1", "rs")),
		}, "good"},
	} {
		t.Run(name, func(t *testing.T) {
			api := newAPI(t, service("default/web", "10.96.0.5", "http:TCP:80"))
			for _, slice := range test.slices {
				api.put(slice)
			}
			address := startProxy(t, api).at(t, "tcp", "10.96.0.5:80")
			for range 20 {
				if got := ask(address); got != test.want {
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
	// Nobody listens at this port of another loopback address.
	port := listener.Addr().(*net.TCPAddr).Port
	api := newAPI(t, service("default/web", "10.96.0.5", "http:TCP:80"),
		slice("default/web", "web-1", tcpPort(port), endpoint("127.0.0.99", "rs")))
	// The reset may come before the client knows that it is connected.
	if got := ask(startProxy(t, api).at(t, "tcp", "10.96.0.5:80")); !strings.Contains(got, syscall.ECONNRESET.Error()) {
		t.Errorf("got %q, want a reset: an end of stream looks like an empty answer", got)
	}
}

func TestProxyListensOnlyWhileThereAreEndpoints(t *testing.T) {
	port := says(t, "web")
	web := service("default/web", "10.96.0.5", "http:TCP:80")
	api := newAPI(t, web, service("default/headless", "None", "http:TCP:80"), service("default/empty", "10.96.0.6", "http:TCP:80"),
		slice("default/headless", "headless-1", tcpPort(port), endpoint("127.0.0.1", "rs")))
	sockets := startProxy(t, api)
	api.put(slice("default/web", "web-1", tcpPort(port), endpoint("127.0.0.1", "rs")))
	address := sockets.at(t, "tcp", "10.96.0.5:80")
	if got := ask(address); got != "web" {
		t.Errorf("a service that was there before its endpoints gives %q", got)
	}
	api.put(slice("default/web", "web-1", tcpPort(port), endpoint("127.0.0.1", "s")))
	eventually(t, "a service without ready endpoints refuses", func() bool { return refuses(address) })
	api.put(slice("default/web", "web-1", tcpPort(port), endpoint("127.0.0.1", "rs")))
	eventually(t, "the service works again", func() bool { return ask(sockets.at(t, "tcp", "10.96.0.5:80")) == "web" })
	address = sockets.at(t, "tcp", "10.96.0.5:80")
	api.remove(web)
	eventually(t, "a deleted service refuses", func() bool { return refuses(address) })
	if sockets.count() != 2 {
		t.Errorf("%d sockets were opened, want 2: none for services without address or endpoints", sockets.count())
	}
}

// A change of one service must not touch another one's listener, nor
// connections through any.
func TestProxyLeavesTheUnconcernedAlone(t *testing.T) {
	echo := backend(t, func(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) })
	changing := service("default/changing", "10.96.0.6", "http:TCP:80")
	api := newAPI(t, service("default/stable", "10.96.0.5", "http:TCP:80"), changing,
		slice("default/stable", "stable-1", tcpPort(echo), endpoint("127.0.0.1", "rs")),
		slice("default/changing", "changing-1", tcpPort(echo), endpoint("127.0.0.1", "rs")))
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
	moved := service("default/changing", "10.96.0.6", "http:TCP:81")
	api.put(moved)
	old := sockets.at(t, "tcp", "10.96.0.6:80")
	sockets.at(t, "tcp", "10.96.0.6:81")
	eventually(t, "the old port refuses", func() bool { return refuses(old) })
	check(stable, "other service moved")
	check(leaving, "own service moved")
	if sockets.count() != 3 {
		t.Errorf("%d sockets were opened, want 3", sockets.count())
	}
}

func TestProxyKeepsClientsWithAffinity(t *testing.T) {
	web := service("default/web", "10.96.0.5", "http:TCP:80")
	web.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	api := newAPI(t, web)
	for i := range 4 {
		name := fmt.Sprintf("web-%d", i)
		api.put(slice("default/web", name, tcpPort(says(t, name)), endpoint("127.0.0.1", "rs")))
	}
	address := startProxy(t, api).at(t, "tcp", "10.96.0.5:80")
	first := ask(address)
	for range 20 {
		if got := ask(address); got != first {
			t.Fatalf("the client got %q after %q", got, first)
		}
	}
}

// An address may be taken for a moment; the listener must come without another
// change of the service.
func TestProxyTriesAgainToListen(t *testing.T) {
	port := says(t, "web")
	api := newAPI(t, service("default/web", "10.96.0.5", "http:TCP:80"))
	sockets := newLoopbackSockets()
	sockets.setRefuse(syscall.EADDRINUSE)
	catalog := api.catalog(t)
	var attempts atomic.Int32
	run(t, "service proxy", func(ctx context.Context) error {
		return RunServiceProxy(ctx, catalog, ProxyOptions{Sockets: countingSockets{sockets, &attempts}, Logger: quiet()})
	})
	api.put(slice("default/web", "web-1", tcpPort(port), endpoint("127.0.0.1", "rs")))
	eventually(t, "an attempt to listen failed", func() bool { return attempts.Load() > 0 })
	sockets.setRefuse(nil)
	if got := ask(sockets.at(t, "tcp", "10.96.0.5:80")); got != "web" {
		t.Errorf("got %q", got)
	}
}

type countingSockets struct {
	*loopbackSockets
	attempts *atomic.Int32
}

func (s countingSockets) ListenTCP(address netip.AddrPort) (*net.TCPListener, error) {
	defer s.attempts.Add(1)
	return s.loopbackSockets.ListenTCP(address)
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
