// Command gateway accepts alerts over HTTP and makes RemediationRequests of them.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	runtimedebug "runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/debug"
	"stormgate.internal/gateway/kubernetes"
	"stormgate.internal/gateway/logging"
	"stormgate.internal/gateway/redisclient"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx := untilSignal()
	logger := logging.New(os.Stderr, slog.LevelInfo)
	if err := command(logger).ExecuteContext(ctx); err != nil {
		logger.Error("gateway failed", "error", err)
		os.Exit(1)
	}
}

// untilSignal returns a context that the first SIGINT or SIGTERM ends. A second
// one ends the process at once, however soon it comes.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		second := (<-signals).(syscall.Signal)
		signal.Reset(second)
		_ = syscall.Kill(os.Getpid(), second) // to end by it, as without a handler
	}()
	return ctx
}

// flags are those of the command line. Each that is given wins over the
// configuration file and the environment.
type flags struct {
	config, listen, redis, kubeconfig, debugAddr string
	redisDB                                      int
	version                                      bool
}

func command(logger *slog.Logger) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "gateway",
		Short:         "Accept alerts over HTTP and make RemediationRequests of them",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.version {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "gateway", version)
				return err
			}
			return run(cmd.Context(), f, cmd.Flags().Changed, logger)
		},
	}
	set := cmd.Flags()
	set.StringVar(&f.config, "config", "config/gateway.yaml", "configuration file")
	set.BoolVar(&f.version, "version", false, "print the version and exit")
	set.StringVar(&f.listen, "listen", ":8080", "address to listen on; overrides server.listen_addr")
	set.StringVar(&f.redis, "redis", "localhost:6379", "address of Redis; overrides infrastructure.redis.addr")
	set.IntVar(&f.redisDB, "redis-db", 0, "Redis database; overrides infrastructure.redis.db")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file (default: KUBECONFIG, the pod's service account, ~/.kube/config)")
	set.StringVar(&f.debugAddr, "debug-addr", "", "address to serve profiles on (default: nowhere); it asks for no credentials")
	return cmd
}

// override applies the flags that were given.
func (f flags) override(given func(name string) bool) func(*config.Config) {
	return func(cfg *config.Config) {
		if given("listen") {
			cfg.Server.ListenAddr = f.listen
		}
		if given("redis") {
			cfg.Infrastructure.Redis.Addr = f.redis
		}
		if given("redis-db") {
			cfg.Infrastructure.Redis.DB = f.redisDB
		}
	}
}

// limitMemory has the runtime keep within nine tenths of the limit, if it can: the rest is
// for what it does not count. The environment's own word for the runtime counts more.
func limitMemory(bytes int, env func(string) (string, bool)) {
	if own, _ := env("GOMEMLIMIT"); own != "" || bytes == 0 {
		return
	}
	runtimedebug.SetMemoryLimit(int64(bytes) / 10 * 9)
}

func run(ctx context.Context, f flags, given func(string) bool, logger *slog.Logger) error {
	redisclient.SilenceLibrary()
	cfg, warnings, err := config.Load(f.config, os.LookupEnv, f.override(given))
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		logger.Warn(warning)
	}
	limitMemory(cfg.Server.MemoryLimitBytes, os.LookupEnv)
	apiConfig, err := kubernetes.Config(f.kubeconfig)
	if err != nil {
		return err
	}
	api, err := kubernetes.Connect(apiConfig, "stormgate-gateway/"+version, logger)
	if err != nil {
		return err
	}
	defer api.Close()
	if f.debugAddr != "" {
		stop, err := debug.Start(ctx, f.debugAddr, logger)
		if err != nil {
			return err
		}
		defer stop()
	}
	gateway, err := app.New(ctx, cfg, app.Options{
		Kubernetes:      api.Client,
		CheckKubernetes: api.Check,
		PodNamespace:    kubernetes.PodNamespace(),
		Logger:          logger,
	})
	if err != nil {
		return err
	}
	logger.Info("starting", "version", version, "redis", cfg.Infrastructure.Redis.Addr, "kubernetes", apiConfig.Host)
	return gateway.Run(ctx)
}
