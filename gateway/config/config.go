// Package config reads the gateway's settings: a YAML file, then environment
// variables, then flags given on the command line, each overriding the former.
//
// Keys that the gateway does not know are errors, since a misspelt key that is
// silently ignored leaves a default in force which nobody chose.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// Config is everything that can be set. Default returns what absent keys mean.
type Config struct {
	Server         Server         `json:"server"`
	Middleware     Middleware     `json:"middleware"`
	Infrastructure Infrastructure `json:"infrastructure"`
	Processing     Processing     `json:"processing"`
}

// Target configures what an alert is taken to be about, and so what is one incident.
type Target struct {
	// Rules are tried before the default ones, in order.
	Rules []TargetRule `json:"rules"`
	// NoDefaultRules leaves the rules of DefaultTargetRules out.
	NoDefaultRules bool `json:"no_default_rules"`
	// NamespaceLabels hold the target's namespace; the first that exists does. Each is
	// looked for with exported_ before it first.
	NamespaceLabels Strings `json:"namespace_labels"`
	// Exporters are patterns of the names of what exports metrics about others: of jobs,
	// services, containers and pods. What such an alert says about its exporter is its
	// target only if it names no other.
	Exporters Strings `json:"exporters"`
	// ContextLabels are part of the fingerprint only if no label names the target.
	ContextLabels Strings `json:"context_labels"`
	// IgnoredLabels are never part of the fingerprint.
	IgnoredLabels Strings `json:"ignored_labels"`
}

// TargetRule names the target of an alert.
type TargetRule struct {
	// Kind is the target's. Required.
	Kind string `json:"kind"`
	// Labels are those that may hold its name; the first that exists does. Each is looked
	// for with exported_ before it first. Required.
	Labels Strings `json:"labels"`
	// Alerts is a pattern that all of the alert's name must match. Empty: any.
	Alerts string `json:"alerts,omitempty"`
	// Where are patterns that all of the values of these labels must match.
	Where map[string]string `json:"where,omitempty"`
	// ClusterScoped says that the target has no namespace.
	ClusterScoped bool `json:"cluster_scoped,omitempty"`
	// KeepInstance has the label instance tell such targets apart.
	KeepInstance bool `json:"keep_instance,omitempty"`
}

// Ignore configures which alerts start nothing though they fire.
type Ignore struct {
	// AlertNames are those of alerts that are about nothing. Default InfoInhibitor.
	AlertNames Strings `json:"alert_names"`
	// Severities are values of the label severity. Default none.
	Severities Strings `json:"severities"`
	// Heartbeats are names of alerts that always fire, to show that Prometheus and
	// AlertManager work. Default Watchdog, DeadMansSwitch.
	Heartbeats Strings `json:"heartbeats"`
}

// CoolDown is how long after an incident's end its repeats begin no new one, by how it
// ended. It counts from status.completedAt. 0, the default, means that the next repeat
// does.
type CoolDown struct {
	Completed Duration `json:"completed"`
	Failed    Duration `json:"failed"`
	Cancelled Duration `json:"cancelled"`
}

// Owners configures whether signals about pods are about their workloads.
type Owners struct {
	// Enabled makes a signal about a pod, ReplicaSet or Job one about the Deployment,
	// StatefulSet, DaemonSet or CronJob that it belongs to. Default false.
	Enabled bool `json:"enabled"`
	// Timeout is how long a signal waits for the Kubernetes API to say so. Default 1s,
	// also when 0.
	Timeout Duration `json:"timeout"`
}

// Resolved configures what becomes of alerts whose condition is over.
type Resolved struct {
	// Annotate notes on the object in progress when its alert was resolved. Default
	// false.
	Annotate bool `json:"annotate"`
}

// Event configures what happens to Kubernetes events.
type Event struct {
	// MaxAge is how long ago an event may have happened last. Older ones are ignored.
	// Default 15m; 0 means any time.
	MaxAge Duration `json:"max_age"`
}

// Server is the HTTP listener.
type Server struct {
	// ListenAddr is host:port, host may be empty. Required, no default.
	ListenAddr string `json:"listen_addr"`
	// ReadTimeout limits reading a request. Default 30s; 0 means none.
	ReadTimeout Duration `json:"read_timeout"`
	// WriteTimeout limits handling a request. Default 30s; 0 means none.
	WriteTimeout Duration `json:"write_timeout"`
	// IdleTimeout closes idle connections. It should be longer than the 5 minutes after
	// which AlertManager closes them, or a notification may meet a connection that is
	// being closed. Default 330s; 0 means ReadTimeout.
	IdleTimeout Duration `json:"idle_timeout"`
	// MaxBodyBytes limits the body of a signal request, packed and unpacked. Default
	// 4194304 (4 MiB), also when 0.
	MaxBodyBytes int `json:"max_body_bytes"`
	// MaxPendingBytes limits the bodies of all signal requests that are being handled
	// together, what is parsed of them, and the signals that are made of that, each for
	// itself. Default 67108864 (64 MiB); 0 means no limit.
	MaxPendingBytes int `json:"max_pending_bytes"`
	// MemoryLimitBytes is what the process may take, such as its container's limit. From nine
	// tenths of it on memory is given back as early as can be, at the cost of CPU. Default 0:
	// as the variable GOMEMLIMIT of the environment says, which also has precedence.
	MemoryLimitBytes int `json:"memory_limit_bytes"`
	// TLS encrypts connections.
	TLS ServerTLS `json:"tls"`
}

// Middleware configures what requests pass before they are handled.
type Middleware struct {
	RateLimit RateLimit `json:"rate_limit"`
	// TrustedProxies are networks (CIDR) or addresses of proxies. Only their word counts
	// on whom they forward for. Default none.
	TrustedProxies Networks `json:"trusted_proxies"`
	// Authentication says who may send.
	Authentication Authentication `json:"authentication"`
}

// RateLimit is a token bucket for each client address.
type RateLimit struct {
	// RequestsPerMinute refills the bucket. Default 100; 0 switches the limit off.
	RequestsPerMinute int `json:"requests_per_minute"`
	// Burst is the size of the bucket. Default 10; 0 means 1.
	Burst int `json:"burst"`
	// ExemptNetworks are networks (CIDR) or addresses of clients without a limit. Default
	// none.
	ExemptNetworks Networks `json:"exempt_networks"`
	// ExemptUsers are senders without a limit, as authentication names them: the user of
	// a token, or a name that AllowedNames could have. Default none.
	ExemptUsers Strings `json:"exempt_users"`
	// ExemptGroups are groups whose members have no limit: those of a token's user, or
	// the organizations of a certificate's subject. Default none.
	ExemptGroups Strings `json:"exempt_groups"`
}

// Infrastructure is what the gateway depends on.
type Infrastructure struct {
	Redis Redis `json:"redis"`
}

// Redis is the connection to Redis. Zero values mean the client's defaults.
type Redis struct {
	// Addr is host:port, or the absolute path of a unix socket. Required, no default.
	Addr string `json:"addr"`
	DB   int    `json:"db"`
	// Username is that of an ACL user. Empty: the default user.
	Username     string   `json:"username"`
	Password     string   `json:"password"`
	DialTimeout  Duration `json:"dial_timeout"`
	ReadTimeout  Duration `json:"read_timeout"`
	WriteTimeout Duration `json:"write_timeout"`
	PoolSize     int      `json:"pool_size"`
	MinIdleConns int      `json:"min_idle_conns"`
	// Sentinel asks Sentinels which server is the master, in place of Addr.
	Sentinel Sentinel `json:"sentinel"`
	// Cluster is a Redis Cluster, in place of Addr.
	Cluster RedisCluster `json:"cluster"`
	// TLS encrypts the connections to Redis and to Sentinels.
	TLS RedisTLS `json:"tls"`
}

// Sentinel names what watches over several Redis servers.
type Sentinel struct {
	// MasterName is the name under which Sentinels know the master. Empty: no Sentinels.
	MasterName string `json:"master_name"`
	// Addrs are the Sentinels, each as host:port. Required with MasterName.
	Addrs Strings `json:"addrs"`
	// Username and Password are for the Sentinels themselves.
	Username string `json:"username"`
	Password string `json:"password"`
}

// RedisCluster names a Redis Cluster.
type RedisCluster struct {
	// Addrs are some of its servers, each as host:port; they name the others. Empty: no
	// Cluster. It has the database 0 only.
	Addrs Strings `json:"addrs"`
}

// RedisTLS configures encrypted connections.
type RedisTLS struct {
	// Enabled switches it on.
	Enabled bool `json:"enabled"`
	// CAFile holds the certificates of authorities, in PEM. Empty: the system's.
	CAFile string `json:"ca_file"`
	// CertFile and KeyFile are the gateway's own certificate, in PEM, read anew for each
	// connection. Both or neither.
	CertFile string `json:"cert_file"`
	KeyFile  string `json:"key_file"`
	// ServerName is what the server's certificate must be for. Empty: the host of its
	// address.
	ServerName string `json:"server_name"`
}

// Processing configures what happens to a signal.
type Processing struct {
	Deduplication Deduplication `json:"deduplication"`
	Storm         Storm         `json:"storm"`
	Environment   Environment   `json:"environment"`
	Priority      Priority      `json:"priority"`
	CRD           CRD           `json:"crd"`
	Retry         Retry         `json:"retry"`
	Target        Target        `json:"target"`
	Ignore        Ignore        `json:"ignore"`
	Event         Event         `json:"event"`
	CoolDown      CoolDown      `json:"cool_down"`
	Resolved      Resolved      `json:"resolved"`
	Owners        Owners        `json:"owners"`
}

// Deduplication configures the record of an incident in Redis.
type Deduplication struct {
	// TTL is how long the record outlives the latest signal. Its end makes no new
	// incident, it only costs a look-up. Default 5m, also when 0.
	TTL Duration `json:"ttl"`
}

// Storm configures detection and aggregation of alert storms.
type Storm struct {
	// RateThreshold: more signals of one name in a minute are a storm. Default 10;
	// 0 means that the first one is.
	RateThreshold int `json:"rate_threshold"`
	// PatternThreshold: more resources with one alert in two minutes are a storm.
	// Default 5; 0 means that the first one is.
	PatternThreshold int `json:"pattern_threshold"`
	// AggregationWindow is deprecated and has no effect.
	AggregationWindow Duration `json:"aggregation_window"`
	// BufferThreshold is how many signals open a window. Default 5, also when 0.
	BufferThreshold int `json:"buffer_threshold"`
	// InactivityTimeout ends a window without new signals. Default 60s, also when 0.
	InactivityTimeout Duration `json:"inactivity_timeout"`
	// MaxWindowDuration ends a window. Default 5m, also when 0.
	MaxWindowDuration Duration `json:"max_window_duration"`
	// DefaultMaxSize is the number of signals buffered for a namespace. Default 1000, also when 0.
	DefaultMaxSize int `json:"default_max_size"`
	// GlobalMaxSize is the number of signals buffered for all namespaces. Default 5000, also when 0.
	GlobalMaxSize int `json:"global_max_size"`
	// PerNamespaceLimits overrides DefaultMaxSize. Default none.
	PerNamespaceLimits map[string]int `json:"per_namespace_limits"`
	// SamplingThreshold is the buffer utilisation, 0 to 1, from which on windows are
	// forced closed. Default 0.95, also when 0.
	SamplingThreshold float64 `json:"sampling_threshold"`
	// SamplingRate is the share, 0 to 1, of signals that are then still buffered.
	// Default 0.5, also when 0.
	SamplingRate float64 `json:"sampling_rate"`
}

// Environment configures how a namespace's environment is found.
type Environment struct {
	// CacheTTL is how long an answer is kept. Default 30s, also when 0.
	CacheTTL Duration `json:"cache_ttl"`
	// ConfigMapNamespace holds the overrides. Default kubernaut-system.
	ConfigMapNamespace string `json:"configmap_namespace"`
	// ConfigMapName holds the overrides. Default kubernaut-environment-overrides.
	ConfigMapName string `json:"configmap_name"`
}

// Priority configures the priority policy.
type Priority struct {
	// PolicyPath is a Rego file. Required, no default.
	PolicyPath string `json:"policy_path"`
}

// CRD configures the objects that the gateway makes.
type CRD struct {
	// FallbackNamespace gets the objects of signals whose own namespace is empty,
	// no valid name or does not exist. Default: the pod's namespace, else
	// kubernaut-system.
	FallbackNamespace string `json:"fallback_namespace"`
}

// Retry configures how often the creation of an object is tried.
type Retry struct {
	// MaxAttempts is at least 1. Default 3; 0 means the defaults for all three keys.
	MaxAttempts int `json:"max_attempts"`
	// InitialBackoff is the wait before the second attempt; it doubles from then
	// on. Default 100ms.
	InitialBackoff Duration `json:"initial_backoff"`
	// MaxBackoff caps the wait, and is at least InitialBackoff. Default 5s.
	MaxBackoff Duration `json:"max_backoff"`
}

// Default returns the settings of an empty file. Those that have no default are
// empty, so it does not pass Validate.
func Default() Config {
	return Config{
		Server: Server{
			ReadTimeout:  Duration(30 * time.Second),
			WriteTimeout: Duration(30 * time.Second),
			// An AlertManager keeps connections for 5 min.
			IdleTimeout:     Duration(330 * time.Second),
			MaxBodyBytes:    4 << 20,
			MaxPendingBytes: 64 << 20,
			TLS:             ServerTLS{MinVersion: "1.2"},
		},
		Middleware: Middleware{
			RateLimit:      RateLimit{RequestsPerMinute: 100, Burst: 10},
			Authentication: Authentication{Tokens: defaultTokens()},
		},
		Processing: Processing{
			Deduplication: Deduplication{TTL: Duration(5 * time.Minute)},
			Storm: Storm{
				RateThreshold: 10, PatternThreshold: 5, BufferThreshold: 5,
				InactivityTimeout: Duration(time.Minute), MaxWindowDuration: Duration(5 * time.Minute),
				DefaultMaxSize: 1000, GlobalMaxSize: 5000,
				SamplingThreshold: 0.95, SamplingRate: 0.5,
			},
			Environment: Environment{
				CacheTTL:           Duration(30 * time.Second),
				ConfigMapNamespace: "kubernaut-system",
				ConfigMapName:      "kubernaut-environment-overrides",
			},
			Retry:  defaultRetry(),
			Target: defaultTarget(),
			Ignore: Ignore{AlertNames: Strings{"InfoInhibitor"}, Severities: Strings{"none"}, Heartbeats: Strings{"Watchdog", "DeadMansSwitch"}},
			Event:  Event{MaxAge: Duration(15 * time.Minute)},
			Owners: Owners{Timeout: Duration(time.Second)},
		},
	}
}

func defaultRetry() Retry {
	return Retry{MaxAttempts: 3, InitialBackoff: Duration(100 * time.Millisecond), MaxBackoff: Duration(5 * time.Second)}
}

// Load reads the file at path, applies environment variables as env (such as
// os.LookupEnv) knows them, then override (which may be nil), and validates.
// Warnings are about settings that are accepted and have no effect.
func Load(path string, env func(string) (string, bool), override func(*Config)) (cfg Config, warnings []string, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("read configuration: %w (set --config)", err)
	}
	cfg, err = Parse(content)
	if err != nil {
		return Config{}, nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	warnings = applyEnv(&cfg, env)
	if override != nil {
		override(&cfg)
	}
	cfg.replaceZeros()
	warnings = append(warnings, cfg.senderWarnings()...)
	warnings = append(warnings, cfg.Server.memoryWarnings()...)
	if cfg.Processing.Storm.AggregationWindow != 0 {
		warnings = append(warnings, "processing.storm.aggregation_window is deprecated and has no effect; use inactivity_timeout")
	}
	if err := cfg.Validate(); err != nil {
		return Config{}, nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return cfg, warnings, nil
}

// pendingCopies is how often MaxPendingBytes must fit into MemoryLimitBytes: bodies, what is
// parsed of them and the signals made of that have as much each, and so has all the rest.
const pendingCopies = 4

// memoryWarnings returns what is allowed and ends in a process that does nothing but collect
// garbage, or that is killed.
func (s Server) memoryWarnings() []string {
	if limit := s.MemoryLimitBytes; limit > 0 && limit/pendingCopies < s.MaxPendingBytes {
		return []string{fmt.Sprintf("server.memory_limit_bytes, or GATEWAY_MEMORY_LIMIT_BYTES, is %d, less than %d times server.max_pending_bytes (%d): "+
			"what waits may take more memory than there is; raise the container's limit, or lower max_pending_bytes to %d", limit, pendingCopies, s.MaxPendingBytes, limit/pendingCopies)}
	}
	return nil
}

// Parse decodes a file's content over the defaults. Unknown and repeated keys,
// wrong types and malformed durations are errors. It does not validate.
func Parse(content []byte) (Config, error) {
	cfg := Default()
	if err := yaml.UnmarshalStrict(content, &cfg); err != nil {
		if named := durationErrors(content); named != nil {
			return Config{}, named
		}
		return Config{}, err
	}
	cfg.replaceZeros()
	return cfg, nil
}

// replaceZeros sets the defaults of settings for which zero makes no sense.
func (c *Config) replaceZeros() {
	d, p := Default().Processing, &c.Processing
	replaceZero(&c.Server.MaxBodyBytes, Default().Server.MaxBodyBytes)
	replaceZero(&c.Server.TLS.MinVersion, Default().Server.TLS.MinVersion)
	tokens, defaults := &c.Middleware.Authentication.Tokens, defaultTokens()
	replaceZero(&tokens.CacheTTL, defaults.CacheTTL)
	replaceZero(&tokens.RefusedTTL, defaults.RefusedTTL)
	replaceZero(&tokens.CacheSize, defaults.CacheSize)
	replaceZero(&p.Deduplication.TTL, d.Deduplication.TTL)
	replaceZero(&p.Storm.BufferThreshold, d.Storm.BufferThreshold)
	replaceZero(&p.Storm.InactivityTimeout, d.Storm.InactivityTimeout)
	replaceZero(&p.Storm.MaxWindowDuration, d.Storm.MaxWindowDuration)
	replaceZero(&p.Storm.DefaultMaxSize, d.Storm.DefaultMaxSize)
	replaceZero(&p.Storm.GlobalMaxSize, d.Storm.GlobalMaxSize)
	replaceZero(&p.Storm.SamplingThreshold, d.Storm.SamplingThreshold)
	replaceZero(&p.Storm.SamplingRate, d.Storm.SamplingRate)
	replaceZero(&p.Environment.CacheTTL, d.Environment.CacheTTL)
	replaceZero(&p.Environment.ConfigMapNamespace, d.Environment.ConfigMapNamespace)
	replaceZero(&p.Environment.ConfigMapName, d.Environment.ConfigMapName)
	replaceZero(&p.Owners.Timeout, d.Owners.Timeout)
	if p.Retry.MaxAttempts == 0 {
		p.Retry = defaultRetry()
	}
}

func replaceZero[T comparable](value *T, replacement T) {
	var zero T
	if *value == zero {
		*value = replacement
	}
}

// Validate returns every problem at once, each naming its key.
func (c *Config) Validate() error {
	var problems []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	r, p := c.Infrastructure.Redis, c.Processing
	address := func(key, value string) {
		require(value != "", "%s is required", key)
		if _, _, err := net.SplitHostPort(value); value != "" && err != nil {
			require(false, "%s must be host:port: %w", key, err)
		}
	}
	address("server.listen_addr", c.Server.ListenAddr)
	switch {
	case len(r.Cluster.Addrs) > 0:
		require(r.Addr == "", "infrastructure.redis.addr and cluster.addrs exclude each other")
		require(r.Sentinel.MasterName == "" && len(r.Sentinel.Addrs) == 0, "infrastructure.redis.sentinel and cluster.addrs exclude each other: a Redis Cluster fails over by itself")
		require(r.DB == 0, "infrastructure.redis.db must be 0 with cluster.addrs: a Redis Cluster has no other database")
		for i, addr := range r.Cluster.Addrs {
			address(fmt.Sprintf("infrastructure.redis.cluster.addrs[%d]", i), addr)
		}
	case r.Sentinel.MasterName != "":
		require(len(r.Sentinel.Addrs) > 0, "infrastructure.redis.sentinel.addrs is required with master_name")
		require(r.Addr == "", "infrastructure.redis.addr and sentinel.master_name exclude each other")
		for i, addr := range r.Sentinel.Addrs {
			address(fmt.Sprintf("infrastructure.redis.sentinel.addrs[%d]", i), addr)
		}
	case !strings.HasPrefix(r.Addr, "/"):
		require(len(r.Sentinel.Addrs) == 0, "infrastructure.redis.sentinel.master_name is required with addrs")
		address("infrastructure.redis.addr", r.Addr)
	}
	// The client would use neither, and be the default user.
	require(r.Username == "" || r.Password != "", "infrastructure.redis.password (or GATEWAY_REDIS_PASSWORD) is required with username")
	require(r.Sentinel.Username == "" || r.Sentinel.Password != "", "infrastructure.redis.sentinel.password is required with username")
	require(r.Sentinel.MasterName != "" || r.Sentinel.Password == "", "infrastructure.redis.sentinel.password has no effect without master_name")
	require((r.TLS.CertFile == "") == (r.TLS.KeyFile == ""), "infrastructure.redis.tls.cert_file and key_file are needed both, or neither")
	require(r.TLS.Enabled || r.TLS == RedisTLS{}, "infrastructure.redis.tls.enabled is required with the other keys of tls")
	require(p.Priority.PolicyPath != "", "processing.priority.policy_path is required")
	requireNotNegative(require, map[string]int{
		"server.max_body_bytes":                       c.Server.MaxBodyBytes,
		"server.max_pending_bytes":                    c.Server.MaxPendingBytes,
		"server.memory_limit_bytes":                   c.Server.MemoryLimitBytes,
		"middleware.rate_limit.requests_per_minute":   c.Middleware.RateLimit.RequestsPerMinute,
		"middleware.rate_limit.burst":                 c.Middleware.RateLimit.Burst,
		"middleware.authentication.tokens.cache_size": c.Middleware.Authentication.Tokens.CacheSize,
		"infrastructure.redis.db":                     r.DB,
		"infrastructure.redis.pool_size":              r.PoolSize,
		"infrastructure.redis.min_idle_conns":         r.MinIdleConns,
		"processing.storm.rate_threshold":             p.Storm.RateThreshold,
		"processing.storm.pattern_threshold":          p.Storm.PatternThreshold,
		"processing.storm.buffer_threshold":           p.Storm.BufferThreshold,
		"processing.storm.default_max_size":           p.Storm.DefaultMaxSize,
		"processing.storm.global_max_size":            p.Storm.GlobalMaxSize,
	})
	requireNotNegative(require, map[string]Duration{
		"server.read_timeout":                          c.Server.ReadTimeout,
		"server.write_timeout":                         c.Server.WriteTimeout,
		"server.idle_timeout":                          c.Server.IdleTimeout,
		"middleware.authentication.tokens.cache_ttl":   c.Middleware.Authentication.Tokens.CacheTTL,
		"middleware.authentication.tokens.refused_ttl": c.Middleware.Authentication.Tokens.RefusedTTL,
		"infrastructure.redis.dial_timeout":            r.DialTimeout,
		"infrastructure.redis.read_timeout":            r.ReadTimeout,
		"infrastructure.redis.write_timeout":           r.WriteTimeout,
		"processing.deduplication.ttl":                 p.Deduplication.TTL,
		"processing.storm.aggregation_window":          p.Storm.AggregationWindow,
		"processing.storm.inactivity_timeout":          p.Storm.InactivityTimeout,
		"processing.storm.max_window_duration":         p.Storm.MaxWindowDuration,
		"processing.environment.cache_ttl":             p.Environment.CacheTTL,
		"processing.retry.initial_backoff":             p.Retry.InitialBackoff,
		"processing.event.max_age":                     p.Event.MaxAge,
		"processing.cool_down.completed":               p.CoolDown.Completed,
		"processing.cool_down.failed":                  p.CoolDown.Failed,
		"processing.cool_down.cancelled":               p.CoolDown.Cancelled,
		"processing.owners.timeout":                    p.Owners.Timeout,
	})
	require(c.Server.MaxPendingBytes == 0 || c.Server.MaxPendingBytes >= c.Server.MaxBodyBytes,
		"server.max_pending_bytes (%d) must not be below max_body_bytes (%d)", c.Server.MaxPendingBytes, c.Server.MaxBodyBytes)
	for key, namespace := range map[string]string{
		"processing.environment.configmap_namespace": p.Environment.ConfigMapNamespace,
		"processing.crd.fallback_namespace":          p.CRD.FallbackNamespace,
	} {
		require(namespace == "" || len(validation.IsDNS1123Label(namespace)) == 0, "%s %q is no valid name of a namespace", key, namespace)
	}
	require(p.Environment.ConfigMapName == "" || len(validation.IsDNS1123Subdomain(p.Environment.ConfigMapName)) == 0,
		"processing.environment.configmap_name %q is no valid name of a ConfigMap", p.Environment.ConfigMapName)
	for namespace, limit := range p.Storm.PerNamespaceLimits {
		require(limit > 0, "processing.storm.per_namespace_limits.%s must be positive, is %d", namespace, limit)
	}
	require(p.Storm.SamplingThreshold >= 0 && p.Storm.SamplingThreshold <= 1, "processing.storm.sampling_threshold must be between 0 and 1, is %g", p.Storm.SamplingThreshold)
	require(p.Storm.SamplingRate >= 0 && p.Storm.SamplingRate <= 1, "processing.storm.sampling_rate must be between 0 and 1, is %g", p.Storm.SamplingRate)
	require(p.Retry.MaxAttempts >= 1, "processing.retry.max_attempts must be at least 1, is %d", p.Retry.MaxAttempts)
	require(p.Retry.MaxBackoff >= p.Retry.InitialBackoff, "processing.retry.max_backoff (%s) must not be below initial_backoff (%s)", p.Retry.MaxBackoff, p.Retry.InitialBackoff)
	problems = append(problems, c.senderProblems()...)
	for _, problem := range p.Target.problems() {
		require(false, "processing.target.%w", problem)
	}
	sortErrors(problems)
	return errors.Join(problems...)
}

func requireNotNegative[T int | Duration](require func(ok bool, format string, args ...any), values map[string]T) {
	for key, value := range values {
		require(value >= 0, "%s must not be negative, is %v", key, value)
	}
}
