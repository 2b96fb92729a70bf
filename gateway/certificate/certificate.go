// Package certificate holds the gateway's certificate and the authorities of its
// senders' certificates, and reads them again when their files change.
//
// Files are looked at every few seconds. A watch would tell no sooner in a pod, where
// the kubelet itself brings changes of a Secret within a minute, and misses some of the
// ways in which files are replaced.
package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
)

// interval is how often files are looked at.
const interval = 10 * time.Second

// Store holds what was read last and could be used.
type Store struct {
	cfg     config.ServerTLS
	metrics *metrics.Metrics
	logger  *slog.Logger
	current atomic.Pointer[material]

	mu      sync.Mutex // one reading at a time
	failure string     // why the latest reading could not be used, or ""
}

// material is what was read at once. It does not change.
type material struct {
	cert, key, ca []byte // as read
	certificate   *tls.Certificate
	authorities   *x509.CertPool // nil if none are configured
}

// New reads the files, all of which must be fit for use. The caller runs Run.
func New(cfg config.ServerTLS, m *metrics.Metrics, logger *slog.Logger) (*Store, error) {
	s := &Store{cfg: cfg, metrics: m, logger: logger}
	read, err := s.read()
	if err != nil {
		return nil, err
	}
	s.use(read)
	return s, nil
}

// Config returns the settings of a server. Connections that begin after a change get
// the new certificate; those that there are go on.
//
// Clients are asked for a certificate and need none: whether the one that they have is
// good is decided for each request, so that it can be answered, and that a certificate
// which is good no more has no effect on connections that there are, either.
func (s *Store) Config() *tls.Config {
	cfg := &tls.Config{
		MinVersion:     s.cfg.Version(),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.current.Load().certificate, nil },
	}
	if s.cfg.ClientCAFile != "" {
		cfg.ClientAuth = tls.RequestClientCert
	}
	return cfg
}

// Authorities returns those of clients, or nil if none are configured. They must not be
// changed.
func (s *Store) Authorities() *x509.CertPool { return s.current.Load().authorities }

// Run looks for changes until the context ends.
func (s *Store) Run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.Reload()
		}
	}
}

// Reload reads the files now. If they have changed and can be used, they are.
func (s *Store) Reload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	read, err := s.read()
	if err != nil {
		s.metrics.CertificateReloaded(false)
		if failure := err.Error(); failure != s.failure { // once, though it is tried again and again
			s.failure = failure
			s.logger.Error("certificates can't be read again, so those read before are used", "error", err)
		}
		return
	}
	s.failure = ""
	if read.equal(s.current.Load()) {
		return
	}
	s.use(read)
	s.metrics.CertificateReloaded(true)
	s.logger.Info("certificates have been read again", "file", s.cfg.CertFile, "subject", read.certificate.Leaf.Subject.String(), "not_after", read.certificate.Leaf.NotAfter)
}

func (s *Store) use(m *material) {
	s.current.Store(m)
	s.metrics.CertificateExpires(m.certificate.Leaf.NotAfter)
}

// read reads all files. Those of a pair that are replaced one after the other don't
// match for a moment, which the next reading finds right.
func (s *Store) read() (*material, error) {
	var m material
	var errs []error
	for _, file := range []struct {
		key, path string
		into      *[]byte
	}{
		{"server.tls.cert_file", s.cfg.CertFile, &m.cert},
		{"server.tls.key_file", s.cfg.KeyFile, &m.key},
		{"server.tls.client_ca_file", s.cfg.ClientCAFile, &m.ca},
	} {
		if file.path == "" {
			continue
		}
		content, err := os.ReadFile(file.path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file.key, err))
		}
		*file.into = content
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	pair, err := tls.X509KeyPair(m.cert, m.key)
	if err != nil {
		return nil, fmt.Errorf("server.tls.cert_file %s and key_file %s: %w", s.cfg.CertFile, s.cfg.KeyFile, err)
	}
	m.certificate = &pair
	if s.cfg.ClientCAFile != "" {
		if m.authorities, err = authorities(m.ca); err != nil {
			return nil, fmt.Errorf("server.tls.client_ca_file %s %w", s.cfg.ClientCAFile, err)
		}
	}
	return &m, nil
}

// authorities reads all of a file's certificates. If one of them is left out, the senders
// of that authority are refused, for good: a file that is just being written must not
// do that.
func authorities(content []byte) (*x509.CertPool, error) {
	pool, n := x509.NewCertPool(), 0
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != pemCertificate {
			continue
		}
		n++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("holds a certificate that can't be read, number %d: %w", n, err)
		}
		pool.AddCert(certificate)
	}
	// What is no PEM is passed over by the decoder.
	switch begun := bytes.Count(content, []byte("-----BEGIN "+pemCertificate+"-----")); {
	case begun > n:
		return nil, fmt.Errorf("holds %d certificates, %d of which are no PEM", begun, begun-n)
	case n == 0:
		return nil, errors.New("holds no certificate in PEM")
	}
	return pool, nil
}

const pemCertificate = "CERTIFICATE"

func (m *material) equal(other *material) bool {
	return bytes.Equal(m.cert, other.cert) && bytes.Equal(m.key, other.key) && bytes.Equal(m.ca, other.ca)
}
