// Package redisclient connects the gateway to Redis and knows whether Redis can
// be reached.
package redisclient

import (
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
)

// New returns a client and its monitor. It does not connect, so Redis may be started
// later. The caller runs Monitor.Run, and closes the client at the end.
func New(cfg config.Redis, m *metrics.Metrics, logger *slog.Logger) (*redis.Client, *Monitor) {
	options := clientOptions(cfg)
	client := redis.NewClient(options)
	monitor := newMonitor(client, func() *redis.Client {
		probe := clientOptions(cfg)
		// With room for one connection only, a single failed dial would have the pool
		// start a goroutine that goes on dialing.
		probe.PoolSize, probe.MinIdleConns, probe.MaxRetries = 16, 0, -1
		return redis.NewClient(probe)
	}, m, logger)
	client.AddHook(monitor)
	return client, monitor
}

func clientOptions(cfg config.Redis) *redis.Options {
	network := "tcp"
	if strings.HasPrefix(cfg.Addr, "/") {
		network = "unix"
	}
	return &redis.Options{
		Network: network, Addr: cfg.Addr, DB: cfg.DB, Password: cfg.Password,
		DialTimeout: cfg.DialTimeout.Std(), ReadTimeout: cfg.ReadTimeout.Std(), WriteTimeout: cfg.WriteTimeout.Std(),
		PoolSize: cfg.PoolSize, MinIdleConns: cfg.MinIdleConns,
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

// SilenceLibrary ends the Redis library's own log: each of its lines is also an error
// that a caller gets. Only main calls it, since the setting is global.
func SilenceLibrary() { logging.Disable() }
