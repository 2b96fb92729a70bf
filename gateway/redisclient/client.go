// Package redisclient connects the gateway to Redis and knows whether Redis can
// be used.
package redisclient

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
)

// New returns a client and its monitor. It does not connect, so Redis may be started
// later. The only failure is a file of TLS that can't be read. The caller runs
// Monitor.Run, and closes the client at the end.
func New(cfg config.Redis, m *metrics.Metrics, logger *slog.Logger) (redis.UniversalClient, *Monitor, error) {
	encryption, err := tlsConfig(cfg.TLS)
	if err != nil {
		return nil, nil, err
	}
	options := clientOptions(cfg, encryption)
	client := newClient(cfg, options)
	monitor := newMonitor(client, func() redis.UniversalClient {
		probe := clientOptions(cfg, encryption)
		// With room for one connection only, a single failed dial would have the pool
		// start a goroutine that goes on dialing.
		probe.PoolSize, probe.MinIdleConns, probe.MaxRetries = 16, 0, -1
		return newClient(cfg, probe)
	}, m, logger)
	client.AddHook(monitor)
	return client, monitor, nil
}

// PoolSize returns how many connections a client may have to each server.
func PoolSize(client redis.UniversalClient) int {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().PoolSize
	case *redis.ClusterClient:
		return c.Options().PoolSize
	}
	return 0
}

func clientOptions(cfg config.Redis, encryption *tls.Config) *redis.Options {
	network := "tcp"
	if strings.HasPrefix(cfg.Addr, "/") {
		network = "unix"
	}
	return &redis.Options{
		Network: network, Addr: cfg.Addr, DB: cfg.DB, Username: cfg.Username, Password: cfg.Password,
		DialTimeout: cfg.DialTimeout.Std(), ReadTimeout: cfg.ReadTimeout.Std(), WriteTimeout: cfg.WriteTimeout.Std(),
		PoolSize: cfg.PoolSize, MinIdleConns: cfg.MinIdleConns,
		TLSConfig:             encryption,
		ContextTimeoutEnabled: true,
		// One more try covers a connection that a restarted server has closed. More
		// would only keep senders waiting for their 503.
		MaxRetries: 1, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 10 * time.Millisecond,
		DialerRetries: 1,
		// All commands go through one pool, so that its statistics are all there is.
		PipelinePoolSize:         -1,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// newClient returns a client of the server, of the Cluster, or of the master that
// Sentinels name.
func newClient(cfg config.Redis, o *redis.Options) redis.UniversalClient {
	if len(cfg.Cluster.Addrs) > 0 {
		return newClusterClient(cfg, o)
	}
	if cfg.Sentinel.MasterName == "" {
		return redis.NewClient(o)
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: cfg.Sentinel.MasterName, SentinelAddrs: cfg.Sentinel.Addrs,
		SentinelUsername: cfg.Sentinel.Username, SentinelPassword: cfg.Sentinel.Password,
		DB: o.DB, Username: o.Username, Password: o.Password,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		PoolSize: o.PoolSize, MinIdleConns: o.MinIdleConns,
		TLSConfig:             o.TLSConfig,
		ContextTimeoutEnabled: o.ContextTimeoutEnabled,
		MaxRetries:            o.MaxRetries, MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
		DialerRetries:    o.DialerRetries,
		PipelinePoolSize: o.PipelinePoolSize,
		DisableIdentity:  o.DisableIdentity,
	})
}

func newClusterClient(cfg config.Redis, o *redis.Options) redis.UniversalClient {
	cluster := &redis.ClusterOptions{
		Addrs: cfg.Cluster.Addrs, Username: o.Username, Password: o.Password,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		PoolSize: o.PoolSize, MinIdleConns: o.MinIdleConns,
		TLSConfig:             o.TLSConfig,
		ContextTimeoutEnabled: o.ContextTimeoutEnabled,
		// A slot that moves refuses scripts until all of its keys have moved. To wait for
		// that for some 200 ms is better than to have the sender wait for longer.
		MaxRedirects: 10, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 50 * time.Millisecond,
		DialerRetries:            o.DialerRetries,
		DisableIdentity:          o.DisableIdentity,
		MaintNotificationsConfig: o.MaintNotificationsConfig,
	}
	if o.MaxRetries < 0 {
		cluster.MaxRedirects = 1
	}
	return redis.NewClusterClient(cluster)
}

// tlsConfig returns nil if connections are not encrypted.
func tlsConfig(cfg config.RedisTLS) (*tls.Config, error) {
	if !cfg.Enabled {
		return nil, nil
	}
	encryption := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName}
	if cfg.CAFile != "" {
		content, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read infrastructure.redis.tls.ca_file: %w", err)
		}
		encryption.RootCAs = x509.NewCertPool()
		if !encryption.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("infrastructure.redis.tls.ca_file %s holds no certificate", cfg.CAFile)
		}
	}
	if cfg.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			certificate, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
			return &certificate, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("read infrastructure.redis.tls.cert_file and key_file: %w", err)
		}
		// Certificates are renewed while the gateway runs.
		encryption.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return encryption, nil
}

// SilenceLibrary ends the Redis library's own log: each of its lines is also an error
// that a caller gets. Only main calls it, since the setting is global.
func SilenceLibrary() { logging.Disable() }
