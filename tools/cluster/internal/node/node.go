// Package node runs a Kubernetes node in this process: the upstream kubelet
// over a container runtime whose containers are processes, the pod network,
// the service proxy and cluster DNS.
//
// The process must be in network and mount namespaces that belong to the
// cluster alone. Everything but the kubelet can be started and stopped at
// will; the kubelet keeps global state and goroutines that end only with the
// process, so a process runs one node, once.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/image"
	"stormgate.internal/tools/cluster/internal/network/catalog"
	"stormgate.internal/tools/cluster/internal/network/dns"
	"stormgate.internal/tools/cluster/internal/network/pods"
	"stormgate.internal/tools/cluster/internal/network/proxy"
	"stormgate.internal/tools/cluster/internal/node/process"
)

// killTimeout bounds the end of the containers when the node stops.
const killTimeout = 5 * time.Second

// Options say what node to run. Fields without a default are required.
type Options struct {
	// Name of the Node object.
	Name string
	// IP is the node's address; the kubelet serves at port 10250 of it.
	IP netip.Addr
	// Root is an absolute directory for all files of the node. It is made if
	// absent; a tmpfs is best.
	Root string
	// ControlSocket is the path of the unix socket for the control API, see
	// NewControlHandler. It may not be longer than 107 bytes.
	ControlSocket string
	// Kubeconfig is the kubelet's: user system:node:NAME of group
	// system:nodes.
	Kubeconfig string
	// ServiceKubeconfig is that of the service proxy and DNS: user
	// system:kube-proxy, or another that may watch services and
	// endpointslices.
	ServiceKubeconfig string
	// Served is closed when the API server serves. The node may be started before,
	// and keeps its requests until then. Default nil: it serves.
	Served <-chan struct{}
	// ClientCAFile holds the authority of client certificates that the
	// kubelet's server trusts; what a client may do is the API server's
	// decision.
	ClientCAFile string
	// TLSCertFile and TLSKeyFile are what the kubelet serves with; the
	// certificate must be valid for IP.
	TLSCertFile, TLSKeyFile string
	// Images are what pods can run; the control API replaces rows. Default an
	// empty table.
	Images *image.Table
	// ContainerInit is as in process.Options. Default nil.
	ContainerInit []byte
	// PodCIDR is where pods get their addresses. Default 10.244.0.0/16.
	PodCIDR netip.Prefix
	// ServiceCIDR must be that of the API server. Default 10.96.0.0/16.
	ServiceCIDR netip.Prefix
	// ClusterDNS is the address of the DNS server, in ServiceCIDR. Default
	// 10.96.0.10.
	ClusterDNS netip.Addr
	// ClusterDomain is the suffix of all DNS names. Default "cluster.local".
	ClusterDomain string
	// Logger gets the node's own lines; the kubelet's go to standard error.
	// Default slog.Default.
	Logger *slog.Logger
}

func (o *Options) complete() error {
	for name, value := range map[string]string{
		"Name": o.Name, "Root": o.Root, "ControlSocket": o.ControlSocket, "Kubeconfig": o.Kubeconfig,
		"ServiceKubeconfig": o.ServiceKubeconfig, "ClientCAFile": o.ClientCAFile,
		"TLSCertFile": o.TLSCertFile, "TLSKeyFile": o.TLSKeyFile,
	} {
		if value == "" {
			return fmt.Errorf("option %s is not set", name)
		}
	}
	if !o.IP.Is4() {
		return fmt.Errorf("option IP is %q, want an IPv4 address", o.IP)
	}
	if !filepath.IsAbs(o.Root) {
		return fmt.Errorf("option Root is %q, want an absolute path", o.Root)
	}
	if o.Images == nil {
		o.Images = &image.Table{}
	}
	if !o.PodCIDR.IsValid() {
		o.PodCIDR = netip.MustParsePrefix("10.244.0.0/16")
	}
	if !o.ServiceCIDR.IsValid() {
		o.ServiceCIDR = pods.DefaultServiceCIDR
	}
	if !o.ClusterDNS.IsValid() {
		o.ClusterDNS = netip.MustParseAddr("10.96.0.10")
	}
	if !o.ServiceCIDR.Contains(o.ClusterDNS) {
		return fmt.Errorf("option ClusterDNS is %s, which is not in the service CIDR %s", o.ClusterDNS, o.ServiceCIDR)
	}
	if o.ClusterDomain == "" {
		o.ClusterDomain = "cluster.local"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return nil
}

// Run runs the node until ctx ends: then it kills all containers at once,
// takes the network down and returns nil. The program should exit soon after
// Run returned, since parts of the kubelet still run. An error means that a
// part could not start or failed.
func Run(ctx context.Context, options Options) error {
	if err := options.complete(); err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	n := &node{options: options, ends: newEnds()}
	defer n.close()
	if err := n.start(ctx); err != nil {
		return fmt.Errorf("start node %s: %w", options.Name, err)
	}
	if err := n.serve(ctx); err != nil {
		return fmt.Errorf("run node %s: %w", options.Name, err)
	}
	return nil
}

type node struct {
	options Options
	hosts   *hostRoots
	ends    *ends
	pods    *pods.Network
	runtime *process.Runtime
}

func (n *node) directory(name string) string { return filepath.Join(n.options.Root, name) }

// start makes what containers need, and then the kubelet.
func (n *node) start(ctx context.Context) error {
	if err := os.MkdirAll(n.options.Root, 0o755); err != nil {
		return fmt.Errorf("make root directory: %w", err)
	}
	var err error
	n.pods, err = pods.New(pods.Options{
		NodeIP:      n.options.IP,
		PodCIDR:     n.options.PodCIDR,
		ServiceCIDR: n.options.ServiceCIDR,
	})
	if err != nil {
		return err
	}
	if n.hosts, err = newHostRoots(n.directory("host"), n.options.Images); err != nil {
		return err
	}
	n.runtime, err = process.New(process.Options{
		Root:       n.directory("runtime"),
		HostRoot:   n.hosts.dir,
		NodeShm:    n.hosts.shm,
		Images:     n.options.Images,
		Network:    podNetwork{n.pods},
		StreamAddr: "127.0.0.1:0",
		Logger:     n.options.Logger,

		ContainerInit: n.options.ContainerInit,
	})
	if err != nil {
		return fmt.Errorf("make container runtime: %w", err)
	}
	return n.startKubelet(ctx)
}

// cleanUp removes what is left of pods that have ended.
func (n *node) cleanUp(end api.End) error {
	n.ends.note(end.Namespaces, end.Version)
	if !end.HostFiles {
		return nil
	}
	return n.hosts.remove(end.Namespaces)
}

// serve runs the parts that end with ctx, and ends them all when one fails.
func (n *node) serve(ctx context.Context) error {
	client, err := clientFor(n.options.ServiceKubeconfig, n.options.Served)
	if err != nil {
		return err
	}
	listener, err := listenControl(n.options.ControlSocket)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	services := catalog.New(client, n.options.Logger)
	group.Go(func() error { return services.Run(ctx) })
	group.Go(func() error {
		return proxy.Run(ctx, services, proxy.Options{Sockets: n.pods, Logger: n.options.Logger})
	})
	group.Go(func() error {
		return dns.Run(ctx, services, dns.Options{
			Address:  netip.AddrPortFrom(n.options.ClusterDNS, 53),
			Domain:   n.options.ClusterDomain,
			Networks: []netip.Prefix{n.options.ServiceCIDR, n.options.PodCIDR},
			Sockets:  n.pods,
			Logger:   n.options.Logger,
		})
	})
	group.Go(func() error {
		return serveControl(ctx, listener, NewControlHandler(n.options.Images, n.runtime, n.cleanUp))
	})
	// Containers are killed while the others still wind down.
	group.Go(func() error {
		<-ctx.Done()
		return n.kill()
	})
	return group.Wait()
}

func (n *node) kill() error {
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	if err := n.runtime.Close(ctx); err != nil {
		return fmt.Errorf("kill containers: %w", err)
	}
	return nil
}

// close takes down what start made; nothing of it outlives the cluster's
// namespaces, so failures are only worth a line.
func (n *node) close() {
	var failures []error
	if n.runtime != nil {
		failures = append(failures, n.kill())
	}
	if n.pods != nil {
		failures = append(failures, n.pods.Close())
	}
	if err := errors.Join(failures...); err != nil {
		n.options.Logger.Warn("node did not stop cleanly", "error", err)
	}
}

// podNetwork is the pod network in the form that the runtime wants.
type podNetwork struct{ *pods.Network }

var _ process.Network = podNetwork{}

func (p podNetwork) Setup(podID string) (process.Attachment, error) {
	attachment, err := p.Network.Setup(podID)
	if err != nil {
		return nil, err
	}
	return attachment, nil
}
