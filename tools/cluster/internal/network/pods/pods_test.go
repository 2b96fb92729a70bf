package pods

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	wire "github.com/miekg/dns"
	"github.com/vishvananda/netlink"

	"stormgate.internal/tools/cluster/internal/network/dns"
	"stormgate.internal/tools/cluster/internal/network/networktest"
	"stormgate.internal/tools/cluster/internal/network/proxy"
)

// inNamespaces runs the calling test again as the root of new user, network
// and mount namespaces. It returns false in the process that has to wait for
// that, which then has nothing left to do.
func inNamespaces(t *testing.T) bool {
	const marker = "STORMGATE_TEST_NAMESPACES"
	if os.Getenv(marker) != "" {
		return true
	}
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v")
	// Of Bazel's variables only those that say where files go: the others
	// would have the inner process write the outer one's report.
	command.Env = []string{marker + "=1", "GO_TEST_WRAP=0"}
	for _, name := range []string{"PATH", "TMPDIR", "TEST_TMPDIR", "GOCOVERDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()) {
		t.Fatalf("in namespaces: %v\n%s", err, output)
	}
	return false
}

var testOptions = Options{NodeIP: netip.MustParseAddr("10.0.0.1"), PodCIDR: netip.MustParsePrefix("10.244.0.0/16")}

func newTestNetwork(t *testing.T) *Network {
	t.Helper()
	n, err := New(testOptions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func setup(t *testing.T, n *Network, podID string) *Attachment {
	t.Helper()
	pod, err := n.Setup(podID)
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// in runs something inside a pod's namespace.
func in(t *testing.T, pod *Attachment, do func() error) {
	t.Helper()
	if err := inNamespace(pod.NetNS(), do); err != nil {
		t.Error(err)
	}
}

// serveIn serves TCP at all addresses of the pod; each connection gets the
// address that it came from.
func serveIn(t *testing.T, pod *Attachment, port int) {
	t.Helper()
	var listener *net.TCPListener
	in(t, pod, func() (err error) {
		listener, err = net.ListenTCP("tcp4", &net.TCPAddr{Port: port})
		return err
	})
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, conn.RemoteAddr().(*net.TCPAddr).IP, "at", conn.LocalAddr())
			conn.Close()
		}
	}()
}

func askIn(t *testing.T, pod *Attachment, address string) string {
	t.Helper()
	var answer string
	in(t, pod, func() error { answer = networktest.Ask(address); return nil })
	return answer
}

func TestPodsReachOneAnotherAndTheNode(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	n := newTestNetwork(t)
	one, two := setup(t, n, "one"), setup(t, n, "two")
	if one.IP() != "10.244.0.3" || two.IP() != "10.244.0.4" || n.HostIP() != "10.0.0.1" {
		t.Errorf("addresses %s, %s, %s", one.IP(), two.IP(), n.HostIP())
	}
	// Two pods with the same port, at all addresses, and that below 1024.
	serveIn(t, one, 80)
	serveIn(t, two, 80)
	host, err := net.Listen("tcp4", "10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	go func() {
		for {
			conn, err := host.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, "node for", conn.RemoteAddr().(*net.TCPAddr).IP)
			conn.Close()
		}
	}()
	for _, test := range []struct{ got, want string }{
		{askIn(t, one, "10.244.0.4:80"), "10.244.0.3 at 10.244.0.4:80"},
		{askIn(t, two, "10.244.0.3:80"), "10.244.0.4 at 10.244.0.3:80"},
		{askIn(t, one, "10.244.0.3:80"), "10.244.0.3 at 10.244.0.3:80"},
		{askIn(t, one, "127.0.0.1:80"), "127.0.0.1 at 127.0.0.1:80"},
		{askIn(t, one, "10.0.0.1:80"), "node for 10.244.0.3"},
		{networktest.Ask("10.244.0.3:80"), "10.244.0.1 at 10.244.0.3:80"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

// The next pod at an address must answer those who knew the last one at once,
// though they have its hardware address in their caches.
func TestPodsAnswerAtReusedAddresses(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	options := testOptions
	options.PodCIDR = netip.MustParsePrefix("10.244.0.0/29")
	n, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	client := setup(t, n, "client")
	for i := range 8 {
		pod := setup(t, n, fmt.Sprintf("pod-%d", i))
		serveIn(t, pod, 8080)
		address := pod.IP() + ":8080"
		if got := askIn(t, client, address); !strings.HasPrefix(got, client.IP()) {
			t.Errorf("pod %d at %s: %q", i, pod.IP(), got)
		}
		if got := networktest.Ask(address); !strings.HasPrefix(got, "10.244.0.1") {
			t.Errorf("pod %d at %s from the node: %q", i, pod.IP(), got)
		}
		if err := pod.Close(); err != nil {
			t.Error(err)
		}
	}
}

func links(t *testing.T) []string {
	t.Helper()
	list, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, link := range list {
		names = append(names, link.Attrs().Name)
		if len(link.Attrs().Name) >= 15 {
			t.Errorf("link name %s is too long", link.Attrs().Name)
		}
	}
	return names
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNetworkLeavesNothingBehind(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	linksBefore := links(t)
	var descriptorsBefore int
	for round := range 3 {
		n, err := New(testOptions)
		if err != nil {
			t.Fatal(err)
		}
		closed := setup(t, n, "closed")
		setup(t, n, "open")
		if _, err := n.Setup("open"); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("a second network of a pod: %v", err)
		}
		for range 2 {
			if err := closed.Close(); err != nil {
				t.Error(err)
			}
		}
		setup(t, n, "closed")
		for range 2 {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
		if round == 0 {
			// The runtime opens some for itself with the first use.
			descriptorsBefore = descriptors(t)
		}
	}
	if after := links(t); strings.Join(after, " ") != strings.Join(linksBefore, " ") {
		t.Errorf("links %v, before %v", after, linksBefore)
	}
	if after := descriptors(t); after != descriptorsBefore {
		t.Errorf("%d descriptors, before %d", after, descriptorsBefore)
	}
}

func TestNetworkReportsWhatItCannotMake(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	n := newTestNetwork(t)
	if _, err := New(testOptions); err == nil || !strings.Contains(err.Error(), bridgeName) {
		t.Errorf("a second network: %v; want an error that names the bridge", err)
	}
	// The failure must not have taken the first one's parts away.
	pod := setup(t, n, "one")
	serveIn(t, pod, 80)
	if got := networktest.Ask(pod.IP() + ":80"); !strings.HasPrefix(got, "10.244.0.1") {
		t.Errorf("the first network after that: %q", got)
	}
}

// The whole of it: a pod finds a service by name and reaches a pod through its
// address, while a program on the node has the same port at all addresses.
func TestPodsReachServicesByName(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	n := newTestNetwork(t)
	server, client := setup(t, n, "server"), setup(t, n, "client")
	serveIn(t, server, 8080)
	wildcard, err := net.Listen("tcp4", "0.0.0.0:80")
	if err != nil {
		t.Fatal(err)
	}
	defer wildcard.Close()
	catalog := networktest.NewAPI(t, networktest.Service("shop/web", "10.96.7.7", "http:TCP:80"), networktest.Service("shop/idle", "10.96.7.8", "http:TCP:80"),
		networktest.Slice("shop/web", "web-1", "http:TCP:8080", networktest.Endpoint(server.IP(), "rs"))).Catalog(t)
	networktest.Run(t, "service proxy", func(ctx context.Context) error {
		return proxy.Run(ctx, catalog, proxy.Options{Sockets: n, Logger: networktest.Quiet()})
	})
	dnsAddress := netip.MustParseAddrPort("10.96.0.10:53")
	networktest.Run(t, "DNS", func(ctx context.Context) error {
		return dns.Run(ctx, catalog, dns.Options{Address: dnsAddress, Sockets: n, Logger: networktest.Quiet()})
	})
	const name = "web.shop.svc.cluster.local."
	var address string
	for _, network := range []string{"udp", "tcp"} {
		networktest.Eventually(t, "DNS over "+network+" resolves "+name, func() bool {
			var reply *wire.Msg
			in(t, client, func() error {
				conn, err := net.DialTimeout(network, dnsAddress.String(), networktest.Patience)
				if err != nil {
					return nil // it does not listen yet
				}
				defer conn.Close()
				c := wire.Client{Net: network, Timeout: networktest.Patience}
				reply, _, _ = c.ExchangeWithConn(new(wire.Msg).SetQuestion(name, wire.TypeA), &wire.Conn{Conn: conn})
				return nil
			})
			if reply == nil || len(reply.Answer) != 1 {
				return false
			}
			address = reply.Answer[0].(*wire.A).A.String() + ":80"
			return true
		})
	}
	const want = "10.244.0.1 at 10.244.0.3:8080"
	networktest.Eventually(t, "the service answers", func() bool { return askIn(t, client, address) == want })
	if got := networktest.Ask(address); got != want {
		t.Errorf("from the node: %q, want %q", got, want)
	}
	if got := askIn(t, server, address); got != want {
		t.Errorf("from the endpoint itself: %q, want %q", got, want)
	}
	for _, address := range []string{"10.96.7.8:80", "10.96.7.7:81", "10.96.99.99:80"} {
		in(t, client, func() error {
			if !networktest.Refuses(address) {
				return fmt.Errorf("%s does not refuse", address)
			}
			return nil
		})
	}
}

// Connections of a pod whose processes are gone must not hang.
func TestConnectionsEndWithTheirPod(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	n := newTestNetwork(t)
	server := setup(t, n, "server")
	var listener *net.TCPListener
	in(t, server, func() (err error) {
		listener, err = net.ListenTCP("tcp4", &net.TCPAddr{Port: 8080})
		return err
	})
	conn, err := net.DialTimeout("tcp4", server.IP()+":8080", networktest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
	listener.Close()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(networktest.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read = %v, want the connection's end", err)
	}
}
