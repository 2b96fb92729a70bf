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
)

// New returns a client and its monitor. It does not connect: Redis may come
// later. Call Monitor.Run, and close the client at the end.
func New(cfg config.Redis, observer Observer, logger *slog.Logger) (*redis.Client, *Monitor) {
	options := clientOptions(cfg)
	client := redis.NewClient(options)
	monitor := newMonitor(client, func() *redis.Client {
		probe := clientOptions(cfg)
		// A pool that a single failed dial filled would start a goroutine to dial on.
		probe.PoolSize, probe.MinIdleConns, probe.MaxRetries = 16, 0, -1
		return redis.NewClient(probe)
	}, observer, logger)
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

// SilenceLibrary ends the Redis library's own log, whose every line is also an
// error that a caller gets. It is for main: the setting is global.
func SilenceLibrary() { logging.Disable() }
