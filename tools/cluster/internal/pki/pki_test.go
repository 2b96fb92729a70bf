package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/tools/cluster/internal/pki"
)

func parse(t *testing.T, encoded []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(encoded)
	if block == nil {
		t.Fatalf("no PEM block in %q", encoded)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func verify(t *testing.T, authority *pki.Authority, certificate *x509.Certificate, usage x509.ExtKeyUsage, host string) error {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority.PEM()) {
		t.Fatal("authority's PEM is not a certificate")
	}
	_, err := certificate.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func newAuthority(t *testing.T) *pki.Authority {
	t.Helper()
	authority, err := pki.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// Promise: a server certificate holds for every host asked for, address or name, and no other.
func TestServerCertificateCoversItsHosts(t *testing.T) {
	authority := newAuthority(t)
	pair, err := authority.Server("kube-apiserver", "kubernetes.default.svc", "10.0.0.1", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(pair.Certificate, pair.Key); err != nil {
		t.Fatalf("certificate and key do not belong together: %v", err)
	}
	certificate := parse(t, pair.Certificate)
	for _, host := range []string{"kubernetes.default.svc", "10.0.0.1", "127.0.0.1"} {
		if err := verify(t, authority, certificate, x509.ExtKeyUsageServerAuth, host); err != nil {
			t.Errorf("host %s: %v", host, err)
		}
	}
	if err := verify(t, authority, certificate, x509.ExtKeyUsageServerAuth, "10.0.0.2"); err == nil {
		t.Error("certificate holds for 10.0.0.2, which was not asked for")
	}
	if err := verify(t, newAuthority(t), certificate, x509.ExtKeyUsageServerAuth, "10.0.0.1"); err == nil {
		t.Error("another cluster's authority accepts the certificate")
	}
	if key, ok := certificate.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("public key is %T, want ECDSA P-256: the boot budget counts on it", certificate.PublicKey)
	}
}

// A certificate without a host verifies nowhere; the cause would show far away.
func TestServerCertificateNeedsAHost(t *testing.T) {
	if _, err := newAuthority(t).Server("kube-apiserver"); err == nil || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Fatalf("error = %v, want one that names kube-apiserver", err)
	}
}

// Promise: a client certificate names its identity, and neither usage serves for the other.
func TestClientCertificateNamesItsIdentity(t *testing.T) {
	authority := newAuthority(t)
	pair, err := authority.Client(pki.Node("node-1"))
	if err != nil {
		t.Fatal(err)
	}
	certificate := parse(t, pair.Certificate)
	if got := certificate.Subject.CommonName; got != "system:node:node-1" {
		t.Errorf("common name = %q", got)
	}
	if got := certificate.Subject.Organization; !slices.Equal(got, []string{"system:nodes"}) {
		t.Errorf("organizations = %q", got)
	}
	if err := verify(t, authority, certificate, x509.ExtKeyUsageClientAuth, ""); err != nil {
		t.Error(err)
	}
	if err := verify(t, authority, certificate, x509.ExtKeyUsageServerAuth, ""); err == nil {
		t.Error("a client certificate can be used to serve")
	}
	if left := time.Until(certificate.NotAfter); left < 364*24*time.Hour {
		t.Errorf("certificate ends in %s", left)
	}
	if !certificate.NotBefore.Before(time.Now().Add(-time.Minute)) {
		t.Error("certificate is not valid yet on a clock that is a minute behind")
	}
}

// Promise: only the administrator is in system:masters, since that group bypasses RBAC.
func TestOnlyAdminIsMaster(t *testing.T) {
	for _, identity := range []pki.Identity{
		pki.KubeletClient, pki.ControllerManager, pki.Scheduler, pki.ServiceProxy, pki.Node("n"),
	} {
		if slices.Contains(identity.Groups, "system:masters") {
			t.Errorf("%s is in system:masters", identity.Name)
		}
	}
	if !slices.Contains(pki.Admin.Groups, "system:masters") {
		t.Error("the administrator is not in system:masters")
	}
}

func issue(t *testing.T) (*pki.Bundle, string) {
	t.Helper()
	dir := t.TempDir()
	bundle, err := pki.Issue(pki.Request{
		Dir: dir, Server: "https://10.0.0.1:6443", NodeName: "node-1", NodeIP: "10.0.0.1",
		Hosts: []string{"kubernetes.default.svc", "10.0.0.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return bundle, dir
}

// Promise: each kubeconfig is one that client-go reads, with its own identity.
func TestComponentKubeconfigs(t *testing.T) {
	bundle, _ := issue(t)
	for path, want := range map[string]string{
		bundle.Files.ControllerManager: "system:kube-controller-manager",
		bundle.Files.Scheduler:         "system:kube-scheduler",
		bundle.Files.Node:              "system:node:node-1",
		bundle.Files.ServiceProxy:      "system:kube-proxy",
	} {
		config, err := clientcmd.BuildConfigFromFlags("", path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if config.Host != "https://10.0.0.1:6443" {
			t.Errorf("%s: host = %q", path, config.Host)
		}
		if got := parse(t, config.CertData).Subject.CommonName; got != want {
			t.Errorf("%s: identity = %q, want %q", path, got, want)
		}
		if string(config.CAData) != string(bundle.Authority()) {
			t.Errorf("%s: trusts another authority", path)
		}
	}
}

// Promise: private keys are readable by their owner only.
func TestFilesArePrivate(t *testing.T) {
	_, dir := issue(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", entry.Name(), info.Mode().Perm())
		}
	}
}

// A missing directory must be reported, not skipped by the writer that keeps errors.
func TestIssueReportsUnwritableDir(t *testing.T) {
	_, err := pki.Issue(pki.Request{Dir: filepath.Join(t.TempDir(), "absent"), Server: "https://x", Hosts: []string{"x"}, NodeName: "n", NodeIP: "10.0.0.1"})
	if err == nil || !strings.Contains(err.Error(), "absent") {
		t.Fatalf("error = %v, want one that names the directory", err)
	}
}

// Promise: a kubeconfig for a forwarded port still checks the API server's own name.
func TestKubeconfigServerName(t *testing.T) {
	bundle, _ := issue(t)
	config, err := bundle.Kubeconfig(pki.Admin, "https://127.0.0.1:40000", "kubernetes.default.svc")
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := config.Render()
	if err != nil {
		t.Fatal(err)
	}
	rest, err := clientcmd.RESTConfigFromKubeConfig(rendered)
	if err != nil {
		t.Fatal(err)
	}
	if rest.Host != "https://127.0.0.1:40000" || rest.ServerName != "kubernetes.default.svc" {
		t.Errorf("host = %q, server name = %q", rest.Host, rest.ServerName)
	}
	if _, err := (pki.Kubeconfig{}).Render(); err == nil {
		t.Error("a kubeconfig without a server was rendered")
	}
}
