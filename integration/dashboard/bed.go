package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/deploy"
	"stormgate.internal/integration/dashboard/draw"
	"stormgate.internal/integration/testbed"
)

const scrapeInterval = time.Second

// pods are the gateways' names, as a Deployment would give them.
var pods = []string{"gateway-5d8f7c9b6-k2xvn", "gateway-5d8f7c9b6-w9tqz"}

// policy has all faults that a policy can have: info without a team has no priority, one
// team has two, and another something else.
const policy = `package kubernaut.gateway.priority

priority := "P0" if { input.severity == "critical"; input.environment == "production" }

priority := "P1" if { input.severity == "critical"; input.environment != "production" }

priority := "P2" if input.severity == "warning"

priority := "P3" if { input.severity == "warning"; input.labels.team == "undecided" }

priority := "urgent" if { input.severity == "info"; input.labels.team == "loud" }
`

// bed is what traffic is sent to.
type bed struct {
	flags
	dir      string
	log      io.WriteCloser // nil: not wanted
	cluster  *testbed.Cluster
	api      *testbed.API
	redis    *testbed.Redis
	faults   *testbed.Faults
	gateways []*testbed.Gateway
	prom     *testbed.Prometheus
	queries  *draw.Client

	// Namespaces by what is in them.
	production, staging, crowded, fallback string
}

func newBed(ctx context.Context, f flags) (*bed, error) {
	b := &bed{flags: f}
	if err := b.open(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bed) open(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "dash"); err != nil {
		return err
	}
	var log io.Writer // a nil file is no nil writer
	if b.flags.log != "" {
		file, err := os.Create(b.flags.log)
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		b.log, log = file, file
	}
	if b.kubeconfig == "" {
		if b.cluster, err = testbed.StartCluster(ctx, b.flags.cluster, filepath.Join(b.dir, "c"), log); err != nil {
			return err
		}
		b.kubeconfig = b.cluster.Kubeconfig
	}
	config, err := clientcmd.BuildConfigFromFlags("", b.kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	if b.api, err = testbed.ConnectAPI(ctx, config); err != nil {
		return err
	}
	if err := b.makeNamespaces(ctx); err != nil {
		return err
	}
	if b.redis, err = testbed.StartRedis(ctx, testbed.RedisOptions{Binary: b.flags.redis, Log: log}); err != nil {
		return err
	}
	if b.faults, err = testbed.ServeFaults(config, b.dir, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	urls := map[string]string{}
	for _, pod := range pods {
		gateway, err := testbed.StartGateway(ctx, testbed.GatewayOptions{
			Binary: b.flags.gateway, Name: pod, Config: b.settings(), Policy: policy, Kubeconfig: b.faults.Kubeconfig, Log: log,
		})
		if err != nil {
			return err
		}
		b.gateways = append(b.gateways, gateway)
		urls[pod] = gateway.URL()
	}
	path, err := exec.LookPath(b.flags.prometheus)
	if err != nil {
		return fmt.Errorf("find prometheus: %w", err)
	}
	b.prom, err = testbed.StartPrometheus(ctx, testbed.PrometheusOptions{Binary: path, Interval: scrapeInterval, Pods: urls, Rules: deploy.Alerts, Log: log})
	if err != nil {
		return err
	}
	if b.queries, err = draw.Connect(b.prom.URL); err != nil {
		return err
	}
	// What happens before the first scrape is seen by none.
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		n, err := b.queries.Targets(ctx)
		return n == len(pods), err
	})
	if err != nil {
		return fmt.Errorf("wait until Prometheus scrapes %d gateways: %w", len(pods), err)
	}
	return nil
}

// settings are the gateways': short windows, few connections and little room, so that
// everything happens within minutes.
func (b *bed) settings() config.Config {
	cfg := config.Default()
	// All senders are on the loopback, and say for whom they forward.
	cfg.Middleware.TrustedProxies = config.Networks{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.Middleware.RateLimit.ExemptNetworks = config.Networks{netip.MustParsePrefix("10.0.0.0/8")}
	cfg.Infrastructure.Redis.Addr = b.redis.Addr
	cfg.Infrastructure.Redis.PoolSize = 8
	cfg.Infrastructure.Redis.ReadTimeout = config.Duration(500 * time.Millisecond)
	p := &cfg.Processing
	p.Storm.InactivityTimeout, p.Storm.MaxWindowDuration = config.Duration(4*time.Second), config.Duration(15*time.Second)
	p.Storm.PerNamespaceLimits = map[string]int{b.crowded: 3}
	p.CRD.FallbackNamespace = b.fallback
	p.CoolDown.Completed = config.Duration(time.Hour)
	p.Resolved.Annotate = true
	return cfg
}

func (b *bed) makeNamespaces(ctx context.Context) error {
	run := strconv.FormatInt(time.Now().Unix(), 36)
	for _, n := range []struct {
		name              *string
		text, environment string
	}{
		{&b.production, "shop", "production"}, {&b.staging, "shop-next", "staging"}, {&b.crowded, "kiosk", "production"}, {&b.fallback, "system", ""},
	} {
		*n.name = "dashboard-" + n.text + "-" + run
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: *n.name}}
		if n.environment != "" {
			namespace.Labels = map[string]string{"environment": n.environment}
		}
		if err := b.api.Create(ctx, namespace); err != nil {
			return fmt.Errorf("create namespace %s: %w", *n.name, err)
		}
	}
	return nil
}

func (b *bed) close() {
	if b.prom != nil {
		b.prom.Close()
	}
	for _, gateway := range b.gateways {
		gateway.Close()
	}
	if b.faults != nil {
		b.faults.Close()
	}
	if b.redis != nil {
		b.redis.Close()
	}
	if b.api != nil {
		b.api.Close()
	}
	if b.cluster != nil {
		b.cluster.Close()
	}
	if b.log != nil {
		_ = b.log.Close()
	}
	_ = os.RemoveAll(b.dir)
}
