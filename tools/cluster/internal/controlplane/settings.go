package controlplane

import (
	"fmt"
	"io"

	"stormgate.internal/tools/cluster/internal/pki"
)

// Settings are what the components of one control plane have in common.
type Settings struct {
	// Executable is the multi-call binary. Default /proc/self/exe.
	Executable string
	// DataDir holds etcd's data and sockets. It should be on tmpfs, since etcd
	// runs without fsync, and at most 100 bytes long.
	DataDir string
	// Files are the certificates and kubeconfigs.
	Files pki.Files
	// Admin is a client certificate for the readiness probes.
	Admin pki.Pair
	// NodeIP is the address at which kube-apiserver serves and the node lives.
	NodeIP string
	// ServiceCIDR is the range of ClusterIPs, such as 10.96.0.0/16.
	ServiceCIDR string
	// AuditPolicy is the path of the API server's audit policy, and AuditLog gets the
	// events, as JSON, one a line. See Component.Stdout for what a writer owes.
	AuditPolicy string
	AuditLog    io.Writer
	// Journal opens the log of the named component.
	Journal func(name string) (*Journal, error)
	// Env is added to the environment of every component.
	Env []string
}

// component makes a Component with what all have in common.
func (s Settings) component(name string, args []string) (*Component, error) {
	journal, err := s.Journal(name)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", name, err)
	}
	return &Component{Name: name, Executable: s.Executable, Args: args, Env: s.Env, Log: journal}, nil
}
