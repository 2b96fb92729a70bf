package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/runfiles"
)

// ClusterVariable names the cluster program, like GatewayVariable.
const ClusterVariable = "STORMGATE_CLUSTER"

// Cluster is a cluster of the caller's own. Close it.
type Cluster struct {
	// Kubeconfig is the path of a kubeconfig of an administrator.
	Kubeconfig string

	process *api.Process
}

// StartCluster boots a cluster, whose files are in a directory that does not exist
// yet, and waits until it is up. The binary may be empty: then it is what
// ClusterVariable names. The log may be nil.
func StartCluster(ctx context.Context, binary, dir string, log io.Writer) (*Cluster, error) {
	if binary == "" {
		var err error
		if binary, err = runfiles.Program(ClusterVariable, "cluster"); err != nil {
			return nil, fmt.Errorf("%w, or use a cluster that exists with --kubeconfig", err)
		}
	}
	files := api.Dir(dir)
	// Gateways know the API by a kubeconfig alone, as any gateway does. So it needs a port.
	process, err := api.Start(api.Options{Binary: binary, Dir: files, Args: []string{"--expose"}, Log: log})
	if err != nil {
		return nil, fmt.Errorf("boot cluster: %w", err)
	}
	c := &Cluster{Kubeconfig: files.Kubeconfig(), process: process}
	if err := process.Await(ctx, process.Ready()); err != nil {
		c.Close()
		var failure *api.Failure
		if errors.As(err, &failure) {
			return nil, fmt.Errorf("boot cluster: %w\n%s", err, strings.Join(failure.LogTail, "\n"))
		}
		return nil, fmt.Errorf("boot cluster: %w", err)
	}
	return c, nil
}

// Close ends the cluster.
func (c *Cluster) Close() {
	_ = c.process.Stop(context.Background()) // it is killed if it has to be
}
