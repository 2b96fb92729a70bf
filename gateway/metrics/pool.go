package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// pool reads the Redis client's statistics whenever metrics are collected.
type pool struct {
	stats   func() *redis.PoolStats
	metrics []poolMetric
}

type poolMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*redis.PoolStats) float64
}

// WatchPool exports the statistics of a Redis client's connection pool, which can
// grow to size connections.
func (m *Metrics) WatchPool(stats func() *redis.PoolStats, size int) {
	p := &pool{stats: stats}
	add := func(kind prometheus.ValueType, name, help string, value func(*redis.PoolStats) float64) {
		p.metrics = append(p.metrics, poolMetric{prometheus.NewDesc(name, help, nil, nil), kind, value})
	}
	hits := func(s *redis.PoolStats) float64 { return float64(s.Hits) }
	misses := func(s *redis.PoolStats) float64 { return float64(s.Misses) }
	timeouts := func(s *redis.PoolStats) float64 { return float64(s.Timeouts) }
	total := func(s *redis.PoolStats) float64 { return float64(s.TotalConns) }
	idle := func(s *redis.PoolStats) float64 { return float64(s.IdleConns) }
	active := func(s *redis.PoolStats) float64 { return float64(s.TotalConns - min(s.IdleConns, s.TotalConns)) }
	stale := func(s *redis.PoolStats) float64 { return float64(s.StaleConns) }
	maximum := func(*redis.PoolStats) float64 { return float64(size) }

	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	add(gauge, "gateway_redis_pool_hits", "Times that an idle Redis connection was at hand.", hits)
	add(gauge, "gateway_redis_pool_misses", "Times that no idle Redis connection was at hand.", misses)
	add(gauge, "gateway_redis_pool_timeouts", "Times that waiting for a Redis connection took too long.", timeouts)
	add(gauge, "gateway_redis_pool_total_connections", "Redis connections.", total)
	add(gauge, "gateway_redis_pool_idle_connections", "Redis connections not in use.", idle)
	add(gauge, "gateway_redis_pool_stale_connections", "Redis connections removed since they were stale.", stale)
	add(gauge, "gateway_redis_pool_connections_total", "Redis connections.", total)
	add(gauge, "gateway_redis_pool_connections_idle", "Redis connections not in use.", idle)
	add(gauge, "gateway_redis_pool_connections_active", "Redis connections in use.", active)
	add(counter, "gateway_redis_pool_hits_total", "Times that an idle Redis connection was at hand.", hits)
	add(counter, "gateway_redis_pool_misses_total", "Times that no idle Redis connection was at hand.", misses)
	add(counter, "gateway_redis_pool_timeouts_total", "Times that waiting for a Redis connection took too long.", timeouts)
	add(gauge, "gateway_deduplication_pool_size", "Redis connections of deduplication.", total)
	add(gauge, "gateway_deduplication_pool_max_size", "Redis connections that deduplication may have.", maximum)
	m.registry.MustRegister(p)
}

// Describe implements prometheus.Collector.
func (p *pool) Describe(descs chan<- *prometheus.Desc) {
	for _, metric := range p.metrics {
		descs <- metric.desc
	}
}

// Collect implements prometheus.Collector.
func (p *pool) Collect(samples chan<- prometheus.Metric) {
	stats := p.stats()
	for _, metric := range p.metrics {
		samples <- prometheus.MustNewConstMetric(metric.desc, metric.kind, metric.value(stats))
	}
}
