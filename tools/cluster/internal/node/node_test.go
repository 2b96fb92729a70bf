package node

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	kubeletoptions "k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
)

func completeOptions(t *testing.T) Options {
	directory := t.TempDir()
	return Options{
		Name: "node-1", IP: netip.MustParseAddr("10.0.0.1"), Root: directory,
		ControlSocket: filepath.Join(directory, "s"), Kubeconfig: "node.kubeconfig", ServiceKubeconfig: "proxy.kubeconfig",
		ClientCAFile: "ca.crt", TLSCertFile: "kubelet.crt", TLSKeyFile: "kubelet.key",
	}
}

func TestRunRefusesIncompleteOptions(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"name":            {func(o *Options) { o.Name = "" }, "Name"},
		"kubeconfig":      {func(o *Options) { o.Kubeconfig = "" }, "Kubeconfig"},
		"proxy":           {func(o *Options) { o.ServiceKubeconfig = "" }, "ServiceKubeconfig"},
		"authority":       {func(o *Options) { o.ClientCAFile = "" }, "ClientCAFile"},
		"certificate":     {func(o *Options) { o.TLSCertFile = "" }, "TLSCertFile"},
		"key":             {func(o *Options) { o.TLSKeyFile = "" }, "TLSKeyFile"},
		"control":         {func(o *Options) { o.ControlSocket = "" }, "ControlSocket"},
		"no IP":           {func(o *Options) { o.IP = netip.Addr{} }, "IP"},
		"relative root":   {func(o *Options) { o.Root = "data" }, "absolute"},
		"DNS of nowhere":  {func(o *Options) { o.ClusterDNS = netip.MustParseAddr("192.0.2.1") }, "service CIDR"},
		"kubelet's files": {func(o *Options) { o.Root = "/dev/null/x" }, "/dev/null"},
	} {
		options := completeOptions(t)
		test.change(&options)
		if err := Run(t.Context(), options); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Run = %v, want an error with %q", name, err, test.want)
		}
	}
}

// kubeletServer is the kubelet's configuration under completeOptions.
func kubeletServer(t *testing.T) *kubeletoptions.KubeletServer {
	t.Helper()
	options := completeOptions(t)
	if err := options.complete(); err != nil {
		t.Fatal(err)
	}
	server, err := (&node{options: options}).kubeletServer()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// The kubelet's defaults for embedders let everybody in.
func TestKubeletServerIsClosedToStrangers(t *testing.T) {
	server := kubeletServer(t)
	if server.Authentication.Anonymous.Enabled || server.ReadOnlyPort != 0 {
		t.Error("anonymous requests are served")
	}
	if !server.Authentication.Webhook.Enabled || server.Authentication.X509.ClientCAFile != "ca.crt" {
		t.Errorf("authentication %+v, want certificates and tokens", server.Authentication)
	}
	if server.Authorization.Mode != kubeletconfig.KubeletAuthorizationModeWebhook {
		t.Errorf("authorization mode %s, want the API server's decision", server.Authorization.Mode)
	}
	if server.TLSCertFile != "kubelet.crt" || server.TLSPrivateKeyFile != "kubelet.key" {
		t.Errorf("served with %s, %s", server.TLSCertFile, server.TLSPrivateKeyFile)
	}
}

// Pods with dnsPolicy Default get the node's resolv.conf; that of the machine
// must not get into the cluster.
func TestNodeResolvesByClusterDNS(t *testing.T) {
	server := kubeletServer(t)
	content, err := os.ReadFile(server.ResolverConfig)
	if err != nil || string(content) != "nameserver 10.96.0.10\n" {
		t.Errorf("%s has %q, %v", server.ResolverConfig, content, err)
	}
	if server.ClusterDomain != "cluster.local" || len(server.ClusterDNS) != 1 || server.ClusterDNS[0] != "10.96.0.10" {
		t.Errorf("pods get DNS %v for %s", server.ClusterDNS, server.ClusterDomain)
	}
}
