package dns

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"

	"stormgate.internal/tools/cluster/internal/network/catalog"
)

// maxAliases bounds a chain of external names that point at one another.
const maxAliases = 8

const reverseDomain = "in-addr.arpa."

// zone finds the records of names. Names are lower case with a final dot,
// unless stated otherwise.
type zone struct {
	catalog  *catalog.Catalog
	domain   string
	server   netip.Addr
	networks []netip.Prefix
}

func newZone(catalog *catalog.Catalog, domain string, server netip.Addr, networks []netip.Prefix) *zone {
	return &zone{catalog: catalog, domain: dns.CanonicalName(domain), server: server, networks: networks}
}

// node is what there is at one name.
type node struct {
	records []dns.RR
	extra   []dns.RR
	// exists is true as well where only names below have records.
	exists bool
}

// originOf is the zone of authority that a name belongs to.
func (z *zone) originOf(name string) (string, bool) {
	if dns.IsSubDomain(z.domain, name) {
		return z.domain, true
	}
	if address, ok := reverseAddress(name); ok {
		for _, network := range z.networks {
			if network.Contains(address) {
				return reverseOrigin(network), true
			}
		}
	}
	return "", false
}

// lookup finds the records of a type. The name is as the client wrote it, and
// is the owner of the records. Aliases are followed within the zone.
func (z *zone) lookup(name string, kind uint16) (answer, extra []dns.RR, exists bool) {
	for depth := range maxAliases {
		found := z.node(name)
		if depth == 0 {
			exists = found.exists
		}
		var alias string
		for _, record := range found.records {
			if record.Header().Rrtype == kind {
				answer = append(answer, record)
			} else if cname, ok := record.(*dns.CNAME); ok {
				answer = append(answer, record)
				alias = cname.Target
			}
		}
		if alias == "" || !dns.IsSubDomain(z.domain, strings.ToLower(alias)) {
			if len(answer) > 0 {
				extra = found.extra
			}
			break
		}
		name = alias
	}
	return answer, extra, exists
}

func (z *zone) node(owner string) node {
	name := strings.ToLower(owner)
	if address, ok := reverseAddress(name); ok {
		return z.reverse(owner, address)
	}
	labels := dns.SplitDomainName(name)
	labels = labels[:len(labels)-dns.CountLabel(z.domain)]
	slices.Reverse(labels)
	if len(labels) == 0 {
		return node{exists: true, records: []dns.RR{
			soa(z.domain),
			&dns.NS{Hdr: header(owner, dns.TypeNS), Ns: "ns.dns." + z.domain},
		}}
	}
	switch rest := labels[1:]; labels[0] {
	case "svc":
		return z.services(owner, rest)
	case "pod":
		return pods(owner, rest)
	case "dns":
		if len(rest) == 1 && rest[0] == "ns" {
			return node{exists: true, records: addressRecords(owner, z.server)}
		}
		return node{exists: len(rest) == 0}
	case "dns-version":
		if len(rest) == 0 {
			return node{exists: true, records: []dns.RR{&dns.TXT{Hdr: header(owner, dns.TypeTXT), Txt: []string{"1.1.0"}}}}
		}
	}
	return node{}
}

// services resolves names below svc. Labels go from the root: namespace,
// service, and what is below it.
func (z *zone) services(owner string, labels []string) node {
	switch len(labels) {
	case 0:
		return node{exists: true}
	case 1:
		return node{exists: z.catalog.HasNamespace(labels[0])}
	}
	service := z.catalog.Service(labels[0], labels[1])
	if service == nil {
		return node{}
	}
	below := labels[2:]
	switch {
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		if len(below) > 0 {
			return node{}
		}
		return node{exists: true, records: []dns.RR{
			&dns.CNAME{Hdr: header(owner, dns.TypeCNAME), Target: dns.Fqdn(service.Spec.ExternalName)},
		}}
	case service.Spec.ClusterIP == corev1.ClusterIPNone:
		return z.headless(owner, service, below)
	default:
		return z.clusterIP(owner, service, below)
	}
}

func (z *zone) clusterIP(owner string, service *corev1.Service, below []string) node {
	var addresses []netip.Addr
	for _, ip := range service.Spec.ClusterIPs {
		if address, err := netip.ParseAddr(ip); err == nil && address.Is4() {
			addresses = append(addresses, address)
		}
	}
	if len(below) == 0 {
		return node{exists: true, records: addressRecords(owner, addresses...)}
	}
	var found node
	for _, port := range service.Spec.Ports {
		switch matchPort(below, port.Name, port.Protocol) {
		case matchProtocol:
			found.exists = true
		case matchFull:
			found.exists = true
			target := z.serviceName(service)
			found.records = append(found.records, serverRecord(owner, target, uint16(port.Port)))
			found.extra = addressRecords(target, addresses...)
		}
	}
	return found
}

// pods resolves addresses written as names, a-b-c-d.namespace.pod, without a
// look at whether there is such a pod.
func pods(owner string, labels []string) node {
	switch len(labels) {
	case 0, 1:
		return node{exists: true}
	case 2:
		address, err := netip.ParseAddr(strings.ReplaceAll(labels[1], "-", "."))
		if err == nil && address.Is4() {
			return node{exists: true, records: addressRecords(owner, address)}
		}
	}
	return node{}
}

// reverse resolves the name of an address: that of the service that has it, or
// those of the headless services it is an endpoint of.
func (z *zone) reverse(owner string, address netip.Addr) node {
	var found node
	add := func(target string) {
		found.exists = true
		found.records = append(found.records, &dns.PTR{Hdr: header(owner, dns.TypePTR), Ptr: target})
	}
	for _, service := range z.catalog.ServicesAt(address) {
		add(z.serviceName(service))
	}
	for _, endpoint := range z.endpointsAt(address) {
		add(endpoint.name)
	}
	return found
}

func (z *zone) serviceName(service *corev1.Service) string {
	return service.Name + "." + service.Namespace + ".svc." + z.domain
}

// portMatch says how far labels name a port.
type portMatch int

const (
	matchNone portMatch = iota
	matchProtocol
	matchFull
)

// matchPort compares labels below a service with a port: _tcp stands above all
// named TCP ports, _tcp and _http are the port.
func matchPort(labels []string, name string, protocol corev1.Protocol) portMatch {
	switch {
	case name == "" || len(labels) > 2 || labels[0] != "_"+strings.ToLower(string(protocol)):
		return matchNone
	case len(labels) == 1:
		return matchProtocol
	case labels[1] == "_"+name:
		return matchFull
	}
	return matchNone
}

func header(owner string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: recordTTL}
}

func addressRecords(owner string, addresses ...netip.Addr) []dns.RR {
	records := make([]dns.RR, 0, len(addresses))
	for _, address := range addresses {
		records = append(records, &dns.A{Hdr: header(owner, dns.TypeA), A: net.IP(address.AsSlice())})
	}
	return records
}

func serverRecord(owner, target string, port uint16) dns.RR {
	return &dns.SRV{Hdr: header(owner, dns.TypeSRV), Weight: 100, Port: port, Target: target}
}

func soa(origin string) dns.RR {
	return &dns.SOA{
		Hdr:     header(origin, dns.TypeSOA),
		Ns:      "ns.dns." + origin,
		Mbox:    "hostmaster." + origin,
		Serial:  1,
		Refresh: 7200,
		Retry:   1800,
		Expire:  86400,
		Minttl:  recordTTL,
	}
}

// reverseAddress parses d.c.b.a.in-addr.arpa.
func reverseAddress(name string) (netip.Addr, bool) {
	digits, ok := strings.CutSuffix(name, "."+reverseDomain)
	if !ok {
		return netip.Addr{}, false
	}
	labels := strings.Split(digits, ".")
	slices.Reverse(labels)
	address, err := netip.ParseAddr(strings.Join(labels, "."))
	return address, err == nil && address.Is4()
}

// reverseOrigin is the zone of a network: its whole octets, reversed.
func reverseOrigin(network netip.Prefix) string {
	labels := strings.Split(network.Addr().String(), ".")[:network.Bits()/8]
	slices.Reverse(labels)
	return strings.Join(append(labels, reverseDomain), ".")
}
