package boot

import (
	"fmt"
	"net"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/tools/cluster/internal/controlplane"
	"stormgate.internal/tools/cluster/internal/pki"
)

// publicServer is the URL in the kubeconfigs of the host's side. It can not be
// dialled from there: its host is the name in the server's certificate, and
// users dial api.sock or a listener that pipes to it.
const publicServer = "https://" + ServerName + ":443"

// issue makes the certificates and the two kubeconfigs of the host's side.
func (in *initProcess) issue() (*pki.Bundle, pki.Kubeconfig, error) {
	bundle, err := pki.Issue(pki.Request{
		Dir:      in.spec.Paths.data(),
		Server:   "https://" + net.JoinHostPort(NodeIP, controlplane.APIServerPort),
		NodeName: NodeName, NodeIP: NodeIP,
		Hosts: []string{
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
			"localhost", "127.0.0.1", NodeIP, serviceIP,
		},
	})
	if err != nil {
		return nil, pki.Kubeconfig{}, err
	}
	admin, err := bundle.Kubeconfig(pki.Admin, publicServer, "")
	if err != nil {
		return nil, pki.Kubeconfig{}, err
	}
	suite, err := bundle.Kubeconfig(pki.Suite, publicServer, "")
	if err != nil {
		return nil, pki.Kubeconfig{}, err
	}
	configs := map[string]pki.Kubeconfig{
		in.spec.Paths.Dir.AdminKubeconfig(): admin,
		in.spec.Paths.Dir.SuiteKubeconfig(): suite,
	}
	if address := in.spec.ExposedAddress; address != "" {
		exposed := admin
		exposed.Server = "https://" + address
		configs[in.spec.Paths.Dir.Kubeconfig()] = exposed
	}
	for path, config := range configs {
		rendered, err := config.Render()
		if err != nil {
			return nil, pki.Kubeconfig{}, err
		}
		if err := os.WriteFile(path, rendered, 0o600); err != nil {
			return nil, pki.Kubeconfig{}, fmt.Errorf("write kubeconfig: %w", err)
		}
	}
	return bundle, admin, nil
}

// adminClient talks to the API server from inside the cluster's network.
func adminClient(admin pki.Kubeconfig) (kubernetes.Interface, *rest.Config, error) {
	admin.Server = "https://" + net.JoinHostPort(NodeIP, controlplane.APIServerPort)
	rendered, err := admin.Render()
	if err != nil {
		return nil, nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(rendered)
	if err != nil {
		return nil, nil, fmt.Errorf("read administrator's kubeconfig: %w", err)
	}
	// The boot polls; client-go's own limit would slow it down.
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("make administrator's client: %w", err)
	}
	return client, config, nil
}
