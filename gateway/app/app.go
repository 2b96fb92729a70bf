// Package app puts the gateway together.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/amend"
	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/authentication"
	"stormgate.internal/gateway/certificate"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/dedup"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/owners"
	"stormgate.internal/gateway/pipeline"
	"stormgate.internal/gateway/policy"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/server"
	"stormgate.internal/gateway/signal"
	"stormgate.internal/gateway/storm"
)

// defaultFallbackNamespace is used outside of a pod.
const defaultFallbackNamespace = "kubernaut-system"

// alertBytes is less than any alert of AlertManager's has: with its status, times, URL and
// fingerprint alone it has 200.
const alertBytes = 128

// minMaxAlerts is how many alerts a request may have however small its body must be.
const minMaxAlerts = 1000

// Options are what a gateway needs besides its settings.
type Options struct {
	// Kubernetes reads and writes objects. Required.
	Kubernetes client.Client
	// CheckKubernetes returns why the API can't be used, or nil. Required.
	CheckKubernetes func(context.Context) error
	// PodNamespace is where this process runs, or "".
	PodNamespace string
	// Logger is required.
	Logger *slog.Logger
	// Now tells when a request came. Default time.Now.
	Now func() time.Time
	// ShutdownPause and ShutdownBudget are as in server.Options.
	ShutdownPause, ShutdownBudget time.Duration
}

// App is a gateway.
type App struct {
	server  *server.Server
	redis   redis.UniversalClient
	monitor *redisclient.Monitor
	amender *amend.Amender
	dedup   *dedup.Deduplicator
	storms  *storm.Storms
	// certificates are nil if connections are not encrypted.
	certificates *certificate.Store
}

// New puts a gateway together. It connects to nothing. The only failures are
// files that can't be used: the policy and those of TLS. Run and Serve close the gateway
// when they return.
func New(ctx context.Context, cfg config.Config, o Options) (*App, error) {
	processing := cfg.Processing
	m := metrics.New()
	priorities, err := policy.LoadPriorities(ctx, processing.Priority.PolicyPath, m, o.Logger)
	if err != nil {
		return nil, err
	}
	targets, err := signal.NewTargets(processing.Target)
	if err != nil {
		return nil, fmt.Errorf("processing.target: %w", err)
	}
	certificates, encryption, err := newCertificates(cfg.Server.TLS, m, o.Logger)
	if err != nil {
		return nil, err
	}
	redisClient, monitor, err := redisclient.New(cfg.Infrastructure.Redis, m, o.Logger)
	if err != nil {
		return nil, err
	}
	m.WatchPool(redisClient.PoolStats, redisclient.PoolSize(redisClient))

	placement := remediation.Placement{Fallback: fallbackNamespace(processing.CRD, o.PodNamespace)}
	retry := remediation.Retry{
		MaxAttempts:    processing.Retry.MaxAttempts,
		InitialBackoff: processing.Retry.InitialBackoff.Std(),
		MaxBackoff:     processing.Retry.MaxBackoff.Std(),
		Metrics:        m,
	}
	store := remediation.NewStore(o.Kubernetes, placement)
	amender := amend.New(store)
	deduplicator := dedup.New(dedup.Options{
		Redis:   redisClient,
		Objects: store,
		Amender: amender,
		Retry:   retry,
		Metrics: m,
		Logger:  o.Logger,
		TTL:     processing.Deduplication.TTL.Std(),
		Name:    remediation.Name,

		Priorities: priorities,
		CoolDown: map[string]time.Duration{
			v1alpha1.PhaseCompleted: processing.CoolDown.Completed.Std(),
			v1alpha1.PhaseFailed:    processing.CoolDown.Failed.Std(),
			v1alpha1.PhaseCancelled: processing.CoolDown.Cancelled.Std(),
		},
	})
	creator := remediation.NewCreator(o.Kubernetes, placement, retry, m)
	var workloads *owners.Owners
	if processing.Owners.Enabled {
		workloads = owners.New(owners.Options{Reader: o.Kubernetes, Timeout: processing.Owners.Timeout.Std(), Metrics: m, Logger: o.Logger})
	}
	overrides := types.NamespacedName{Namespace: processing.Environment.ConfigMapNamespace, Name: processing.Environment.ConfigMapName}
	environments := policy.NewEnvironments(o.Kubernetes, overrides, processing.Environment.CacheTTL.Std(), o.Logger)
	storms := storm.New(storm.Options{
		Redis:        redisClient,
		Settings:     processing.Storm,
		Deduplicator: deduplicator,
		Amender:      amender,
		Creator:      creator,
		Environments: environments,
		Priorities:   priorities,
		Metrics:      m,
		Logger:       o.Logger,
	})
	steps := pipeline.New(pipeline.Steps{
		Deduplicator: deduplicator,
		Storms:       storms,
		Environments: environments,
		Priorities:   priorities,
		Path:         policy.Path,
		Creator:      creator,
		Metrics:      m,

		AnnotateResolved: processing.Resolved.Annotate,
		Owners:           workloads,
	})
	return &App{
		redis: redisClient, monitor: monitor, amender: amender, dedup: deduplicator, storms: storms, certificates: certificates,
		server: server.New(server.Options{
			Addr:              cfg.Server.ListenAddr,
			ReadTimeout:       cfg.Server.ReadTimeout.Std(),
			WriteTimeout:      cfg.Server.WriteTimeout.Std(),
			IdleTimeout:       cfg.Server.IdleTimeout.Std(),
			RequestsPerMinute: cfg.Middleware.RateLimit.RequestsPerMinute,
			Burst:             cfg.Middleware.RateLimit.Burst,
			Unlimited:         cfg.Middleware.RateLimit.ExemptNetworks,
			UnlimitedUsers:    cfg.Middleware.RateLimit.ExemptUsers,
			UnlimitedGroups:   cfg.Middleware.RateLimit.ExemptGroups,
			TrustedProxies:    cfg.Middleware.TrustedProxies,
			TLS:               encryption,
			Authenticator:     newAuthenticator(cfg.Middleware.Authentication, o.Kubernetes, certificates),
			Protected:         cfg.Middleware.Authentication.Protect,
			MaxBodyBytes:      int64(cfg.Server.MaxBodyBytes),
			MaxPendingBytes:   int64(cfg.Server.MaxPendingBytes),
			Now:               o.Now,
			Adapters: []server.Adapter{
				signal.Prometheus{Targets: targets, Ignored: signal.NewIgnored(processing.Ignore), MaxAlerts: max(cfg.Server.MaxBodyBytes/alertBytes, minMaxAlerts)},
				signal.Event{MaxAge: processing.Event.MaxAge.Std()},
			},
			Processor:      steps,
			Metrics:        m,
			Checks:         []server.Check{{Name: "Redis", Run: monitor.Check}, {Name: "Kubernetes API", Run: o.CheckKubernetes}},
			Logger:         o.Logger,
			ShutdownPause:  o.ShutdownPause,
			ShutdownBudget: o.ShutdownBudget,
		}),
	}, nil
}

// newCertificates returns what TLS needs, or nil twice if it is off.
func newCertificates(cfg config.ServerTLS, m *metrics.Metrics, logger *slog.Logger) (*certificate.Store, *tls.Config, error) {
	if !cfg.Enabled() {
		return nil, nil, nil
	}
	store, err := certificate.New(cfg, m, logger)
	if err != nil {
		return nil, nil, err
	}
	return store, store.Config(), nil
}

// newAuthenticator returns nil if anybody may send.
func newAuthenticator(cfg config.Authentication, kubernetes client.Client, certificates *certificate.Store) server.Authenticator {
	if !cfg.Enabled() {
		return nil
	}
	return authentication.New(authentication.Options{Settings: cfg, Kubernetes: kubernetes, Authorities: certificates.Authorities})
}

func fallbackNamespace(cfg config.CRD, podNamespace string) string {
	for _, namespace := range []string{cfg.FallbackNamespace, podNamespace} {
		if namespace != "" {
			return namespace
		}
	}
	return defaultFallbackNamespace
}

// Handler returns the HTTP interface, for tests.
func (a *App) Handler() http.Handler { return a.server.Handler() }

// Run serves on the configured address until the context ends, shuts down and
// closes the gateway. The error is nil if every request was finished.
func (a *App) Run(ctx context.Context) error {
	return a.run(ctx, a.server.Run)
}

// Serve is Run on a listener, which it closes.
func (a *App) Serve(ctx context.Context, listener net.Listener) error {
	return a.run(ctx, func(ctx context.Context) error { return a.server.Serve(ctx, listener) })
}

func (a *App) run(ctx context.Context, serve func(context.Context) error) error {
	// These outlive ctx: requests are still handled during shutdown.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { a.monitor.Run(background) })
	if a.certificates != nil {
		running.Go(func() { a.certificates.Run(background) })
	}
	running.Go(func() { a.dedup.Run(background) })
	running.Go(func() { a.storms.Run(background) })

	err := serve(ctx)
	stop()
	running.Wait()
	a.storms.Close()
	a.amender.Close()
	if closeErr := a.redis.Close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close Redis: %w", closeErr))
	}
	return err
}
