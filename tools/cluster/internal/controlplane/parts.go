package controlplane

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"time"
)

const (
	// APIServerPort is where kube-apiserver serves.
	APIServerPort = "6443"
	// etcd listens on unix sockets in the data directory: only the cluster's own
	// processes can reach them, which spares it certificates and encryption, and
	// a pod in the node's network can not read the store behind the API's back.
	// The peers' one, which a lone member has no use for, becomes an abstract
	// address that the kernel chooses.
	etcdClientSocket = "e.sock"
	etcdPeerSocket   = "p.sock"
)

func (s Settings) socket(name string) string { return filepath.Join(s.DataDir, name) }

// Etcd returns the store. It is ready when it accepts connections.
func Etcd(s Settings) (*Component, error) {
	c, err := s.component("etcd", etcdArgs(s))
	if err != nil {
		return nil, err
	}
	c.Probe = func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", s.socket(etcdClientSocket))
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return c, nil
}

func etcdArgs(s Settings) []string {
	client, peer := "unix://"+s.socket(etcdClientSocket), "unix://"+s.socket(etcdPeerSocket)
	return []string{
		"--name=lone",
		"--data-dir=" + filepath.Join(s.DataDir, "etcd"),
		// The data are on tmpfs and die with the cluster: there is nothing to sync.
		"--unsafe-no-fsync",
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=lone=" + peer,
		// A lone member elects itself after one election timeout at most: the
		// default of 1 s is most of its start. But each heartbeat wakes it: 10 ms
		// gain 40 ms of the boot and cost 1 % of a core for ever.
		"--heartbeat-interval=25",
		"--election-timeout=125",
		"--log-level=warn",
	}
}

// APIServer is kube-apiserver, which becomes usable in two steps: Ready waits
// until it answers at all (administrators may write from then on), Complete
// until its own start-up work is done and it calls itself healthy.
type APIServer struct {
	*Component

	complete func(context.Context) error
}

// Complete waits until /readyz is ok; errors as Ready's.
func (a *APIServer) Complete(ctx context.Context) error { return a.await(ctx, a.complete) }

// NewAPIServer returns the API server.
func NewAPIServer(s Settings) (*APIServer, error) {
	c, err := s.component("kube-apiserver", apiServerArgs(s))
	if err != nil {
		return nil, err
	}
	c.Stdout = s.AuditLog
	client, err := s.adminClient()
	if err != nil {
		return nil, err
	}
	base := "https://" + net.JoinHostPort(s.NodeIP, APIServerPort)
	c.Probe = HTTPProbe(client, base+"/livez/ping")
	return &APIServer{Component: c, complete: HTTPProbe(client, base+"/readyz")}, nil
}

func apiServerArgs(s Settings) []string {
	return []string{
		"--etcd-servers=unix://" + s.socket(etcdClientSocket),
		"--bind-address=0.0.0.0",
		"--secure-port=" + APIServerPort,
		"--advertise-address=" + s.NodeIP,
		"--tls-cert-file=" + s.Files.APIServer.Certificate,
		"--tls-private-key-file=" + s.Files.APIServer.Key,
		"--client-ca-file=" + s.Files.Authority,
		"--anonymous-auth=false",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		// A node starts out tainted and only node-lifecycle, which is off, would
		// lift the taint.
		"--disable-admission-plugins=TaintNodesByCondition",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + s.Files.ServiceAccount.Certificate,
		"--service-account-signing-key-file=" + s.Files.ServiceAccount.Key,
		"--service-cluster-ip-range=" + s.ServiceCIDR,
		"--kubelet-certificate-authority=" + s.Files.Authority,
		"--kubelet-client-certificate=" + s.Files.KubeletClient.Certificate,
		"--kubelet-client-key=" + s.Files.KubeletClient.Key,
		"--kubelet-preferred-address-types=InternalIP",
		"--allow-privileged=true",
		// To stdout, in one write for each event, before the request goes on: its reader
		// depends on that order. Messages are on stderr.
		"--audit-policy-file=" + s.AuditPolicy,
		"--audit-log-path=-",
		"--audit-log-format=json",
		"--audit-log-mode=blocking",
		"--profiling=false",
	}
}

// controllers are the ones that workloads, services, namespaces and policies of
// a test suite need. Left out are those for nodes that come and go, cloud
// volumes, bootstrap tokens and certificate requests: with one node that can't
// be lost they have nothing to do but watch.
var controllers = []string{
	"clusterrole-aggregation-controller",
	"cronjob-controller",
	"daemonset-controller",
	"deployment-controller",
	"disruption-controller",
	"endpoints-controller",
	"endpointslice-controller",
	"endpointslice-mirroring-controller",
	"garbage-collector-controller",
	"job-controller",
	"namespace-controller",
	"pod-garbage-collector-controller",
	"replicaset-controller",
	"replicationcontroller-controller",
	"resourcequota-controller",
	"root-ca-certificate-publisher-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"statefulset-controller",
	"ttl-after-finished-controller",
}

// ControllerManager returns kube-controller-manager. Start it when the API
// server is complete, before which it can only poll, in steps of a second, and
// when its roles exist.
func ControllerManager(s Settings) (*Component, error) {
	return s.component("kube-controller-manager", controllerManagerArgs(s))
}

func controllerManagerArgs(s Settings) []string {
	return append([]string{
		"--kubeconfig=" + s.Files.ControllerManager,
		"--controllers=" + strings.Join(controllers, ","),
		// A ServiceAccount and a token for each controller would cost the boot
		// 0.15 s; instead the boot grants the controllers' roles to this identity.
		"--use-service-account-credentials=false",
		"--service-account-private-key-file=" + s.Files.ServiceAccount.Key,
		"--root-ca-file=" + s.Files.Authority,
	}, loneClientArgs()...)
}

// Scheduler returns kube-scheduler. Start it when its roles exist: before that
// its reads are refused.
func Scheduler(s Settings) (*Component, error) {
	return s.component("kube-scheduler", schedulerArgs(s))
}

func schedulerArgs(s Settings) []string {
	return append([]string{"--kubeconfig=" + s.Files.Scheduler}, loneClientArgs()...)
}

// loneClientArgs suit a component that has no replica, has no clients, and whose
// default rate limit (20 requests a second) would be most of a test's time.
func loneClientArgs() []string {
	return []string{
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}
}
