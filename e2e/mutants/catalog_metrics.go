package main

// metricsMutants break what scenario 08 promises.
var metricsMutants = []mutant{
	{
		name:     "metric-renamed",
		promise:  "the metrics have the names of the contract (7)",
		scenario: "08_metrics", specs: "with every metric that needs no event",
		edits: []edit{{
			file:        "gateway/metrics/pool.go",
			text:        `"gateway_redis_pool_connections_idle"`,
			replacement: `"gateway_redis_pool_idle"`,
		}},
	},
	{
		// The peer's.
		name:     "counters-appear-with-their-first-event",
		promise:  "counters begin at 0 where all values of their labels are known (D48)",
		scenario: "08_metrics", specs: "events that have not happened yet",
		edits: []edit{{
			file:        "gateway/metrics/zero.go",
			text:        "\t\tcounter.WithLabelValues(string(value))\n",
			replacement: "\t\t_ = value\n",
		}},
	},
	{
		name:     "duration-label-renamed",
		promise:  "durations are by endpoint, method and status (7, D26)",
		scenario: "08_metrics", specs: "durations by route, method and status",
		edits: []edit{{
			file:        "gateway/metrics/metrics.go",
			text:        `"endpoint", "method", "status")`,
			replacement: `"endpoint", "method", "status_code")`,
		}},
	},
	{
		// The peer's.
		name:     "duration-counted-twice",
		promise:  "a webhook is one observation (D26)",
		scenario: "08_metrics", specs: "count an accepted webhook exactly once",
		edits: []edit{{
			file: "gateway/metrics/metrics.go",
			text: "\tm.httpDuration.WithLabelValues(path, method, code).Observe(duration.Seconds())\n",
			replacement: "\tm.httpDuration.WithLabelValues(path, method, code).Observe(duration.Seconds())\n" +
				"\tm.httpDuration.WithLabelValues(path, method, code).Observe(duration.Seconds())\n",
		}},
	},
	{
		name:     "request-counted-twice",
		promise:  "a webhook is one request (D26)",
		scenario: "08_metrics", specs: "count an accepted webhook exactly once",
		edits: []edit{{
			file:        "gateway/metrics/metrics.go",
			text:        "m.httpRequests.WithLabelValues(method, path, code).Inc()",
			replacement: "m.httpRequests.WithLabelValues(method, path, code).Add(2)",
		}},
	},
	{
		name:     "refused-webhook-not-counted",
		promise:  "a webhook that is no JSON is counted as a 400 (7)",
		scenario: "08_metrics", specs: "is no JSON as one 400",
		edits: []edit{{
			file:        "gateway/metrics/metrics.go",
			text:        "\tm.httpResponses.WithLabelValues(method, path, code).Inc()\n",
			replacement: "\tif status < http.StatusBadRequest {\n\t\tm.httpResponses.WithLabelValues(method, path, code).Inc()\n\t}\n",
		}},
	},
	{
		name:     "duplicate-counted-twice",
		promise:  "a repeat is one deduplicated signal (D26)",
		scenario: "08_metrics", specs: "count an accepted webhook exactly once",
		edits: []edit{{
			file:        "gateway/metrics/metrics.go",
			text:        "m.signalsDeduplicated.WithLabelValues(m.names.admit(sig.Name), environment).Inc()",
			replacement: "m.signalsDeduplicated.WithLabelValues(m.names.admit(sig.Name), environment).Add(2)",
		}},
	},
	{
		// The peer's.
		name:     "in-flight-constant",
		promise:  "a request in flight is shown (7)",
		scenario: "08_metrics", specs: "show a request in flight",
		edits: []edit{
			{file: "gateway/metrics/metrics.go", text: "RequestStarted() { m.httpInFlight.Inc() }", replacement: "RequestStarted() {}"},
			{file: "gateway/metrics/metrics.go", text: "\tm.httpInFlight.Dec()\n\tcode :=", replacement: "\tcode :="},
			{file: "gateway/metrics/metrics.go", text: "\t\tm.httpInFlight.Dec()\n\t\tdefer m.httpInFlight.Inc()\n", replacement: ""},
		},
	},
	{
		name:     "in-flight-without-signals",
		promise:  "a webhook in flight is shown, not only probes (7, 9: 08-5)",
		scenario: "08_metrics", specs: "show a request in flight",
		edits: []edit{
			{
				file:        "gateway/server/middleware.go",
				text:        "\t\ts.options.Metrics.RequestStarted()\n",
				replacement: "\t\tif r.Method != http.MethodPost {\n\t\t\ts.options.Metrics.RequestStarted()\n\t\t}\n",
			},
			{
				file:        "gateway/metrics/metrics.go",
				text:        "\tm.httpInFlight.Dec()\n\tcode :=",
				replacement: "\tif method != http.MethodPost {\n\t\tm.httpInFlight.Dec()\n\t}\n\tcode :=",
			},
		},
	},
	{
		name:     "in-flight-never-falls",
		promise:  "a request is in flight no longer than it is (7)",
		scenario: "08_metrics", specs: "show a request in flight",
		edits: []edit{{
			file:        "gateway/metrics/metrics.go",
			text:        "\tm.httpInFlight.Dec()\n\tcode :=",
			replacement: "\tcode :=",
		}},
	},
	{
		// The peer's.
		name:     "pool-not-looked-at",
		promise:  "the pool's metrics are those of the Redis client (7, D26)",
		scenario: "08_metrics", specs: "agree with what Redis sees",
		edits: []edit{{
			file:        "gateway/metrics/pool.go",
			text:        "\tstats := p.stats()\n",
			replacement: "\tstats := new(redis.PoolStats)\n",
		}},
	},
	{
		name:     "pool-uses-not-counted",
		promise:  "each use of a connection is counted (9: 08-8)",
		scenario: "08_metrics", specs: "count each use of a connection",
		edits: []edit{{
			file:        "gateway/metrics/pool.go",
			text:        "hits := func(s *redis.PoolStats) float64 { return float64(s.Hits) }",
			replacement: "hits := func(s *redis.PoolStats) float64 { return float64(s.Hits / 2) }",
		}},
	},
	{
		name:     "pool-idle-are-none",
		promise:  "connections at rest are idle (9: 08-3)",
		scenario: "08_metrics", specs: "agree with what Redis sees",
		edits: []edit{{
			file:        "gateway/metrics/pool.go",
			text:        "idle := func(s *redis.PoolStats) float64 { return float64(s.IdleConns) }",
			replacement: "idle := func(s *redis.PoolStats) float64 { return float64(s.TotalConns - s.TotalConns) }",
		}},
	},
	{
		name:     "pool-active-are-all",
		promise:  "every connection is idle or active (9: 08-7)",
		scenario: "08_metrics", specs: "every connection is idle or active",
		edits: []edit{{
			file:        "gateway/metrics/pool.go",
			text:        "return float64(s.TotalConns - min(s.IdleConns, s.TotalConns))",
			replacement: "return float64(max(s.IdleConns, s.TotalConns))",
		}},
	},
	{
		name:     "pool-hits-are-misses",
		promise:  "hits show that connections are used again (9: 08-9)",
		scenario: "08_metrics", specs: "never fall",
		edits: []edit{{
			file:        "gateway/metrics/pool.go",
			text:        "hits := func(s *redis.PoolStats) float64 { return float64(s.Hits) }",
			replacement: "hits := func(s *redis.PoolStats) float64 { return float64(s.Misses) }",
		}},
	},
	{
		name:     "storm-savings-of-one-more",
		promise:  "one object instead of five saves 80 percent (7, 9: 05-1)",
		scenario: "08_metrics", specs: "tell what it saved",
		edits: []edit{{
			file:        "gateway/metrics/storms.go",
			text:        "m.costSavings.Set(float64(members-1) / float64(members) * 100)",
			replacement: "m.costSavings.Set(float64(members) / float64(members+1) * 100)",
		}},
	},
	{
		// The peer's.
		name:     "storm-alerts-counted-twice",
		promise:  "each alert of a storm is counted once (D26)",
		scenario: "08_metrics", specs: "tell what it saved",
		edits: []edit{{
			file:        "gateway/metrics/storms.go",
			text:        "m.stormsDetected.WithLabelValues(kind, m.storms.names.admit(name)).Inc()",
			replacement: "m.stormsDetected.WithLabelValues(kind, m.storms.names.admit(name)).Add(2)",
		}},
	},
	{
		// The peer's.
		name:     "storm-object-counted-twice",
		promise:  "a storm's object is one object (D26)",
		scenario: "08_metrics", specs: "tell what it saved",
		edits: []edit{{
			file:        "gateway/metrics/storms.go",
			text:        "\t\tm.crdsCreated.WithLabelValues(m.environments.admit(environment), priority).Inc()\n\t\tm.crdsCreatedByType.WithLabelValues(typeStorm).Inc()\n",
			replacement: "\t\tm.crdsCreated.WithLabelValues(m.environments.admit(environment), priority).Add(2)\n\t\tm.crdsCreatedByType.WithLabelValues(typeStorm).Inc()\n",
		}},
	},
	{
		name:     "storm-object-not-counted",
		promise:  "a storm's object is counted by its type (D26)",
		scenario: "08_metrics", specs: "tell what it saved",
		edits: []edit{{
			file:        "gateway/metrics/storms.go",
			text:        "\t\tm.crdsCreatedByType.WithLabelValues(typeStorm).Inc()\n",
			replacement: "",
		}},
	},
	{
		name:     "storm-at-the-threshold",
		promise:  "a storm begins above the rate threshold, not at it (5.1)",
		scenario: "08_metrics", specs: "tell what it saved",
		edits: []edit{{
			file:        "gateway/storm/scripts/admit.lua",
			text:        "if count > settings.rateThreshold then",
			replacement: "if count >= settings.rateThreshold then",
		}},
	},
}
