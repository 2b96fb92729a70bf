package boot

import (
	"fmt"
	"net"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/controlplane"
	"stormgate.internal/tools/cluster/internal/pki"
)

// publicServer is the URL in the kubeconfigs of the host's side. It can not be
// dialled from there: its host is the name in the server's certificate, and
// users dial api.sock or a listener that pipes to it.
const publicServer = "https://" + ServerName + ":443"

// givenOut are the identities that whoever started the cluster may have.
var givenOut = map[string]pki.Identity{api.IdentityAdmin: pki.Admin, api.IdentityFixture: pki.Fixture}

// issue makes the certificates, and a person's kubeconfig if the API is exposed for
// one. It returns init's own kubeconfig, which is written nowhere.
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
	if address := in.spec.ExposedAddress; address != "" {
		rendered, err := render(bundle, pki.Admin, "https://"+address)
		if err != nil {
			return nil, pki.Kubeconfig{}, err
		}
		if err := os.WriteFile(in.spec.Paths.Dir.Kubeconfig(), rendered, 0o600); err != nil {
			return nil, pki.Kubeconfig{}, fmt.Errorf("write kubeconfig: %w", err)
		}
	}
	own, err := bundle.Kubeconfig(pki.Init, "https://"+net.JoinHostPort(NodeIP, controlplane.APIServerPort), "")
	return bundle, own, err
}

// render issues a certificate and returns the kubeconfig with it.
func render(bundle *pki.Bundle, identity pki.Identity, server string) ([]byte, error) {
	config, err := bundle.Kubeconfig(identity, server, "")
	if err != nil {
		return nil, err
	}
	return config.Render()
}

// ownClient talks to the API server from inside the cluster's network.
func ownClient(own pki.Kubeconfig) (kubernetes.Interface, *rest.Config, error) {
	rendered, err := own.Render()
	if err != nil {
		return nil, nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(rendered)
	if err != nil {
		return nil, nil, fmt.Errorf("read init's kubeconfig: %w", err)
	}
	// The boot polls; client-go's own limit would slow it down.
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("make init's client: %w", err)
	}
	return client, config, nil
}
