package pki

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// Kubeconfig describes one way to reach the API: a server, the authority that
// proves it and the client's own certificate, all embedded so that the file
// stands alone.
type Kubeconfig struct {
	// Name labels the cluster, user and context, as `kubectl config` shows
	// them. Default "stormgate".
	Name string
	// Server is the API's URL.
	Server string
	// ServerName is the name expected in the server's certificate when Server
	// has another, as behind a forwarded port. Default: Server's host.
	ServerName string
	// Authority is the PEM certificate that signed the server's.
	Authority []byte
	// Client is the identity to present.
	Client Pair
}

// Render returns the kubeconfig as YAML. It holds a private key: write it with
// mode 0600.
func (k Kubeconfig) Render() ([]byte, error) {
	if k.Server == "" {
		return nil, fmt.Errorf("render kubeconfig %q: server URL is empty", k.Name)
	}
	name := k.Name
	if name == "" {
		name = "stormgate"
	}
	rendered, err := yaml.Marshal(kubeconfigFile{
		APIVersion: "v1",
		Kind:       "Config",
		Clusters: []namedCluster{{Name: name, Cluster: clusterEntry{
			Server: k.Server, ServerName: k.ServerName, Authority: k.Authority,
		}}},
		Users: []namedUser{{Name: name, User: userEntry{
			Certificate: k.Client.Certificate, Key: k.Client.Key,
		}}},
		Contexts:       []namedContext{{Name: name, Context: contextEntry{Cluster: name, User: name}}},
		CurrentContext: name,
	})
	if err != nil {
		return nil, fmt.Errorf("render kubeconfig %q: %w", name, err)
	}
	return rendered, nil
}

// The file format, written out here rather than imported: client-go's types
// would make this package, and all that issue certificates, link client-go.
type kubeconfigFile struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	Clusters       []namedCluster `json:"clusters"`
	Users          []namedUser    `json:"users"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
}

type namedCluster struct {
	Name    string       `json:"name"`
	Cluster clusterEntry `json:"cluster"`
}

type clusterEntry struct {
	Server     string `json:"server"`
	ServerName string `json:"tls-server-name,omitempty"`
	Authority  []byte `json:"certificate-authority-data"`
}

type namedUser struct {
	Name string    `json:"name"`
	User userEntry `json:"user"`
}

type userEntry struct {
	Certificate []byte `json:"client-certificate-data"`
	Key         []byte `json:"client-key-data"`
}

type namedContext struct {
	Name    string       `json:"name"`
	Context contextEntry `json:"context"`
}

type contextEntry struct {
	Cluster string `json:"cluster"`
	User    string `json:"user"`
}
