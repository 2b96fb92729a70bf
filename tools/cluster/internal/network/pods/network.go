// Package pods gives each pod an address and a network namespace, on a bridge by
// a veth pair each, and services a namespace on the same bridge.
package pods

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Names of links are seen in one namespace each; the kernel's limit is 15.
const (
	bridgeName       = "pods0"
	servicesLinkName = "services0"
	podLinkPrefix    = "pod"
	podInterface     = "eth0"
)

// Options places the cluster's addresses. All are IPv4, all are required, and
// the three must not overlap.
type Options struct {
	// NodeIP is the node's address; it is put on the loopback interface, with
	// a prefix of 32 bits, unless it is there already.
	NodeIP netip.Addr
	// PodCIDR is where pods get their addresses from, at least a /29. Its
	// first address is the node's on the bridge, its second the service
	// proxy's.
	PodCIDR netip.Prefix
	// ServiceCIDR holds the service addresses. The zero value means
	// 10.96.0.0/16.
	ServiceCIDR netip.Prefix
}

// DefaultServiceCIDR is used where Options name none.
var DefaultServiceCIDR = netip.MustParsePrefix("10.96.0.0/16")

func (o Options) validate() error {
	if !o.NodeIP.Is4() {
		return fmt.Errorf("node IP %q is not an IPv4 address", o.NodeIP)
	}
	for name, prefix := range map[string]netip.Prefix{"pod CIDR": o.PodCIDR, "service CIDR": o.ServiceCIDR} {
		if !prefix.IsValid() || !prefix.Addr().Is4() {
			return fmt.Errorf("%s %q is not an IPv4 prefix", name, prefix)
		}
		if prefix.Contains(o.NodeIP) {
			return fmt.Errorf("%s %s contains the node IP %s", name, prefix, o.NodeIP)
		}
	}
	if o.PodCIDR.Bits() > 29 {
		return fmt.Errorf("pod CIDR %s is too small: a /29 is the least", o.PodCIDR)
	}
	if o.PodCIDR.Overlaps(o.ServiceCIDR) {
		return fmt.Errorf("pod CIDR %s overlaps service CIDR %s", o.PodCIDR, o.ServiceCIDR)
	}
	return nil
}

// Network is the bridge, and the pods and the service namespace on it. Its
// methods may be called from several goroutines at once.
type Network struct {
	options  Options
	pool     *addressPool
	bridge   netlink.Link
	services *os.File

	mu   sync.Mutex
	pods map[string]*Attachment
}

// NewNetwork builds the network in the calling process's network
// namespace. It needs CAP_NET_ADMIN and CAP_SYS_ADMIN there, which a process
// has in a user namespace of its own. Close takes everything down.
func New(options Options) (*Network, error) {
	if options.ServiceCIDR == (netip.Prefix{}) {
		options.ServiceCIDR = DefaultServiceCIDR
	}
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("make pod network: %w", err)
	}
	options.PodCIDR, options.ServiceCIDR = options.PodCIDR.Masked(), options.ServiceCIDR.Masked()
	n := &Network{options: options, pods: map[string]*Attachment{}}
	n.pool = newAddressPool(options.PodCIDR, n.gateway(), n.serviceGateway())
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"prepare loopback", n.prepareLoopback},
		{"make bridge " + bridgeName, n.makeBridge},
		{"make service namespace", n.makeServiceNamespace},
		{"route services", n.routeServices},
	} {
		if err := step.do(); err != nil {
			n.Close()
			return nil, fmt.Errorf("make pod network: %s: %w", step.name, err)
		}
	}
	return n, nil
}

func (n *Network) gateway() netip.Addr        { return nth(n.options.PodCIDR, 1) }
func (n *Network) serviceGateway() netip.Addr { return nth(n.options.PodCIDR, 2) }

// HostIP is the address of the node, which is that of pods in its network.
func (n *Network) HostIP() string { return n.options.NodeIP.String() }

func (n *Network) prepareLoopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	return netlink.AddrReplace(lo, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(n.options.NodeIP, 32))})
}

func (n *Network) makeBridge() error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = bridgeName
	// Without an address of its own a bridge takes the least of its ports',
	// and pods would lose their gateway whenever that port goes.
	attributes.HardwareAddr = hardwareAddress(n.gateway())
	attributes.Flags = net.FlagUp
	bridge := &netlink.Bridge{LinkAttrs: attributes}
	if err := netlink.LinkAdd(bridge); err != nil {
		return err
	}
	n.bridge = bridge
	return netlink.AddrAdd(bridge, n.podAddress(n.gateway()))
}

func (n *Network) makeServiceNamespace() error {
	namespace, err := newNamespace()
	if err != nil {
		return err
	}
	n.services = namespace
	if err := n.attach(servicesLinkName, namespace, n.serviceGateway()); err != nil {
		return err
	}
	return inNamespace(namespace, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(localRoute(lo, n.options.ServiceCIDR))
	})
}

// routeServices sends the node's own connections to services the way those of
// pods go. A local route for the same addresses would win over it.
func (n *Network) routeServices() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.RouteDel(localRoute(lo, n.options.ServiceCIDR)); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return netlink.RouteAdd(n.serviceRoute(n.bridge))
}

func (n *Network) podAddress(address netip.Addr) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(address, n.options.PodCIDR.Bits()))}
}

func (n *Network) serviceRoute(link netlink.Link) *netlink.Route {
	return &netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       ipNet(n.options.ServiceCIDR),
		Gw:        n.serviceGateway().AsSlice(),
	}
}

func localRoute(lo netlink.Link, prefix netip.Prefix) *netlink.Route {
	return &netlink.Route{
		LinkIndex: lo.Attrs().Index,
		Dst:       ipNet(prefix),
		Type:      unix.RTN_LOCAL,
		Table:     unix.RT_TABLE_LOCAL,
		Scope:     netlink.SCOPE_HOST,
	}
}

// attach joins a namespace to the bridge: a veth pair, its end there with the
// address, and the loopback interface up.
func (n *Network) attach(name string, namespace *os.File, address netip.Addr) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = name
	attributes.MasterIndex = n.bridge.Attrs().Index
	attributes.Flags = net.FlagUp
	veth := netlink.NewVeth(attributes)
	veth.PeerName = podInterface
	veth.PeerHardwareAddr = hardwareAddress(address)
	veth.PeerNamespace = netlink.NsFd(int(namespace.Fd()))
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("add veth pair %s: %w", name, err)
	}
	err := inNamespace(namespace, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		link, err := netlink.LinkByName(podInterface)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, n.podAddress(address)); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
		if address != n.serviceGateway() {
			if err := netlink.RouteAdd(n.serviceRoute(link)); err != nil {
				return err
			}
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: n.gateway().AsSlice()})
	})
	if err != nil {
		return errors.Join(fmt.Errorf("configure %s of %s: %w", podInterface, name, err), deleteLink(name))
	}
	return nil
}

// deleteLink deletes a link by name; one that is gone already is no error.
func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if errors.As(err, &netlink.LinkNotFoundError{}) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

// Close closes all sandboxes and removes the bridge and the service
// namespace. Sockets that were opened at service addresses must be closed by
// their owners. The node's address stays on the loopback interface.
func (n *Network) Close() error {
	n.mu.Lock()
	pods := make([]*Attachment, 0, len(n.pods))
	for _, pod := range n.pods {
		pods = append(pods, pod)
	}
	n.mu.Unlock()
	var failures []error
	for _, pod := range pods {
		failures = append(failures, pod.Close())
	}
	if n.services != nil {
		failures = append(failures, deleteLink(servicesLinkName), n.services.Close())
		n.services = nil
	}
	if n.bridge != nil {
		failures = append(failures, deleteLink(bridgeName))
		n.bridge = nil
	}
	return errors.Join(failures...)
}
