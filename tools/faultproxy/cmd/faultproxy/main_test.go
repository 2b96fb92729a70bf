package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"stormgate.internal/tools/faultproxy"
)

// kubeconfig writes one that leads to the server.
func kubeconfig(t *testing.T, server *httptest.Server) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{
		Server:                   server.URL,
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "proxy"}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// keyPair writes the server's own certificate and key, for --tls-cert and --tls-key.
func keyPair(t *testing.T, server *httptest.Server) (cert, key string) {
	t.Helper()
	pair := server.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}

var serves = regexp.MustCompile(`msg=serving clients=(\S+) rules=(\S+)`)

// start runs the command until the test ends it, and returns where it serves.
func start(t *testing.T, args ...string) (clients, rules string, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	cmd := command()
	cmd.SetArgs(append([]string{"--listen=127.0.0.1:0", "--control=127.0.0.1:0"}, args...))
	cmd.SetErr(writer)
	ended := make(chan error, 1)
	go func() {
		err := cmd.ExecuteContext(ctx)
		writer.CloseWithError(io.EOF)
		ended <- err
	}()
	end = func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("the proxy did not end")
			return nil
		}
	}
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		if found := serves.FindStringSubmatch(lines.Text()); found != nil {
			go io.Copy(io.Discard, reader)
			return found[1], found[2], end
		}
	}
	t.Fatalf("the proxy ended before it served: %v", <-ended)
	return "", "", nil
}

// The program leads to the API server of its kubeconfig, obeys the rules set at
// its other address, and a signal ends it although a watch is open.
func TestServes(t *testing.T) {
	watching := make(chan struct{}, 1)
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "" {
			w.(http.Flusher).Flush()
			watching <- struct{}{}
			<-r.Context().Done()
			return
		}
		io.WriteString(w, r.Header.Get("Authorization"))
	}))
	defer api.Close()
	clients, rules, end := start(t, "--kubeconfig="+kubeconfig(t, api))

	get := func(query string) (int, string) {
		t.Helper()
		response, err := http.Get("http://" + clients + "/api/v1/namespaces" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if status, body := get(""); status != http.StatusOK || body != "Bearer proxy" {
		t.Errorf("without rules: %d %q", status, body)
	}
	control := faultproxy.Client{URL: "http://" + rules}
	rule := faultproxy.Rule{
		ID:    "refuse",
		Match: faultproxy.Match{Everywhere: true, Resource: "namespaces"},
		Fault: faultproxy.Fault{Kind: faultproxy.Status, Code: http.StatusTooManyRequests},
	}
	if err := control.Put(t.Context(), rule); err != nil {
		t.Fatal(err)
	}
	if status, body := get(""); status != http.StatusTooManyRequests {
		t.Errorf("with a rule: %d %q", status, body)
	}
	if _, err := control.Delete(t.Context(), rule.ID); err != nil {
		t.Fatal(err)
	}

	response, err := http.Get("http://" + clients + "/api/v1/namespaces?watch=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	<-watching
	if err := end(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if conn, err := net.Dial("tcp", clients); err == nil {
		conn.Close()
		t.Errorf("%s still takes connections", clients)
	}
}

// With a certificate of its own the program serves its clients by TLS.
func TestServesTLS(t *testing.T) {
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "answer") }))
	defer api.Close()
	cert, key := keyPair(t, api)
	clients, _, end := start(t, "--kubeconfig="+kubeconfig(t, api), "--tls-cert="+cert, "--tls-key="+key)
	// The server's client trusts its certificate, which names example.com.
	client := api.Client()
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, clients)
	}
	response, err := client.Get("https://example.com/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "answer" {
		t.Errorf("%q, %v", body, err)
	}
	if err := end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// A bad command line ends the program with an error that names what is wrong.
func TestBadInput(t *testing.T) {
	api := httptest.NewTLSServer(http.NotFoundHandler())
	defer api.Close()
	config := kubeconfig(t, api)
	cert, key := keyPair(t, api)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().String()
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, test := range map[string]struct {
		args  []string
		wants []string
	}{
		"outside a cluster":       {nil, []string{"find the API server", "--kubeconfig"}},
		"no such kubeconfig":      {[]string{"--kubeconfig=/no/such"}, []string{"find the API server", "/no/such"}},
		"broken kubeconfig":       {[]string{"--kubeconfig=" + broken}, []string{"find the API server"}},
		"argument":                {[]string{"--kubeconfig=" + config, "up"}, []string{`"up"`}},
		"certificate without key": {[]string{"--kubeconfig=" + config, "--tls-cert=" + cert}, []string{"tls-key"}},
		"key that is none":        {[]string{"--kubeconfig=" + config, "--tls-cert=" + cert, "--tls-key=" + cert}, []string{"--tls-cert", "--tls-key"}},
		"key file missing":        {[]string{"--kubeconfig=" + config, "--tls-cert=" + cert, "--tls-key=" + key + ".no"}, []string{key + ".no"}},
		"address taken":           {[]string{"--kubeconfig=" + config, "--listen=" + port}, []string{"--listen", port, "in use"}},
		"control address taken":   {[]string{"--kubeconfig=" + config, "--control=" + port}, []string{"--control", port, "in use"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			cmd := command()
			cmd.SetErr(io.Discard)
			cmd.SetArgs(append([]string{"--listen=127.0.0.1:0", "--control=127.0.0.1:0"}, test.args...))
			err := cmd.ExecuteContext(ctx)
			if err == nil {
				t.Fatal("it served until it was ended")
			}
			for _, want := range test.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not have %q", err, want)
				}
			}
		})
	}
}
