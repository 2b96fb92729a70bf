package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func (s Settings) adminClient() (*http.Client, error) {
	certificate, err := tls.X509KeyPair(s.Admin.Certificate, s.Admin.Key)
	if err != nil {
		return nil, fmt.Errorf("load administrator's certificate: %w", err)
	}
	authority, err := os.ReadFile(s.Files.Authority)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("load authority: %s holds no certificate", s.Files.Authority)
	}
	return &http.Client{
		// An API server that has stopped answering must not outwait the boot's deadline.
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}}},
	}, nil
}

// HTTPProbe returns a Probe that wants the status 200 from GET of url. Its error
// has the first 4096 bytes of another answer, which say what is missing.
func HTTPProbe(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s: %s", url, response.Status, strings.TrimSpace(string(body)))
		}
		return nil
	}
}
