package testbed

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"stormgate.internal/tools/faultproxy"
)

// Faults is a proxy before the API server that breaks on demand. Close it.
type Faults struct {
	*faultproxy.Proxy
	// Kubeconfig is the path of a kubeconfig that leads to the proxy.
	Kubeconfig string

	close func() error
}

// ServeFaults serves a proxy without rules for the API server of the configuration,
// on a port of the loopback. Its kubeconfig is written to the directory.
func ServeFaults(config *rest.Config, dir string, logger *slog.Logger) (*Faults, error) {
	proxy, err := faultproxy.New(config, logger)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve faults: %w", err)
	}
	server := faultproxy.NewServer(proxy, logger)
	go func() { _ = server.Serve(listener) }() // until it is closed
	f := &Faults{Proxy: proxy, Kubeconfig: filepath.Join(dir, "kubeconfig"), close: server.Close}

	const name = "faultproxy"
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters[name] = &clientcmdapi.Cluster{Server: "http://" + listener.Addr().String()}
	kubeconfig.Contexts[name] = &clientcmdapi.Context{Cluster: name}
	kubeconfig.CurrentContext = name
	if err := clientcmd.WriteToFile(*kubeconfig, f.Kubeconfig); err != nil {
		f.Close()
		return nil, fmt.Errorf("serve faults: %w", err)
	}
	return f, nil
}

// Close cuts all connections.
func (f *Faults) Close() { _ = f.close() }
