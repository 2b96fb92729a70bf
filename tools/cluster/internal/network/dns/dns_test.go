package dns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"stormgate.internal/tools/cluster/internal/network/catalog"
	"stormgate.internal/tools/cluster/internal/network/networktest"
)

var dnsAddress = netip.MustParseAddrPort("10.96.0.10:53")

// startDNS runs the server on loopback sockets.
func startDNS(t *testing.T, catalog *catalog.Catalog) *networktest.Sockets {
	t.Helper()
	sockets := networktest.NewSockets()
	networktest.Run(t, "DNS", func(ctx context.Context) error {
		return Run(ctx, catalog, Options{
			Address:  dnsAddress,
			Networks: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.244.0.0/16")},
			Sockets:  sockets,
			Logger:   networktest.Quiet(),
		})
	})
	return sockets
}

func named(endpoint discoveryv1.Endpoint, hostname string) discoveryv1.Endpoint {
	endpoint.Hostname = &hostname
	return endpoint
}

func external(key, name string) *corev1.Service {
	s := networktest.Service(key, "")
	s.Spec.Type, s.Spec.ExternalName, s.Spec.ClusterIPs = corev1.ServiceTypeExternalName, name, nil
	return s
}

// sampleAPI has one service of each sort.
func sampleAPI(t *testing.T) *networktest.API {
	return networktest.NewAPI(t,
		networktest.Service("default/kubernetes", "10.96.0.1", "https:TCP:443"),
		networktest.Service("shop/web", "10.96.0.5", "http:TCP:80", "admin:TCP:81", "http:UDP:82"),
		networktest.Service("shop/single", "10.96.0.6", ":TCP:80"),
		networktest.Service("shop/redis", "None", "redis:TCP:6379"),
		networktest.Slice("shop/redis", "redis-1", "redis:TCP:6380",
			named(networktest.Endpoint("10.244.0.3", "rs"), "redis-0"), named(networktest.Endpoint("10.244.0.4", "rs"), "redis-1"),
			networktest.Endpoint("10.244.0.5", "rs"), named(networktest.Endpoint("10.244.0.6", "s"), "redis-3")),
		networktest.Service("shop/idle", "None", "redis:TCP:6379"),
		networktest.Slice("shop/web", "web-1", "http:TCP:8080", networktest.Endpoint("10.244.0.3", "rs")),
		external("shop/outside", "db.example.com"),
		external("shop/inside", "web.shop.svc.cluster.local"),
		external("shop/loop", "loop.shop.svc.cluster.local"),
	)
}

// short is a record without its owner, class and TTL.
func short(record dns.RR) string {
	text := record.String()
	fields := strings.Fields(text)
	return strings.Join(fields[3:], " ")
}

func query(t *testing.T, network, server, name string, kind uint16) *dns.Msg {
	t.Helper()
	client := dns.Client{Net: network, Timeout: networktest.Patience}
	reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, kind), server)
	if err != nil {
		t.Fatalf("%s %s: %v", name, dns.TypeToString[kind], err)
	}
	return reply
}

func TestDNSAnswers(t *testing.T) {
	sockets := startDNS(t, sampleAPI(t).Catalog(t))
	const (
		ok      = dns.RcodeSuccess
		noName  = dns.RcodeNameError
		refused = dns.RcodeRefused
	)
	cases := []struct {
		name   string
		kind   uint16
		code   int
		answer []string
	}{
		{"web.shop.svc.cluster.local.", dns.TypeA, ok, []string{"A 10.96.0.5"}},
		{"kubernetes.default.svc.cluster.local.", dns.TypeA, ok, []string{"A 10.96.0.1"}},
		{"WEB.Shop.svc.cluster.LOCAL.", dns.TypeA, ok, []string{"A 10.96.0.5"}},
		// There are no IPv6 addresses, but the name exists: resolvers that ask
		// for both must not take the answer for the other as well.
		{"web.shop.svc.cluster.local.", dns.TypeAAAA, ok, nil},
		{"redis.shop.svc.cluster.local.", dns.TypeAAAA, ok, nil},
		{"web.shop.svc.cluster.local.", dns.TypeMX, ok, nil},
		{"missing.shop.svc.cluster.local.", dns.TypeA, noName, nil},
		{"missing.shop.svc.cluster.local.", dns.TypeAAAA, noName, nil},
		{"web.missing.svc.cluster.local.", dns.TypeA, noName, nil},
		// What a resolver tries first with ndots:5 and the search list.
		{"web.shop.svc.cluster.local.shop.svc.cluster.local.", dns.TypeA, noName, nil},
		{"web.shop.cluster.local.", dns.TypeA, noName, nil},
		{"example.com.shop.svc.cluster.local.", dns.TypeA, noName, nil},
		// Names that only have names below them.
		{"svc.cluster.local.", dns.TypeA, ok, nil},
		{"shop.svc.cluster.local.", dns.TypeA, ok, nil},
		{"missing.svc.cluster.local.", dns.TypeA, noName, nil},
		{"_tcp.web.shop.svc.cluster.local.", dns.TypeSRV, ok, nil},
		{"dns.cluster.local.", dns.TypeA, ok, nil},
		{"cluster.local.", dns.TypeA, ok, nil},
		{"cluster.local.", dns.TypeNS, ok, []string{"NS ns.dns.cluster.local."}},
		{"cluster.local.", dns.TypeSOA, ok, []string{"SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"}},
		{"ns.dns.cluster.local.", dns.TypeA, ok, []string{"A 10.96.0.10"}},
		{"dns-version.cluster.local.", dns.TypeTXT, ok, []string{`TXT "1.1.0"`}},
		// Ports.
		{"_http._tcp.web.shop.svc.cluster.local.", dns.TypeSRV, ok, []string{"SRV 0 100 80 web.shop.svc.cluster.local."}},
		{"_http._udp.web.shop.svc.cluster.local.", dns.TypeSRV, ok, []string{"SRV 0 100 82 web.shop.svc.cluster.local."}},
		{"_admin._tcp.web.shop.svc.cluster.local.", dns.TypeSRV, ok, []string{"SRV 0 100 81 web.shop.svc.cluster.local."}},
		{"_admin._udp.web.shop.svc.cluster.local.", dns.TypeSRV, noName, nil},
		{"_x._http._tcp.web.shop.svc.cluster.local.", dns.TypeSRV, noName, nil},
		{"_._tcp.single.shop.svc.cluster.local.", dns.TypeSRV, noName, nil},
		{"_redis._tcp.redis.shop.svc.cluster.local.", dns.TypeSRV, ok, []string{
			"SRV 0 100 6380 10-244-0-5.redis.shop.svc.cluster.local.",
			"SRV 0 100 6380 redis-0.redis.shop.svc.cluster.local.",
			"SRV 0 100 6380 redis-1.redis.shop.svc.cluster.local.",
		}},
		{"_tcp.redis.shop.svc.cluster.local.", dns.TypeSRV, ok, nil},
		// Headless services: ready endpoints only.
		{"redis.shop.svc.cluster.local.", dns.TypeA, ok, []string{"A 10.244.0.3", "A 10.244.0.4", "A 10.244.0.5"}},
		{"redis-0.redis.shop.svc.cluster.local.", dns.TypeA, ok, []string{"A 10.244.0.3"}},
		{"10-244-0-5.redis.shop.svc.cluster.local.", dns.TypeA, ok, []string{"A 10.244.0.5"}},
		{"redis-3.redis.shop.svc.cluster.local.", dns.TypeA, noName, nil},
		{"redis-9.redis.shop.svc.cluster.local.", dns.TypeA, noName, nil},
		{"redis-0.web.shop.svc.cluster.local.", dns.TypeA, noName, nil},
		{"idle.shop.svc.cluster.local.", dns.TypeA, noName, nil},
		// External names: followed within the cluster only.
		{"outside.shop.svc.cluster.local.", dns.TypeA, ok, []string{"CNAME db.example.com."}},
		{"outside.shop.svc.cluster.local.", dns.TypeCNAME, ok, []string{"CNAME db.example.com."}},
		{"x.outside.shop.svc.cluster.local.", dns.TypeA, noName, nil},
		{"inside.shop.svc.cluster.local.", dns.TypeA, ok, []string{"A 10.96.0.5", "CNAME web.shop.svc.cluster.local."}},
		{"loop.shop.svc.cluster.local.", dns.TypeA, ok, []string{"CNAME loop.shop.svc.cluster.local."}},
		// Pods by address.
		{"10-244-0-77.shop.pod.cluster.local.", dns.TypeA, ok, []string{"A 10.244.0.77"}},
		{"10-244-0.shop.pod.cluster.local.", dns.TypeA, noName, nil},
		{"a-b-c-d.shop.pod.cluster.local.", dns.TypeA, noName, nil},
		// Reverse names.
		{"5.0.96.10.in-addr.arpa.", dns.TypePTR, ok, []string{"PTR web.shop.svc.cluster.local."}},
		{"3.0.244.10.in-addr.arpa.", dns.TypePTR, ok, []string{"PTR redis-0.redis.shop.svc.cluster.local."}},
		{"9.0.244.10.in-addr.arpa.", dns.TypePTR, noName, nil},
		{"1.2.0.192.in-addr.arpa.", dns.TypePTR, refused, nil},
		// Names of other zones: at once, since there is no server to ask.
		{"example.com.", dns.TypeA, refused, nil},
		{"xcluster.local.", dns.TypeA, refused, nil},
		{".", dns.TypeNS, refused, nil},
	}
	for _, network := range []string{"udp", "tcp"} {
		server := sockets.At(t, network, dnsAddress.String())
		for _, test := range cases {
			t.Run(fmt.Sprintf("%s %s %s", network, test.name, dns.TypeToString[test.kind]), func(t *testing.T) {
				reply := query(t, network, server, test.name, test.kind)
				if reply.Rcode != test.code {
					t.Errorf("code %s, want %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[test.code])
				}
				if reply.Authoritative != (test.code != refused) {
					t.Errorf("authoritative is %v", reply.Authoritative)
				}
				answer := []string{}
				for _, record := range reply.Answer {
					answer = append(answer, short(record))
					if record.Header().Ttl != recordTTL {
						t.Errorf("TTL of %s is %d", record, record.Header().Ttl)
					}
				}
				slices.Sort(answer)
				if !slices.Equal(slices.Compact(answer), test.answer) {
					t.Errorf("answer %q, want %q", answer, test.answer)
				}
				// A negative answer says for how long it holds.
				hasSOA := len(reply.Ns) == 1 && reply.Ns[0].Header().Rrtype == dns.TypeSOA
				if want := len(reply.Answer) == 0 && test.code != refused; hasSOA != want {
					t.Errorf("authority section %v, SOA wanted: %v", reply.Ns, want)
				}
			})
		}
	}
}

// The owner of an answer is the name as it was asked for: some resolvers mix
// the case to make forgeries harder and compare.
func TestDNSKeepsTheCaseOfTheQuestion(t *testing.T) {
	server := startDNS(t, sampleAPI(t).Catalog(t)).At(t, "udp", dnsAddress.String())
	const name = "wEB.sHOp.SVC.cluster.local."
	reply := query(t, "udp", server, name, dns.TypeA)
	if len(reply.Answer) != 1 || reply.Answer[0].Header().Name != name {
		t.Errorf("answer %v, want one record of %s", reply.Answer, name)
	}
}

func TestDNSAddsAddressesOfPorts(t *testing.T) {
	server := startDNS(t, sampleAPI(t).Catalog(t)).At(t, "udp", dnsAddress.String())
	reply := query(t, "udp", server, "_redis._tcp.redis.shop.svc.cluster.local.", dns.TypeSRV)
	if len(reply.Extra) != 3 || short(reply.Extra[0]) != "A 10.244.0.3" || reply.Extra[0].Header().Name != "redis-0.redis.shop.svc.cluster.local." {
		t.Errorf("additional section %v, want the addresses of the three targets", reply.Extra)
	}
}

func TestDNSRefusesWhatItDoesNotSpeak(t *testing.T) {
	server := startDNS(t, sampleAPI(t).Catalog(t)).At(t, "udp", dnsAddress.String())
	chaos := new(dns.Msg).SetQuestion("version.bind.", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	update := new(dns.Msg).SetUpdate("cluster.local.")
	for name, test := range map[string]struct {
		request *dns.Msg
		code    int
	}{
		"another class": {chaos, dns.RcodeRefused},
		"an update":     {update, dns.RcodeNotImplemented},
	} {
		reply, err := dns.Exchange(test.request, server)
		if err != nil || reply.Rcode != test.code {
			t.Errorf("%s: %v, %v; want %s", name, reply, err, dns.RcodeToString[test.code])
		}
	}
}

// Many endpoints do not fit in a datagram: the client must learn that, and get
// them all over TCP, or over UDP when it can take more.
func TestDNSTruncatesForSmallClients(t *testing.T) {
	api := sampleAPI(t)
	var endpoints []discoveryv1.Endpoint
	for i := range 60 {
		endpoints = append(endpoints, networktest.Endpoint(fmt.Sprintf("10.244.1.%d", i), "rs"))
	}
	api.Put(networktest.Service("shop/crowd", "None", "http:TCP:80"), networktest.Slice("shop/crowd", "crowd-1", "http:TCP:80", endpoints...))
	catalog := api.Catalog(t)
	sockets := startDNS(t, catalog)
	const name = "crowd.shop.svc.cluster.local."
	udp, tcp := sockets.At(t, "udp", dnsAddress.String()), sockets.At(t, "tcp", dnsAddress.String())
	plain := query(t, "udp", udp, name, dns.TypeA)
	plain.Compress = true
	if reply := plain; !reply.Truncated || reply.Len() > dns.MinMsgSize {
		t.Errorf("plain UDP: truncated %v, %d bytes", reply.Truncated, reply.Len())
	}
	if reply := query(t, "tcp", tcp, name, dns.TypeA); reply.Truncated || len(reply.Answer) != 60 {
		t.Errorf("TCP: truncated %v, %d records", reply.Truncated, len(reply.Answer))
	}
	request := new(dns.Msg).SetQuestion(name, dns.TypeA).SetEdns0(4096, false)
	reply, err := dns.Exchange(request, udp)
	if err != nil || reply.Truncated || len(reply.Answer) != 60 || reply.IsEdns0() == nil {
		t.Errorf("UDP with EDNS: %v, %v", reply, err)
	}
}

// A resolver ends its search with the name as it was given. Refused, it would
// report a temporary failure where there just is no such service.
func TestDNSDeniesBareNames(t *testing.T) {
	server := startDNS(t, sampleAPI(t).Catalog(t)).At(t, "udp", dnsAddress.String())
	for _, name := range []string{"redis.", "local."} {
		if reply := query(t, "udp", server, name, dns.TypeA); reply.Rcode != dns.RcodeNameError {
			t.Errorf("%s: %s, want NXDOMAIN", name, dns.RcodeToString[reply.Rcode])
		}
	}
}

func TestDNSFollowsChanges(t *testing.T) {
	api := sampleAPI(t)
	server := startDNS(t, api.Catalog(t)).At(t, "udp", dnsAddress.String())
	const name = "late.shop.svc.cluster.local."
	if reply := query(t, "udp", server, name, dns.TypeA); reply.Rcode != dns.RcodeNameError {
		t.Fatalf("a service that is not there yet: %v", reply)
	}
	late := networktest.Service("shop/late", "10.96.0.77", "http:TCP:80")
	api.Put(late)
	networktest.Eventually(t, "a new service resolves", func() bool { return len(query(t, "udp", server, name, dns.TypeA).Answer) == 1 })
	api.Remove(late)
	networktest.Eventually(t, "a deleted service does not exist", func() bool {
		return query(t, "udp", server, name, dns.TypeA).Rcode == dns.RcodeNameError
	})
}

// Before the catalog is filled a name that exists must not be denied: that
// answer would be cached. Names of others need no catalog.
func TestDNSDeniesNothingBeforeItKnows(t *testing.T) {
	api := sampleAPI(t)
	api.SetForbidden(true)
	server := startDNS(t, api.Catalog(t)).At(t, "udp", dnsAddress.String())
	if reply := query(t, "udp", server, "example.com.", dns.TypeA); reply.Rcode != dns.RcodeRefused {
		t.Errorf("foreign name: %s", dns.RcodeToString[reply.Rcode])
	}
	if reply := query(t, "udp", server, "web.shop.svc.cluster.local.", dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("own name: %s, want SERVFAIL", dns.RcodeToString[reply.Rcode])
	}
	api.SetForbidden(false)
	networktest.Eventually(t, "the name resolves", func() bool {
		return len(query(t, "udp", server, "web.shop.svc.cluster.local.", dns.TypeA).Answer) == 1
	})
}

func TestDNSReportsAnAddressThatIsTaken(t *testing.T) {
	sockets := networktest.NewSockets()
	sockets.Refuse(fmt.Errorf("address is taken"))
	err := Run(t.Context(), catalog.New(nil, networktest.Quiet()), Options{Address: dnsAddress, Sockets: sockets})
	if err == nil || !strings.Contains(err.Error(), "address is taken") {
		t.Errorf("RunDNS = %v", err)
	}
}
