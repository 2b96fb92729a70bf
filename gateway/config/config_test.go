package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"
)

const minimal = `
server: {listen_addr: ":8080"}
infrastructure: {redis: {addr: "redis:6379"}}
processing: {priority: {policy_path: policy.rego}}
`

func noEnv(string) (string, bool) { return "", false }

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// networks compares what cmp can't look into.
var networks = cmpopts.EquateComparable(netip.Prefix{})

func TestAbsentKeysHaveTheDocumentedDefaults(t *testing.T) {
	got, warnings, err := Load(write(t, minimal), noEnv, nil)
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	want := Config{
		Server:         Server{ListenAddr: ":8080", ReadTimeout: Duration(30 * time.Second), WriteTimeout: Duration(30 * time.Second), IdleTimeout: Duration(330 * time.Second), MaxBodyBytes: 4194304, MaxPendingBytes: 67108864, TLS: ServerTLS{MinVersion: "1.2"}},
		Middleware:     Middleware{RateLimit: RateLimit{RequestsPerMinute: 100, Burst: 10}, Authentication: Authentication{Tokens: Tokens{CacheTTL: Duration(time.Minute), RefusedTTL: Duration(10 * time.Second), CacheSize: 4096}}},
		Infrastructure: Infrastructure{Redis{Addr: "redis:6379"}},
		Processing: Processing{
			Deduplication: Deduplication{TTL: Duration(5 * time.Minute)},
			Storm: Storm{
				RateThreshold: 10, PatternThreshold: 5, BufferThreshold: 5, InactivityTimeout: Duration(60 * time.Second), MaxWindowDuration: Duration(5 * time.Minute),
				DefaultMaxSize: 1000, GlobalMaxSize: 5000, SamplingThreshold: 0.95, SamplingRate: 0.5,
			},
			Environment: Environment{CacheTTL: Duration(30 * time.Second), ConfigMapNamespace: "kubernaut-system", ConfigMapName: "kubernaut-environment-overrides"},
			Priority:    Priority{PolicyPath: "policy.rego"},
			Retry:       Retry{MaxAttempts: 3, InitialBackoff: Duration(100 * time.Millisecond), MaxBackoff: Duration(5 * time.Second)},
			Target:      defaultTarget(),
			Ignore:      Ignore{AlertNames: Strings{"InfoInhibitor"}, Severities: Strings{"none"}, Heartbeats: Strings{"Watchdog", "DeadMansSwitch"}},
			Event:       Event{MaxAge: Duration(15 * time.Minute)},
			Owners:      Owners{Timeout: Duration(time.Second)},
		},
	}
	if diff := cmp.Diff(want, got, networks); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

// Zero is "the first alert" for thresholds, "none" for timeouts and the rate
// limit, and "the default" for the rest.
func TestExplicitZeros(t *testing.T) {
	cfg, err := Parse([]byte(`
server: {read_timeout: 0s}
middleware: {rate_limit: {requests_per_minute: 0}}
processing:
  deduplication: {ttl: 0s}
  storm: {rate_threshold: 0, pattern_threshold: 0, buffer_threshold: 0, inactivity_timeout: 0s, max_window_duration: 0s}
  environment: {cache_ttl: 0s}
  retry: {max_attempts: 0, initial_backoff: 7s, max_backoff: 9s}
`))
	if err != nil {
		t.Fatal(err)
	}
	d, p := Default().Processing, cfg.Processing
	if cfg.Server.ReadTimeout != 0 || cfg.Middleware.RateLimit.RequestsPerMinute != 0 || p.Storm.RateThreshold != 0 || p.Storm.PatternThreshold != 0 {
		t.Errorf("an explicit zero was replaced: %+v", cfg)
	}
	if p.Deduplication != d.Deduplication || p.Storm.BufferThreshold != 5 || p.Storm.InactivityTimeout != d.Storm.InactivityTimeout ||
		p.Storm.MaxWindowDuration != d.Storm.MaxWindowDuration || p.Environment != d.Environment || p.Retry != d.Retry {
		t.Errorf("a senseless zero was kept: %+v", p)
	}
}

func TestEverythingCanBeSet(t *testing.T) {
	cfg, warnings, err := Load(write(t, `
server: {listen_addr: "127.0.0.1:1", read_timeout: 1s, write_timeout: 2s, idle_timeout: 3s, max_body_bytes: 28, max_pending_bytes: 29, memory_limit_bytes: 139, tls: {cert_file: g, key_file: h, client_ca_file: i, min_version: "1.3"}}
middleware:
  rate_limit: {requests_per_minute: 4, burst: 5, exempt_networks: [10.0.0.1, "2001:db8::/32"], exempt_users: [j], exempt_groups: [k]}
  trusted_proxies: ["10.1.2.3/8", "::ffff:10.0.0.0/104"]
  authentication:
    tokens: {enabled: true, audiences: [l], cache_ttl: 34s, refused_ttl: 35s, cache_size: 36}
    certificates: {enabled: true, allowed_names: [m]}
    protect: [/metrics]
infrastructure:
  redis:
    addr: "a:1"
    db: 6
    username: u
    password: p
    dial_timeout: 7s
    read_timeout: 8s
    write_timeout: 9s
    pool_size: 10
    min_idle_conns: 11
    tls: {enabled: true, ca_file: c, cert_file: d, key_file: e, server_name: f}
processing:
  deduplication: {ttl: 12s}
  storm:
    rate_threshold: 13
    pattern_threshold: 14
    aggregation_window: 15s
    buffer_threshold: 16
    inactivity_timeout: 17s
    max_window_duration: 18s
    default_max_size: 19
    global_max_size: 20
    per_namespace_limits: {shop: 21}
    sampling_threshold: 0.22
    sampling_rate: 0.23
  environment: {cache_ttl: 24s, configmap_namespace: ns, configmap_name: c}
  priority: {policy_path: x.rego}
  crd: {fallback_namespace: f}
  retry: {max_attempts: 25, initial_backoff: 26s, max_backoff: 27s}
  target:
    rules: [{kind: Queue, labels: [queue], alerts: "Queue.*", where: {job: mail}, cluster_scoped: true, keep_instance: true}]
    no_default_rules: true
    namespace_labels: [ns]
    exporters: ["e.*"]
    context_labels: [c]
    ignored_labels: []
  ignore: {alert_names: [A], severities: [], heartbeats: [B]}
  event: {max_age: 30s}
  cool_down: {completed: 31s, failed: 32s, cancelled: 33s}
  resolved: {annotate: true}
  owners: {enabled: true, timeout: 34s}
`), noEnv, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := func(n int) Duration { return Duration(time.Duration(n) * time.Second) }
	want := Config{
		Server{"127.0.0.1:1", s(1), s(2), s(3), 28, 29, 139, ServerTLS{"g", "h", "i", "1.3"}},
		Middleware{
			RateLimit{4, 5, Networks{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("2001:db8::/32")}, Strings{"j"}, Strings{"k"}},
			Networks{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")},
			Authentication{Tokens{true, Strings{"l"}, s(34), s(35), 36}, Certificates{true, Strings{"m"}}, Strings{"/metrics"}},
		},
		Infrastructure{Redis{"a:1", 6, "u", "p", s(7), s(8), s(9), 10, 11, Sentinel{}, RedisCluster{}, RedisTLS{true, "c", "d", "e", "f"}}},
		Processing{
			Deduplication{s(12)},
			Storm{13, 14, s(15), 16, s(17), s(18), 19, 20, map[string]int{"shop": 21}, 0.22, 0.23},
			Environment{s(24), "ns", "c"}, Priority{"x.rego"}, CRD{"f"}, Retry{25, s(26), s(27)},
			Target{
				[]TargetRule{{"Queue", Strings{"queue"}, "Queue.*", map[string]string{"job": "mail"}, true, true}},
				true, Strings{"ns"}, Strings{"e.*"}, Strings{"c"}, Strings{},
			},
			Ignore{Strings{"A"}, Strings{}, Strings{"B"}},
			Event{s(30)},
			CoolDown{s(31), s(32), s(33)},
			Resolved{true},
			Owners{true, s(34)},
		},
	}
	if diff := cmp.Diff(want, cfg, networks); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "aggregation_window") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestRefusals(t *testing.T) {
	for content, mentions := range map[string]string{
		minimal + "servers: {}":                                 "servers",
		minimal + "middleware: {rate: {}}":                      "rate",
		minimal + "server: {listen_addr: x}":                    "server",
		"processing: {storm: {rate_treshold: 1}}":               "rate_treshold",
		"server: {read_timeout: 30}":                            "server.read_timeout: duration 30 must be a string with a unit",
		"server: {read_timeout: soon}":                          "server.read_timeout: time: invalid duration \"soon\"",
		"processing: {retry: {max_backoff: []}}":                "processing.retry.max_backoff: duration [] must be",
		"processing: {storm: [rate_threshold]}":                 "storm",
		"processing: {deduplication: {ttl: 5s, ttl: 6s}}":       "ttl",
		"server: {listen_addr: '8080'}":                         "server.listen_addr must be host:port",
		"infrastructure: {redis: {addr: redis}}":                "infrastructure.redis.addr must be host:port",
		"processing: {crd: {fallback_namespace: Shop}}":         "processing.crd.fallback_namespace \"Shop\"",
		"processing: {environment: {configmap_namespace: a.b}}": "processing.environment.configmap_namespace \"a.b\"",
		"processing: {environment: {configmap_name: A}}":        "processing.environment.configmap_name \"A\"",
		"processing: {storm: {rate_threshold: many}}":           "rate_threshold",
		"- a list":                           "",
		"":                                   "server.listen_addr is required",
		"server: {listen_addr: ':1'}":        "infrastructure.redis.addr is required",
		"infrastructure: {redis: {addr: x}}": "processing.priority.policy_path is required",
		"server: {read_timeout: -1s}":        "server.read_timeout must not be negative",
		"processing: {deduplication: {ttl: -5s}}":                                                                   "processing.deduplication.ttl must not be negative",
		"processing: {storm: {rate_threshold: -1}}":                                                                 "processing.storm.rate_threshold must not be negative",
		"processing: {storm: {pattern_threshold: -1}}":                                                              "processing.storm.pattern_threshold must not be negative",
		"processing: {storm: {per_namespace_limits: {shop: 0}}}":                                                    "per_namespace_limits.shop must be positive",
		"processing: {storm: {sampling_rate: 2}}":                                                                   "sampling_rate must be between 0 and 1",
		"middleware: {rate_limit: {requests_per_minute: -1}}":                                                       "requests_per_minute must not be negative",
		"processing: {retry: {max_attempts: -1}}":                                                                   "max_attempts must be at least 1",
		"processing: {retry: {initial_backoff: 6s}}":                                                                "max_backoff (5s) must not be below initial_backoff (6s)",
		"infrastructure: {redis: {addr: 'a:1', sentinel: {master_name: m, addrs: ['b:1']}}}":                        "infrastructure.redis.addr and sentinel.master_name exclude each other",
		"infrastructure: {redis: {sentinel: {master_name: m}}}":                                                     "infrastructure.redis.sentinel.addrs is required",
		"infrastructure: {redis: {sentinel: {master_name: m, addrs: [b]}}}":                                         "infrastructure.redis.sentinel.addrs[0] must be host:port",
		"infrastructure: {redis: {addr: 'a:1', sentinel: {addrs: ['b:1']}}}":                                        "infrastructure.redis.sentinel.master_name is required",
		"infrastructure: {redis: {tls: {enabled: true, cert_file: c}}}":                                             "infrastructure.redis.tls.cert_file and key_file are needed both",
		"infrastructure: {redis: {tls: {ca_file: c}}}":                                                              "infrastructure.redis.tls.enabled is required",
		"server: {tls: {cert_file: c}}":                                                                             "server.tls.cert_file and key_file are needed both",
		"server: {tls: {min_version: '1.1'}}":                                                                       "server.tls.min_version must be 1.2 or 1.3, is \"1.1\"",
		"server: {tls: {client_ca_file: c}}":                                                                        "server.tls.client_ca_file has no effect",
		"middleware: {authentication: {certificates: {enabled: true, allowed_names: [a]}}}":                         "server.tls.cert_file is required",
		"server: {tls: {cert_file: c, key_file: k}}\nmiddleware: {authentication: {certificates: {enabled: true}}}": "server.tls.client_ca_file is required",
		"middleware: {authentication: {certificates: {enabled: true}}}":                                             "middleware.authentication.certificates.allowed_names is required",
		"middleware: {authentication: {certificates: {enabled: true, allowed_names: ['']}}}":                        "must not have an empty name",
		"middleware: {authentication: {certificates: {allowed_names: [a]}}}":                                        "middleware.authentication.certificates.allowed_names has no effect",
		"middleware: {authentication: {tokens: {audiences: [a]}}}":                                                  "middleware.authentication.tokens.audiences has no effect",
		"middleware: {authentication: {tokens: {cache_ttl: -1s}}}":                                                  "middleware.authentication.tokens.cache_ttl must not be negative",
		"middleware: {authentication: {tokens: {cache_size: -1}}}":                                                  "middleware.authentication.tokens.cache_size must not be negative",
		"middleware: {authentication: {tokens: {enabled: true}, protect: [/metric]}}":                               "middleware.authentication.protect: \"/metric\" is none of",
		"middleware: {authentication: {protect: [/metrics]}}":                                                       "middleware.authentication.protect has no effect",
		"middleware: {rate_limit: {exempt_users: [a]}}":                                                             "middleware.rate_limit.exempt_users has no effect",
		"middleware: {rate_limit: {exempt_groups: [a]}}":                                                            "middleware.rate_limit.exempt_groups has no effect",
		"processing: {cool_down: {failed: -1s}}":                                                                    "processing.cool_down.failed must not be negative",
		"processing: {event: {max_age: -1s}}":                                                                       "processing.event.max_age must not be negative",
		"server: {max_body_bytes: -1}":                                                                              "server.max_body_bytes must not be negative",
		"server: {max_pending_bytes: 100}":                                                                          "server.max_pending_bytes (100) must not be below max_body_bytes",
		"middleware: {trusted_proxies: [proxy]}":                                                                    "\"proxy\" is neither a network",
		"middleware: {rate_limit: {exempt_networks: [10.0.0.0/33]}}":                                                "\"10.0.0.0/33\" is neither a network",
		"processing: {target: {rules: [{labels: [a]}]}}":                                                            "processing.target.rules[0].kind is required",
		"processing: {target: {rules: [{kind: A}]}}":                                                                "processing.target.rules[0].labels is required",
		"processing: {target: {rules: [{kind: A, labels: [a], alerts: '('}]}}":                                      "processing.target.rules[0].alerts",
		"processing: {target: {rules: [{kind: A, labels: [a], where: {b: '('}}]}}":                                  "processing.target.rules[0].where.b",
		"processing: {target: {exporters: ['(']}}":                                                                  "processing.target.exporters[0]",
		"processing: {target: {namespace_labels: []}}":                                                              "processing.target.namespace_labels must not be empty",
		"processing: {ignore: {severities: none}}":                                                                  "severities",
		"processing: {retry: {initial_backoff: -1s}}":                                                               "initial_backoff must not be negative",
		"infrastructure: {redis: {addr: 'a:1', cluster: {addrs: ['b:1']}}}":                                         "infrastructure.redis.addr and cluster.addrs exclude each other",
		"infrastructure: {redis: {cluster: {addrs: ['b:1']}, sentinel: {master_name: m, addrs: ['c:1']}}}":          "infrastructure.redis.sentinel and cluster.addrs exclude each other",
		"infrastructure: {redis: {cluster: {addrs: ['b:1']}, db: 1}}":                                               "infrastructure.redis.db must be 0 with cluster.addrs",
		"infrastructure: {redis: {cluster: {addrs: ['b:1', c]}}}":                                                   "infrastructure.redis.cluster.addrs[1] must be host:port",
		"infrastructure: {redis: {addr: 'a:1', username: u}}":                                                       "infrastructure.redis.password (or GATEWAY_REDIS_PASSWORD) is required with username",
		"infrastructure: {redis: {sentinel: {master_name: m, addrs: ['c:1'], username: u}}}":                        "infrastructure.redis.sentinel.password is required with username",
		"infrastructure: {redis: {addr: 'a:1', sentinel: {username: u, password: p}}}":                              "infrastructure.redis.sentinel.password has no effect",
		"middleware: {authentication: {tokens: {enabled: true, audiences: ['']}}}":                                  "middleware.authentication.tokens.audiences must not have an empty name",
		"middleware: {authentication: {tokens: {enabled: true}}, rate_limit: {exempt_users: ['']}}":                 "middleware.rate_limit.exempt_users must not have an empty name",
		"processing: {owners: {timeout: -1s}}":                                                                      "processing.owners.timeout must not be negative",
	} {
		_, _, err := Load(write(t, content), noEnv, nil)
		if err == nil || !strings.Contains(err.Error(), mentions) {
			t.Errorf("%q: error %v, want one that mentions %q", content, err, mentions)
		}
	}
	if _, _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), noEnv, nil); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("missing file: %v", err)
	}
}

// The file, then the environment, then flags.
func TestOrder(t *testing.T) {
	env := map[string]string{
		"GATEWAY_LISTEN_ADDR": ":1", "GATEWAY_REDIS_ADDR": "env:1", "GATEWAY_REDIS_PASSWORD": "secret", "GATEWAY_REDIS_USERNAME": "gateway",
		"GATEWAY_REDIS_DB": "3", "GATEWAY_RATE_LIMIT_RPM": "7", "GATEWAY_DEDUP_TTL": "9s", "GATEWAY_MEMORY_LIMIT_BYTES": "1000000000",
	}
	look := func(name string) (string, bool) { value, ok := env[name]; return value, ok }
	cfg, warnings, err := Load(write(t, minimal), look, func(c *Config) { c.Infrastructure.Redis.Addr = "flag:1" })
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	env["GATEWAY_DEDUP_TTL"] = "0s"
	if cfg, _, err := Load(write(t, minimal), look, nil); err != nil || cfg.Processing.Deduplication.TTL.Std() != 5*time.Minute {
		t.Errorf("a senseless zero in the environment: %+v, %v", cfg.Processing.Deduplication, err)
	}
	env["GATEWAY_DEDUP_TTL"] = "-1s"
	if _, _, err := Load(write(t, minimal), look, nil); err == nil || !strings.Contains(err.Error(), "processing.deduplication.ttl") {
		t.Errorf("a negative duration in the environment: %v", err)
	}
	delete(env, "GATEWAY_DEDUP_TTL")
	if r := cfg.Infrastructure.Redis; cfg.Server.ListenAddr != ":1" || cfg.Server.MemoryLimitBytes != 1_000_000_000 || r.Addr != "flag:1" || r.Password != "secret" || r.Username != "gateway" || r.DB != 3 ||
		cfg.Middleware.RateLimit.RequestsPerMinute != 7 || cfg.Processing.Deduplication.TTL.Std() != 9*time.Second {
		t.Errorf("configuration %+v", cfg)
	}
	// The environment alone is enough where the file says nothing.
	if _, _, err := Load(write(t, "processing: {priority: {policy_path: x}}"), look, nil); err != nil {
		t.Errorf("addresses only in the environment: %v", err)
	}
}

func TestEnvironmentThatDoesNotParseIsIgnored(t *testing.T) {
	env := map[string]string{"GATEWAY_REDIS_DB": "three", "GATEWAY_RATE_LIMIT_RPM": "", "GATEWAY_DEDUP_TTL": "5"}
	cfg, warnings, err := Load(write(t, minimal), func(name string) (string, bool) { value, ok := env[name]; return value, ok }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Infrastructure.Redis.DB != 0 || cfg.Middleware.RateLimit.RequestsPerMinute != 100 || cfg.Processing.Deduplication.TTL.Std() != 5*time.Minute {
		t.Errorf("configuration %+v", cfg)
	}
	if len(warnings) != 2 {
		t.Errorf("warnings %q", warnings)
	}
}

// A token that anybody can read is a secret no more, but what encrypts may be elsewhere.
func TestTokensWithoutTLS(t *testing.T) {
	for content, want := range map[string]int{
		"middleware: {authentication: {tokens: {enabled: true}}}":                                             1,
		"server: {tls: {cert_file: c, key_file: k}}\nmiddleware: {authentication: {tokens: {enabled: true}}}": 0,
	} {
		content = strings.Replace(minimal, "server: {listen_addr: \":8080\"}\n", "", 1) + content
		env := func(name string) (string, bool) { return ":8080", name == "GATEWAY_LISTEN_ADDR" }
		if _, warnings, err := Load(write(t, content), env, nil); err != nil || len(warnings) != want {
			t.Errorf("%s: %v, warnings %q", content, err, warnings)
		}
	}
}

// What waits may take more memory than a small limit leaves, and the process is killed, or does
// little but collect garbage. Nothing else would say why.
func TestMemoryLimitBelowWhatMayWait(t *testing.T) {
	for limit, want := range map[string]int{"1": 1, "268435455": 1, "268435456": 0, "0": 0} {
		env := func(name string) (string, bool) { return limit, name == "GATEWAY_MEMORY_LIMIT_BYTES" }
		_, warnings, err := Load(write(t, minimal), env, nil)
		if err != nil || len(warnings) != want {
			t.Errorf("%s bytes: %v, warnings %q", limit, err, warnings)
		}
		for _, warning := range warnings {
			if !strings.Contains(warning, "server.memory_limit_bytes") || !strings.Contains(warning, "server.max_pending_bytes (67108864)") {
				t.Errorf("warning %q", warning)
			}
		}
	}
	if _, _, err := Load(write(t, minimal), func(name string) (string, bool) { return "-1", name == "GATEWAY_MEMORY_LIMIT_BYTES" }, nil); err == nil ||
		!strings.Contains(err.Error(), "server.memory_limit_bytes must not be negative") {
		t.Errorf("a negative limit: %v", err)
	}
}

// A key without a value is as good as none.
func TestEmptyValuesLeaveDefaults(t *testing.T) {
	got, err := Parse([]byte("server: {read_timeout: }\nmiddleware:\n  trusted_proxies:\nprocessing: {deduplication: {ttl: null}, storm: {rate_threshold: }, ignore: {severities: }, target: {exporters: }}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got, networks); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

// Whatever passes makes sense, and can be written down and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(minimal + "middleware: {rate_limit: {requests_per_minute: 0, burst: 3}}"))
	f.Add([]byte("processing: {storm: {per_namespace_limits: {a: 1}, sampling_rate: 0.1}, retry: {max_attempts: 0}}"))
	f.Add([]byte("server: {read_timeout: 30}"))
	f.Add([]byte("server: {tls: {cert_file: c, key_file: k, client_ca_file: a}}\nmiddleware: {authentication: {tokens: {enabled: true, cache_ttl: 0s}, certificates: {enabled: true, allowed_names: ['*']}, protect: [/metrics]}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("middleware: {trusted_proxies: [10.0.0.0/8, '::1']}\nprocessing: {target: {rules: [{kind: A, labels: [a], where: {b: c}}]}, ignore: {severities: []}}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		cfg, err := Parse(content)
		if err != nil {
			return
		}
		if cfg.Validate() == nil {
			p := cfg.Processing
			if cfg.Server.ReadTimeout < 0 || p.Deduplication.TTL <= 0 || p.Storm.InactivityTimeout <= 0 || p.Storm.BufferThreshold <= 0 || p.Storm.GlobalMaxSize <= 0 ||
				cfg.Middleware.Authentication.Tokens.CacheTTL <= 0 || cfg.Middleware.Authentication.Certificates.Enabled && !cfg.Server.TLS.Enabled() ||
				p.Retry.MaxAttempts < 1 || p.Retry.InitialBackoff < 0 || p.Environment.CacheTTL <= 0 || cfg.Infrastructure.Redis.Addr == "" && cfg.Infrastructure.Redis.Sentinel.MasterName == "" && len(cfg.Infrastructure.Redis.Cluster.Addrs) == 0 {
				t.Fatalf("%q is valid: %+v", content, cfg)
			}
		}
		written, err := yaml.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(written)
		if diff := cmp.Diff(cfg, again, cmpopts.EquateEmpty(), networks); err != nil || diff != "" {
			t.Fatalf("%q, written as %q, is read as something else: %v (-first +second):\n%s", content, written, err, diff)
		}
	})
}
