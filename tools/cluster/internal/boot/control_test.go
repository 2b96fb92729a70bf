package boot

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/pki"
)

func answer(handler http.Handler, method, path string) (int, []byte) {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(method, path, nil))
	return recorder.Code, recorder.Body.Bytes()
}

// Promise: credentials are for the two identities that are given out, new ones with each answer, and in no
// file; the socket that everybody can open gives none, and passes no change on to the node.
func TestCredentialsAreGivenOut(t *testing.T) {
	dir := t.TempDir()
	bundle, err := pki.Issue(pki.Request{Dir: dir, Server: "https://10.0.0.1:6443", NodeName: NodeName, NodeIP: NodeIP, Hosts: []string{ServerName}})
	if err != nil {
		t.Fatal(err)
	}
	before, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var passed []string
	c := &control{
		bundle: bundle, nodeUp: make(chan struct{}), apiUp: make(chan struct{}),
		node: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { passed = append(passed, r.Method+" "+r.URL.Path) }),
	}
	c.nodeIsUp()
	private := c.handler()
	public := api.ReadOnly(private)
	keys := map[string]bool{}
	for identity, user := range map[string]string{api.IdentityFixture: "stormgate:fixture", api.IdentityAdmin: "stormgate:admin"} {
		for range 2 {
			code, body := answer(private, http.MethodGet, api.CredentialsPath+identity)
			config, err := clientcmd.RESTConfigFromKubeConfig(body)
			if code != http.StatusOK || err != nil {
				t.Fatalf("%s: %d %s, %v", identity, code, body, err)
			}
			block, _ := pem.Decode(config.CertData)
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if certificate.Subject.CommonName != user || config.Host != publicServer || string(config.CAData) != string(bundle.Authority()) {
				t.Errorf("%s: a certificate of %s for %s", identity, certificate.Subject.CommonName, config.Host)
			}
			keys[string(config.KeyData)] = true
		}
		if code, body := answer(public, http.MethodGet, api.CredentialsPath+identity); code != http.StatusForbidden || strings.Contains(string(body), "key") {
			t.Errorf("%s for everybody: %d %s", identity, code, body)
		}
	}
	if len(keys) != 4 {
		t.Errorf("%d keys in four answers", len(keys))
	}
	for _, identity := range []string{"suite", "init", "kube-scheduler"} {
		if code, body := answer(private, http.MethodGet, api.CredentialsPath+identity); code != http.StatusNotFound {
			t.Errorf("credentials of %s: %d %s", identity, code, body)
		}
	}
	after, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(after) != len(before) || len(before) == 0 {
		t.Errorf("files %q became %q, %v", before, after, err)
	}

	for _, request := range [][2]string{{http.MethodPut, api.ScopesPath + "a"}, {http.MethodDelete, api.ScopesPath + "a"}, {http.MethodPost, api.EndPath}, {http.MethodPut, api.ImagesPath}} {
		if code, _ := answer(public, request[0], request[1]); code != http.StatusForbidden || len(passed) != 0 {
			t.Errorf("%v for everybody: %d, the node got %q", request, code, passed)
		}
		if code, _ := answer(private, request[0], request[1]); code != http.StatusOK || len(passed) != 1 {
			t.Errorf("%v for the starter: %d, the node got %q", request, code, passed)
		}
		passed = nil
	}
}
