package redisclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"stormgate.internal/gateway/metrics"
)

const (
	upInterval   = 5 * time.Second
	downInterval = 100 * time.Millisecond
	probeTimeout = 5 * time.Second
	// partTimeout is that of one partition of a Cluster. It is well below the time that a
	// readiness probe has: a server that is silent is not to fail the probe, since the
	// others can be used.
	partTimeout = 2 * time.Second
	// downWait is how long a command waits for a probe while Redis is known to be
	// unreachable: enough for a server that has just come back.
	downWait = 250 * time.Millisecond
	// probeKey is written to see whether Redis takes writes.
	probeKey  = "gateway:probe"
	probeLife = time.Minute
)

// unusable are how replies begin that show that Redis can't be used now, though it
// answers: it takes no writes, or nothing at all.
var unusable = []string{"READONLY", "OOM", "MISCONF", "NOREPLICAS", "LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM", "CLUSTERDOWN"}

// isUnusable reports whether an error is such a reply.
func isUnusable(err error) bool {
	return slices.ContainsFunc(unusable, func(prefix string) bool { return redis.HasErrorPrefix(err, prefix) })
}

// UnreachableError says that Redis could not be reached, so that it was not asked.
type UnreachableError struct {
	// Cause is the latest failure; nil when none was tried yet.
	Cause error
}

var _ error = (*UnreachableError)(nil)

// Error names the cause.
func (e *UnreachableError) Error() string {
	if e.Cause == nil {
		return "Redis has not been reached yet"
	}
	return fmt.Sprintf("Redis is unreachable: %v", e.Cause)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Cause }

// Monitor knows whether Redis can be used: whether it can be reached, and takes writes.
// Until its first look it assumes that Redis can not.
//
// As a hook of the client it lets commands fail at once while Redis is away. Senders
// then need not wait, and the gateway recovers faster: the client's pool refuses to
// dial for a second after as many failed dials as it has connections, and each
// command would be one.
//
// A Redis Cluster can be used as long as any of its partitions can: signals about the
// others are answered with 503, all the rest goes on. The gauge is 0 meanwhile.
type Monitor struct {
	client     redis.UniversalClient
	newProbe   func() redis.UniversalClient
	partitions Partitions // none if this is no Redis Cluster
	metrics    *metrics.Metrics
	logger     *slog.Logger
	flight     singleflight.Group
	wake       chan struct{}

	mu        sync.Mutex
	up        bool
	partly    bool // some partitions of a Cluster can't be used
	everUp    bool
	downSince time.Time
	cause     error
}

var _ redis.Hook = (*Monitor)(nil)

func newMonitor(client redis.UniversalClient, newProbe func() redis.UniversalClient, metrics *metrics.Metrics, logger *slog.Logger) *Monitor {
	return &Monitor{
		client: client, newProbe: newProbe, partitions: PartitionsOf(client), metrics: metrics, logger: logger,
		wake: make(chan struct{}, 1), downSince: time.Now(),
	}
}

// Run looks every 5 s, and every 100 ms while Redis is away, until the context ends.
func (m *Monitor) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.wake:
		}
		interval := upInterval
		if m.Check(ctx) != nil || m.isPartly() {
			interval = downInterval
		}
		timer.Reset(interval)
	}
}

// Check asks Redis now, for at most 5 s, and returns why it can't be used, or nil.
func (m *Monitor) Check(ctx context.Context) error {
	result := m.flight.DoChan("ping", func() (any, error) {
		// Shared by all who ask meanwhile, so it must not end with one of them.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
		defer cancel()
		err := m.ping(ctx)
		m.record(err)
		return nil, err
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case r := <-result:
		if r.Err != nil {
			return &UnreachableError{r.Err}
		}
		return nil
	}
}

type letThrough struct{}

func (m *Monitor) ping(ctx context.Context) error {
	ctx = context.WithValue(ctx, letThrough{}, true)
	if len(m.partitions) > 0 {
		return m.pingPartitions(ctx)
	}
	if !m.isUp() {
		// A client of its own dials at once, see Monitor.
		probe := m.newProbe()
		defer probe.Close()
		if err := probe.Ping(ctx).Err(); err != nil {
			return err
		}
		// These two keys are in different slots.
		if err := probe.Exists(ctx, probeKey, probeKey+":other").Err(); redis.HasErrorPrefix(err, "CROSSSLOT") {
			return fmt.Errorf("it is part of a Redis Cluster: set infrastructure.redis.cluster.addrs in place of addr or sentinel: %w", err)
		}
	}
	// A server that only answers is of no use: it may be a replica, or out of memory.
	return m.client.Set(ctx, probeKey, "1", probeLife).Err()
}

// pingPartitions writes to each partition. The error is that of one of them, if none can
// be used.
func (m *Monitor) pingPartitions(ctx context.Context) error {
	// All at once: those of a server that is silent would else use up the time of others.
	failures := make([]error, len(m.partitions))
	var running sync.WaitGroup
	for i, p := range m.partitions {
		running.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, partTimeout)
			defer cancel()
			failures[i] = m.client.Set(ctx, probeKey+p.Suffix(), "1", probeLife).Err()
		})
	}
	running.Wait()
	var last error
	failed := 0
	for _, err := range failures {
		if err != nil {
			last = err
			failed++
		}
	}
	if last != nil && strings.Contains(last.Error(), "cluster support disabled") {
		return fmt.Errorf("it is no Redis Cluster: set infrastructure.redis.addr in place of cluster.addrs: %w", last)
	}
	m.mu.Lock()
	partly := failed > 0 && failed < len(failures)
	changed := partly != m.partly
	m.partly = partly
	m.mu.Unlock()
	if changed && partly {
		m.logger.Error("a part of the Redis Cluster can't be used", "partitions", failed, "of", len(failures), "error", last)
	} else if changed && failed == 0 {
		m.logger.Info("all of the Redis Cluster can be used again")
	}
	if failed < len(failures) {
		return nil
	}
	return last
}

func (m *Monitor) isUp() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.up
}

func (m *Monitor) isPartly() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.partly
}

// record notes the outcome of a command or a look.
func (m *Monitor) record(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil && !m.up:
		outage := now.Sub(m.downSince)
		m.up, m.cause = true, nil
		m.logger.Info("Redis is reachable", "after", outage.String())
		if m.everUp {
			m.metrics.RedisOutageEnded(outage)
		}
		m.everUp = true
	case err != nil && m.up:
		m.up, m.downSince = false, now
		m.logger.Error("Redis is unreachable", "error", err)
		m.metrics.RedisOutageStarted()
		m.look()
	}
	if err != nil {
		m.cause = err
	}
	m.metrics.RedisAvailable(m.up && !m.partly)
}

// admit looks once more if Redis is away, and returns an error if it still is.
func (m *Monitor) admit(ctx context.Context) error {
	if m.isUp() || ctx.Value(letThrough{}) != nil {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, downWait)
	defer cancel()
	if m.Check(short) == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return &UnreachableError{m.cause}
}

// DialHook changes nothing.
func (m *Monitor) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook guards single commands.
func (m *Monitor) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := m.admit(ctx); err != nil {
			cmd.SetErr(err)
			return err
		}
		err := next(ctx, cmd)
		m.notice(ctx, err)
		return err
	}
}

// ProcessPipelineHook guards pipelines.
func (m *Monitor) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if err := m.admit(ctx); err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
			return err
		}
		err := next(ctx, cmds)
		m.notice(ctx, err)
		return err
	}
}

// notice records an error that shows that Redis is away, or can't be used. Other error
// replies do not: they come from Redis. Nor does a request that its sender has given up.
func (m *Monitor) notice(ctx context.Context, err error) {
	var reply redis.Error
	var network net.Error
	switch {
	case err != nil && ctx.Value(letThrough{}) == nil && isUnusable(err):
		m.failed(err)
	case err == nil, errors.As(err, &reply), ctx.Value(letThrough{}) != nil:
	case errors.Is(err, context.Canceled), errors.Is(ctx.Err(), context.DeadlineExceeded):
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrClosed):
	case errors.As(err, &network) && network.Timeout(), !errors.Is(err, context.DeadlineExceeded):
		m.failed(err)
	}
}

// failed notes that a command failed in a way that shows that Redis can't be used. Of a
// Cluster it shows that of one server only, so all partitions are looked at.
func (m *Monitor) failed(err error) {
	if len(m.partitions) == 0 {
		m.record(err)
		return
	}
	m.look()
}

// look has Run look now.
func (m *Monitor) look() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
