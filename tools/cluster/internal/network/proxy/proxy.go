// Package proxy forwards connections made to service addresses.
package proxy

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"stormgate.internal/tools/cluster/internal/network"
	"stormgate.internal/tools/cluster/internal/network/catalog"
)

// relistenDelay is the time after which an address that could not be listened
// at is tried again without a change of the services.
const relistenDelay = time.Second

// Options configure Run.
type Options struct {
	// Sockets opens the listeners, at the services' own addresses. Required.
	Sockets network.Sockets
	// DialTimeout bounds the connection to one endpoint. Default 5 s.
	DialTimeout time.Duration
	// UDPIdle is how long a UDP client without traffic keeps its endpoint.
	// Default 60 s.
	UDPIdle time.Duration
	// Logger gets failures to listen or to reach endpoints. Default
	// slog.Default.
	Logger *slog.Logger
}

// Run forwards TCP connections and UDP datagrams made to ClusterIP
// service ports to the ready endpoints, until ctx ends. It then closes all
// connections and returns nil.
//
// A service port is listened at while it has endpoints, so that a service
// without any refuses connections at once. As with kube-proxy, endpoints that
// terminate but still serve are used when none is ready, and connections that
// are established outlive the readiness of their endpoint and the service
// itself. Unlike with kube-proxy endpoints see the node as their client, and
// an endpoint that refuses is passed over for another.
func Run(ctx context.Context, catalog *catalog.Catalog, options Options) error {
	if options.DialTimeout == 0 {
		options.DialTimeout = 5 * time.Second
	}
	if options.UDPIdle == 0 {
		options.UDPIdle = 60 * time.Second
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	p := &proxy{
		options:   options,
		catalog:   catalog,
		frontends: map[servicePort]*frontend{},
		failed:    map[servicePort]string{},
		conns:     newConnections(),
	}
	defer p.close()
	changed := catalog.Subscribe()
	for {
		var retry <-chan time.Time
		if p.sync(ctx); len(p.failed) > 0 {
			retry = time.After(relistenDelay)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-retry:
		}
	}
}

// servicePort is an address that services are reached at.
type servicePort struct {
	protocol corev1.Protocol
	address  netip.AddrPort
}

// target is what is behind a service port.
type target struct {
	service  string // namespace/name, for log lines
	backends []netip.AddrPort
	affinity time.Duration
}

// frontend is a service port that is listened at.
type frontend struct {
	balancer *balancer
	close    func() error
	// backendsChanged is nil where nothing but the balancer must know.
	backendsChanged func()
}

type proxy struct {
	options   Options
	catalog   *catalog.Catalog
	frontends map[servicePort]*frontend
	failed    map[servicePort]string // error text of the last attempt
	conns     *connections
}

func (p *proxy) close() {
	for port, front := range p.frontends {
		p.closeFrontend(port, front)
	}
	p.conns.closeAll()
}

func (p *proxy) closeFrontend(port servicePort, front *frontend) {
	if err := front.close(); err != nil {
		p.options.Logger.Warn("close service port", "address", port.address, "protocol", port.protocol, "error", err)
	}
	delete(p.frontends, port)
}

// sync makes the frontends what the catalog says. Those that stay are not
// disturbed.
func (p *proxy) sync(ctx context.Context) {
	targets := p.targets()
	for port, front := range p.frontends {
		if _, wanted := targets[port]; !wanted {
			p.closeFrontend(port, front)
		}
	}
	for port := range p.failed {
		if _, wanted := targets[port]; !wanted {
			delete(p.failed, port)
		}
	}
	for port, target := range targets {
		front, exists := p.frontends[port]
		if !exists {
			front = &frontend{balancer: newBalancer(time.Now)}
		}
		front.balancer.update(target.backends, target.affinity)
		if front.backendsChanged != nil {
			front.backendsChanged()
		}
		if !exists {
			p.listen(ctx, port, target, front)
		}
	}
}

func (p *proxy) listen(ctx context.Context, port servicePort, target target, front *frontend) {
	start := p.startTCP
	if port.protocol == corev1.ProtocolUDP {
		start = p.startUDP
	}
	if err := start(ctx, port.address, front); err != nil {
		if p.failed[port] != err.Error() {
			p.options.Logger.Error("listen at service port", "service", target.service, "address", port.address,
				"protocol", port.protocol, "error", err)
		}
		p.failed[port] = err.Error()
		return
	}
	delete(p.failed, port)
	p.frontends[port] = front
}

// targets are all service ports that have a backend.
func (p *proxy) targets() map[servicePort]target {
	targets := map[servicePort]target{}
	for _, service := range p.catalog.Services() {
		slices := p.catalog.SlicesOf(service.Namespace, service.Name)
		for _, port := range service.Spec.Ports {
			if port.Protocol != corev1.ProtocolTCP && port.Protocol != corev1.ProtocolUDP {
				continue
			}
			backends := backendsOf(slices, port)
			if len(backends) == 0 {
				continue
			}
			for _, ip := range service.Spec.ClusterIPs {
				// Headless services have "None" here.
				address, err := netip.ParseAddr(ip)
				if err != nil || !address.Is4() {
					continue
				}
				key := servicePort{port.Protocol, netip.AddrPortFrom(address, uint16(port.Port))}
				targets[key] = target{
					service:  catalog.ServiceKey(service.Namespace, service.Name),
					backends: backends,
					affinity: affinityOf(service),
				}
			}
		}
	}
	return targets
}

// backendsOf are the addresses behind a service port, sorted. Endpoint slices
// name the service's port and give the number it has on their endpoints: that
// is where named target ports were resolved.
func backendsOf(endpointSlices []*discoveryv1.EndpointSlice, port corev1.ServicePort) []netip.AddrPort {
	var readyOnes, drainingOnes []netip.AddrPort
	for _, slice := range endpointSlices {
		number, ok := portNumber(slice, port.Name, port.Protocol)
		if !ok {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			address, ok := catalog.EndpointAddress(endpoint)
			switch backend := netip.AddrPortFrom(address, number); {
			case !ok:
			case catalog.Ready(endpoint):
				readyOnes = append(readyOnes, backend)
			case catalog.Draining(endpoint):
				drainingOnes = append(drainingOnes, backend)
			}
		}
	}
	backends := readyOnes
	if len(backends) == 0 {
		backends = drainingOnes
	}
	slices.SortFunc(backends, netip.AddrPort.Compare)
	return slices.Compact(backends)
}

func portNumber(slice *discoveryv1.EndpointSlice, name string, protocol corev1.Protocol) (uint16, bool) {
	for _, port := range slice.Ports {
		if port.Port == nil {
			continue
		}
		samePort := port.Name == nil && name == "" || port.Name != nil && *port.Name == name
		sameProtocol := port.Protocol == nil && protocol == corev1.ProtocolTCP || port.Protocol != nil && *port.Protocol == protocol
		if samePort && sameProtocol {
			return uint16(*port.Port), true
		}
	}
	return 0, false
}

func affinityOf(service *corev1.Service) time.Duration {
	if service.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	if config := service.Spec.SessionAffinityConfig; config != nil && config.ClientIP != nil && config.ClientIP.TimeoutSeconds != nil {
		return time.Duration(*config.ClientIP.TimeoutSeconds) * time.Second
	}
	return time.Duration(corev1.DefaultClientIPServiceAffinitySeconds) * time.Second
}

// addrOf is the IP address of a peer.
func addrOf(address net.Addr) netip.Addr {
	switch address := address.(type) {
	case *net.TCPAddr:
		return address.AddrPort().Addr().Unmap()
	case *net.UDPAddr:
		return address.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
