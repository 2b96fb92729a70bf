package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"stormgate.internal/tools/cluster/internal/network/catalog"
)

// namedEndpoint is an endpoint of a headless service.
type namedEndpoint struct {
	label   string // below the service
	name    string // in full
	address netip.Addr
	slice   *discoveryv1.EndpointSlice
}

// headless resolves the names of a service without an address. One without
// ready endpoints has none: the specification wants its name not to exist.
func (z *zone) headless(owner string, service *corev1.Service, below []string) node {
	endpoints := z.endpointsOf(service)
	var found node
	if len(below) == 1 && !strings.HasPrefix(below[0], "_") {
		for _, endpoint := range endpoints {
			if endpoint.label == below[0] {
				found.add(addressRecords(owner, endpoint.address)...)
			}
		}
		return found
	}
	for _, endpoint := range endpoints {
		if len(below) == 0 {
			found.add(addressRecords(owner, endpoint.address)...)
			continue
		}
		for _, port := range endpoint.slice.Ports {
			if port.Name == nil || port.Port == nil || port.Protocol == nil {
				continue
			}
			switch matchPort(below, *port.Name, *port.Protocol) {
			case matchProtocol:
				found.exists = true
			case matchFull:
				found.add(serverRecord(owner, endpoint.name, uint16(*port.Port)))
				found.extra = unique(append(found.extra, addressRecords(endpoint.name, endpoint.address)...))
			}
		}
	}
	return found
}

func (n *node) add(records ...dns.RR) {
	n.exists = true
	n.records = unique(append(n.records, records...))
}

// unique drops records that say the same: an endpoint may be in two slices
// while it moves between them.
func unique(records []dns.RR) []dns.RR { return dns.Dedup(records, nil) }

// endpointsOf are the ready endpoints of a service.
func (z *zone) endpointsOf(service *corev1.Service) []namedEndpoint {
	var endpoints []namedEndpoint
	for _, slice := range z.catalog.SlicesOf(service.Namespace, service.Name) {
		for _, endpoint := range slice.Endpoints {
			if address, ok := catalog.EndpointAddress(endpoint); ok && catalog.Ready(endpoint) {
				label := endpointLabel(endpoint, address)
				endpoints = append(endpoints, namedEndpoint{label, label + "." + z.serviceName(service), address, slice})
			}
		}
	}
	return endpoints
}

// endpointsAt are the ready endpoints with the address in headless services.
func (z *zone) endpointsAt(address netip.Addr) []namedEndpoint {
	var endpoints []namedEndpoint
	seen := map[string]bool{}
	for _, slice := range z.catalog.SlicesWith(address) {
		service := z.catalog.Service(slice.Namespace, slice.Labels[discoveryv1.LabelServiceName])
		if service == nil || service.Spec.ClusterIP != corev1.ClusterIPNone {
			continue
		}
		for _, endpoint := range z.endpointsOf(service) {
			if endpoint.address == address && !seen[endpoint.name] {
				seen[endpoint.name] = true
				endpoints = append(endpoints, endpoint)
			}
		}
	}
	return endpoints
}

// endpointLabel is the endpoint's host name, or else its address with dashes.
func endpointLabel(endpoint discoveryv1.Endpoint, address netip.Addr) string {
	if endpoint.Hostname != nil && *endpoint.Hostname != "" {
		return strings.ToLower(*endpoint.Hostname)
	}
	return strings.ReplaceAll(address.String(), ".", "-")
}
