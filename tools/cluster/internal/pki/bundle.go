package pki

import (
	"fmt"
	"os"
	"path/filepath"
)

// Request says for which cluster to issue a Bundle.
type Request struct {
	// Dir receives the files; it must exist and be readable by its owner only.
	Dir string
	// Server is the API's URL for components inside the cluster's network.
	Server string
	// Hosts are the names and addresses under which kube-apiserver is reached.
	Hosts []string
	// NodeName and NodeIP are the node's; both enter the kubelet's certificate.
	NodeName string
	NodeIP   string
}

// Files are the absolute or Request.Dir-relative paths of what the components
// read. Each component needs only the few that concern it.
type Files struct {
	// Authority signed every certificate.
	Authority string
	// APIServer serves the API.
	APIServer PairFiles
	// KubeletClient is kube-apiserver's identity at the kubelet.
	KubeletClient PairFiles
	// ServiceAccount signs (Key) and checks (Certificate) ServiceAccount tokens.
	ServiceAccount PairFiles
	// Kubelet serves the kubelet's API.
	Kubelet PairFiles
	// Kubeconfigs of the components.
	ControllerManager string
	Scheduler         string
	Node              string
	ServiceProxy      string
}

// PairFiles are the paths of a Pair.
type PairFiles struct {
	Certificate string
	Key         string
}

// Bundle is all that one cluster needs to know its own parts.
type Bundle struct {
	Files Files

	authority *Authority
}

// Issue makes the authority and every certificate of a cluster and writes the
// components' share to request.Dir, mode 0600. The authority's key is not
// written anywhere.
func Issue(request Request) (*Bundle, error) {
	authority, err := NewAuthority("stormgate")
	if err != nil {
		return nil, err
	}
	w := &writer{request: request, authority: authority}
	bundle := &Bundle{authority: authority, Files: Files{
		Authority:         w.file("ca.crt", authority.PEM()),
		APIServer:         w.pair("kube-apiserver")(authority.Server("kube-apiserver", request.Hosts...)),
		KubeletClient:     w.pair("kubelet-client")(authority.Client(KubeletClient)),
		ServiceAccount:    w.pair("service-account")(SigningKey()),
		Kubelet:           w.pair("kubelet")(authority.Server("system:node:"+request.NodeName, request.NodeName, request.NodeIP)),
		ControllerManager: w.kubeconfig("kube-controller-manager", ControllerManager),
		Scheduler:         w.kubeconfig("kube-scheduler", Scheduler),
		Node:              w.kubeconfig("node", Node(request.NodeName)),
		ServiceProxy:      w.kubeconfig("service-proxy", ServiceProxy),
	}}
	if w.err != nil {
		return nil, fmt.Errorf("issue certificates of the cluster: %w", w.err)
	}
	return bundle, nil
}

// Authority returns the PEM certificate of the API's authority.
func (b *Bundle) Authority() []byte { return b.authority.PEM() }

// Kubeconfig issues a certificate for the identity and returns a kubeconfig to
// use it at server. serverName may be empty; see Kubeconfig.ServerName.
func (b *Bundle) Kubeconfig(identity Identity, server, serverName string) (Kubeconfig, error) {
	client, err := b.authority.Client(identity)
	if err != nil {
		return Kubeconfig{}, err
	}
	return Kubeconfig{Server: server, ServerName: serverName, Authority: b.authority.PEM(), Client: client}, nil
}

// writer keeps the first error, so that Issue reads as the table it is.
type writer struct {
	request   Request
	authority *Authority
	err       error
}

func (w *writer) file(name string, content []byte) string {
	path := filepath.Join(w.request.Dir, name)
	if w.err == nil {
		w.err = os.WriteFile(path, content, 0o600)
	}
	return path
}

func (w *writer) pair(name string) func(Pair, error) PairFiles {
	return func(pair Pair, err error) PairFiles {
		if w.err == nil {
			w.err = err
		}
		return PairFiles{Certificate: w.file(name+".crt", pair.Certificate), Key: w.file(name+".key", pair.Key)}
	}
}

func (w *writer) kubeconfig(name string, identity Identity) string {
	client, err := w.authority.Client(identity)
	if w.err == nil {
		w.err = err
	}
	rendered, err := Kubeconfig{Server: w.request.Server, Authority: w.authority.PEM(), Client: client}.Render()
	if w.err == nil {
		w.err = err
	}
	return w.file(name+".kubeconfig", rendered)
}
