package pki

// Identity is who a client certificate speaks for: Kubernetes reads the user
// from the certificate's common name and the groups from its organizations.
type Identity struct {
	Name   string
	Groups []string
}

// The identities of a cluster. Only Admin, Fixture and Init are in system:masters,
// which bypasses authorization; each of the others can do what RBAC or the Node authorizer
// grants to its name, as in a cluster set up with care.
var (
	// Admin is the launcher's and the person's identity; authorization never stops it.
	Admin = Identity{Name: "stormgate:admin", Groups: []string{"system:masters"}}
	// Fixture is the program that deploys environments. Its name tells what it does
	// from what a person does.
	Fixture = Identity{Name: "stormgate:fixture", Groups: []string{"system:masters"}}
	// Init is the cluster's process 1, which keeps its certificate to itself.
	Init = Identity{Name: "stormgate:init", Groups: []string{"system:masters"}}
	// KubeletClient is kube-apiserver when it calls the kubelet for logs, exec
	// and port-forward. The cluster's boot binds it to system:kubelet-api-admin.
	KubeletClient = Identity{Name: "kube-apiserver-kubelet-client"}
	// ControllerManager is bound by kube-apiserver's own bootstrap policy.
	ControllerManager = Identity{Name: "system:kube-controller-manager"}
	// Scheduler is bound by kube-apiserver's own bootstrap policy.
	Scheduler = Identity{Name: "system:kube-scheduler"}
	// ServiceProxy is the node's service proxy and DNS server; kube-apiserver's
	// bootstrap policy binds the name to system:node-proxier.
	ServiceProxy = Identity{Name: "system:kube-proxy"}
)

// Node is the kubelet of the named node. The Node authorizer knows it by this
// name and group and grants it what its own pods need, no more.
func Node(name string) Identity {
	return Identity{Name: "system:node:" + name, Groups: []string{"system:nodes"}}
}
