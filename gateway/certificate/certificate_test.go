package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stormgate.internal/gateway/certificatetest"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/metricstest"
)

func newStore(t *testing.T, cfg config.ServerTLS) (*Store, *metrics.Metrics, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	m := metrics.New()
	s, err := New(cfg, m, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s, m, &log
}

// serve serves with the store's settings and returns the address.
func serve(t *testing.T, s *Store) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{TLSConfig: s.Config(), ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", len(r.TLS.PeerCertificates)))
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeTLS(listener, "", "") }) // until it is closed
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}

// presented returns the certificate that a server shows to a new connection.
func presented(address string, cfg *tls.Config) (*x509.Certificate, error) {
	connection, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	return connection.ConnectionState().PeerCertificates[0], nil
}

// Under load, certificates are replaced again and again, by the way of an editor and by
// that of the kubelet, and between the two files of a pair. No request fails, and new
// connections get the new certificate.
func TestReloadUnderLoad(t *testing.T) {
	dir, mount := t.TempDir(), t.TempDir()
	authority := certificatetest.NewAuthority(t, dir, "authority")
	// publish does what the kubelet does: a directory, to which a link is swapped.
	publish := func(version, name string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(mount, version), 0o700); err != nil {
			t.Fatal(err)
		}
		authority.Leaf(t, filepath.Join(mount, version), "tls", func(c *x509.Certificate) { c.Subject.CommonName = name })
		next := filepath.Join(mount, "..next")
		if err := os.Symlink(version, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(mount, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("0", "first")
	certFile, keyFile := filepath.Join(mount, "..data", "tls.crt"), filepath.Join(mount, "..data", "tls.key")
	store, m, _ := newStore(t, config.ServerTLS{CertFile: certFile, KeyFile: keyFile})
	address := serve(t, store)
	client := &tls.Config{RootCAs: authority.Pool()}

	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var requests, failures atomic.Int64
	sent := make(chan struct{}, 1)
	for _, keepAlive := range []bool{true, false, true, false} {
		load.Go(func() {
			transport := &http.Transport{TLSClientConfig: client.Clone(), DisableKeepAlives: !keepAlive, ForceAttemptHTTP2: keepAlive}
			defer transport.CloseIdleConnections()
			for ctx.Err() == nil {
				response, err := (&http.Client{Transport: transport}).Get("https://" + address)
				if err != nil {
					failures.Add(1)
					t.Errorf("request: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				requests.Add(1)
				select {
				case sent <- struct{}{}:
				default:
				}
			}
		})
	}
	serials := map[string]bool{}
	for round := range 20 {
		publish(hex.EncodeToString([]byte{byte(round + 1)}), "next")
		if round%5 == 0 {
			// A key of another certificate: what was there goes on.
			before, err := presented(address, client)
			if err != nil {
				t.Fatal(err)
			}
			right, err := os.ReadFile(keyFile)
			if err != nil {
				t.Fatal(err)
			}
			authority.Leaf(t, dir, "stray")
			wrong, err := os.ReadFile(filepath.Join(dir, "stray.key"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, keyFile, wrong)
			store.Reload()
			if after, err := presented(address, client); err != nil || !after.Equal(before) {
				t.Errorf("with a wrong key: %v, another certificate: %t", err, after != nil)
			}
			write(t, keyFile, right)
		}
		store.Reload()
		got, err := presented(address, client)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil || !got.Equal(want.Leaf) {
			t.Errorf("round %d: another certificate than in the file, %v", round, err)
		}
		serials[got.SerialNumber.String()] = true
		<-sent // the load goes on
	}
	stop()
	load.Wait()
	if len(serials) != 20 || requests.Load() < 20 {
		t.Errorf("%d certificates were seen, in %d requests", len(serials), requests.Load())
	}
	counts := metricstest.Read(t, m, "gateway_tls_reloads_total")
	if counts[`gateway_tls_reloads_total{result="success"}`] != 20 || counts[`gateway_tls_reloads_total{result="error"}`] != 4 {
		t.Errorf("reloads %v", counts)
	}
	t.Logf("%d requests, %d failures", requests.Load(), failures.Load())
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A change that can't be used leaves what was there in force, and is said once.
func TestChangesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := certificatetest.NewAuthority(t, dir, "ours"), certificatetest.NewAuthority(t, dir, "theirs")
	certFile, keyFile := ours.Leaf(t, dir, "server")
	caFile := filepath.Join(dir, "ca.crt")
	copyTo(t, caFile, ours.File)
	store, m, log := newStore(t, config.ServerTLS{CertFile: certFile, KeyFile: keyFile, ClientCAFile: caFile})
	if got := metricstest.Read(t, m, "gateway_tls_certificate_expiry")["gateway_tls_certificate_expiry_timestamp_seconds"]; got < float64(time.Now().Unix()) {
		t.Errorf("it expires at %v", got)
	}
	for _, file := range []string{certFile, keyFile, caFile} {
		right, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(){
			"gone":  func() { _ = os.Remove(file) },
			"empty": func() { write(t, file, nil) },
			"half":  func() { write(t, file, right[:len(right)/2]) },
		} {
			log.Reset()
			change()
			before := store.current.Load()
			store.Reload()
			store.Reload()
			if store.current.Load() != before {
				t.Errorf("%s is %s, and used", file, name)
			}
			if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
				t.Errorf("%s is %s: %d lines\n%s", file, name, n, log)
			}
			write(t, file, right)
			store.Reload()
			if store.current.Load() != before {
				t.Errorf("%s is back, as it was, and read as another", file)
			}
		}
	}
	// A file with several authorities counts as a whole or not at all.
	first, err := os.ReadFile(ours.File)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(theirs.File)
	if err != nil {
		t.Fatal(err)
	}
	garbage := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("garbage")})
	for name, content := range map[string][]byte{
		"the second is cut off":    slices.Concat(first, second[:len(second)/2]),
		"the first is cut off":     slices.Concat(first[:len(first)/2], []byte("\n"), second),
		"the second is no X.509":   slices.Concat(first, garbage),
		"the first is no X.509":    slices.Concat(garbage, second),
		"one in between is no PEM": slices.Concat(first, []byte("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"), second),
	} {
		before := store.current.Load()
		write(t, caFile, content)
		if store.Reload(); store.current.Load() != before {
			t.Errorf("%s, and used", name)
		}
	}
	write(t, caFile, slices.Concat([]byte("# ours\n"), first, []byte("# theirs\n"), second))
	store.Reload()
	both := ours.Pool()
	both.AddCert(theirs.Certificate)
	if !store.Authorities().Equal(both) {
		t.Error("the authorities are not both")
	}
	copyTo(t, caFile, theirs.File)
	store.Reload()
	if !store.Authorities().Equal(theirs.Pool()) {
		t.Error("the authorities are not the new ones")
	}
}

func copyTo(t *testing.T, to, from string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, content)
}

func TestFilesMustBeReadable(t *testing.T) {
	dir := t.TempDir()
	authority := certificatetest.NewAuthority(t, dir, "authority")
	cert, key := authority.Leaf(t, dir, "server")
	none, empty := filepath.Join(dir, "none"), filepath.Join(dir, "empty")
	write(t, empty, nil)
	for mentions, cfg := range map[string]config.ServerTLS{
		"server.tls.cert_file: ":      {CertFile: none, KeyFile: key},
		"server.tls.key_file: ":       {CertFile: cert, KeyFile: none},
		"and key_file":                {CertFile: cert, KeyFile: empty},
		"server.tls.client_ca_file: ": {CertFile: cert, KeyFile: key, ClientCAFile: none},
		"empty holds no certificate":  {CertFile: cert, KeyFile: key, ClientCAFile: empty},
	} {
		if _, err := New(cfg, metrics.New(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), mentions) {
			t.Errorf("%+v: %v, want one that mentions %q", cfg, err, mentions)
		}
	}
}

// Clients may show a certificate, of whatever authority: what it is worth is decided
// for each request. They are asked only if certificates count.
func TestClientsAreAsked(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := certificatetest.NewAuthority(t, dir, "ours"), certificatetest.NewAuthority(t, dir, "theirs")
	certFile, keyFile := ours.Leaf(t, dir, "server")
	for _, authority := range []string{"", ours.File} {
		store, _, _ := newStore(t, config.ServerTLS{CertFile: certFile, KeyFile: keyFile, ClientCAFile: authority})
		address := serve(t, store)
		for _, by := range []*certificatetest.Authority{nil, ours, theirs} {
			cfg := &tls.Config{RootCAs: ours.Pool()}
			want := ""
			if by != nil {
				pair, err := tls.LoadX509KeyPair(by.Leaf(t, dir, "client"))
				if err != nil {
					t.Fatal(err)
				}
				cfg.Certificates = []tls.Certificate{pair}
				if authority != "" {
					want = "x"
				}
			}
			transport := &http.Transport{TLSClientConfig: cfg}
			response, err := (&http.Client{Transport: transport}).Get("https://" + address)
			if err != nil {
				t.Fatal(err)
			}
			seen, err := io.ReadAll(response.Body)
			response.Body.Close()
			transport.CloseIdleConnections()
			if err != nil || string(seen) != want {
				t.Errorf("authority %q: the server saw %q, want %q, %v", authority, seen, want, err)
			}
		}
	}
}

func TestMinimumVersion(t *testing.T) {
	dir := t.TempDir()
	authority := certificatetest.NewAuthority(t, dir, "authority")
	certFile, keyFile := authority.Leaf(t, dir, "server")
	for version, lowest := range map[string]uint16{"": tls.VersionTLS12, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		store, _, _ := newStore(t, config.ServerTLS{CertFile: certFile, KeyFile: keyFile, MinVersion: version})
		address := serve(t, store)
		for _, spoken := range []uint16{tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
			_, err := presented(address, &tls.Config{RootCAs: authority.Pool(), MinVersion: spoken, MaxVersion: spoken})
			if (err == nil) != (spoken >= lowest) {
				t.Errorf("min_version %q, a client with %s: %v", version, tls.VersionName(spoken), err)
			}
		}
	}
}

// Run looks by itself, until its context ends.
func TestRunEnds(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := certificatetest.NewAuthority(t, dir, "authority").Leaf(t, dir, "server")
	store, _, _ := newStore(t, config.ServerTLS{CertFile: certFile, KeyFile: keyFile})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		store.Run(ctx)
		close(done)
	}()
	cancel()
	<-done
}
