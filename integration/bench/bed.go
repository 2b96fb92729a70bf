package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/gateway/config"
	"stormgate.internal/integration/testbed"
)

// policy ranks all alerts alike: ranking is a small part of an alert's cost, and
// real policies differ.
const policy = `package kubernaut.gateway.priority
default priority := "P2"
priority := "P1" if input.severity == "critical"
`

// bed is what a run measures with.
type bed struct {
	flags
	progress func(string)

	dir        string
	log        *os.File // nil: not wanted
	cluster    *testbed.Cluster
	kubeconfig string
	config     *rest.Config
	metrics    *http.Client
	api        *testbed.API
	redis      *testbed.Redis
	run        string // part of each namespace's name, so that runs don't meet
	sequence   int
}

func newBed(ctx context.Context, f flags, progress func(string)) (*bed, error) {
	b := &bed{flags: f, progress: progress, kubeconfig: f.kubeconfig, run: strconv.FormatInt(time.Now().Unix(), 36)}
	if err := b.open(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bed) open(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	if b.flags.log != "" {
		if b.log, err = os.Create(b.flags.log); err != nil {
			return fmt.Errorf("open log: %w", err)
		}
	}
	if b.kubeconfig == "" {
		if err := b.bootCluster(ctx); err != nil {
			return err
		}
	}
	if b.config, err = clientcmd.BuildConfigFromFlags("", b.kubeconfig); err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	if b.metrics, err = rest.HTTPClientFor(b.config); err != nil {
		return fmt.Errorf("connect to %s: %w", b.config.Host, err)
	}
	if b.api, err = testbed.ConnectAPI(ctx, b.config); err != nil {
		return err
	}
	b.redis, err = testbed.StartRedis(ctx, testbed.RedisOptions{Binary: b.flags.redis, Log: b.output()})
	return err
}

// output is where processes write their logs; nil if that is not wanted.
func (b *bed) output() io.Writer {
	if b.log == nil {
		return nil
	}
	return b.log
}

// bootCluster runs the cluster program until the cluster is up.
func (b *bed) bootCluster(ctx context.Context) (err error) {
	if b.cluster, err = testbed.StartCluster(ctx, b.flags.cluster, filepath.Join(b.dir, "c"), b.output()); err != nil {
		return err
	}
	b.kubeconfig = b.cluster.Kubeconfig
	return nil
}

func (b *bed) close() {
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

// settings are those of a gateway.
func (b *bed) settings(storm config.Storm) config.Config {
	cfg := config.Default()
	cfg.Middleware.RateLimit.RequestsPerMinute = 0
	cfg.Infrastructure.Redis.Addr = b.redis.Addr
	cfg.Processing.Storm = storm
	return cfg
}

// never are thresholds that no workload reaches.
func never() config.Storm {
	storm := config.Default().Processing.Storm
	storm.RateThreshold, storm.PatternThreshold = 1<<30, 1<<30
	return storm
}

// atOnce takes every alert for part of a storm, whose fifth makes the object.
func atOnce() config.Storm {
	storm := config.Default().Processing.Storm
	storm.RateThreshold, storm.PatternThreshold, storm.BufferThreshold = 0, 0, 5
	// What does not fill a buffer has its object soon, so that it can be looked for.
	storm.InactivityTimeout, storm.MaxWindowDuration = config.Duration(5*time.Second), config.Duration(time.Minute)
	return storm
}

// fromTenth has the thresholds of production, and the short windows of atOnce.
func fromTenth() config.Storm {
	storm := atOnce()
	storm.RateThreshold, storm.PatternThreshold = 10, 10
	return storm
}

func (b *bed) startGateway(ctx context.Context, storm config.Storm) (*testbed.Gateway, error) {
	return testbed.StartGateway(ctx, testbed.GatewayOptions{
		Binary: b.flags.gateway, Config: b.settings(storm), Policy: policy, Kubeconfig: b.kubeconfig, Log: b.output(),
	})
}

// namespaces makes n new namespaces.
func (b *bed) namespaces(ctx context.Context, purpose string, n int) ([]string, error) {
	b.sequence++
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("bench-%s-%s-%d-%d", purpose, b.run, b.sequence, i)
		if err := b.api.EnsureNamespace(ctx, names[i]); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// usages are what the processes have used.
type usages struct {
	Gateway, Redis, API, Load testbed.Usage
}

func (b *bed) usages(ctx context.Context, gateway *testbed.Gateway) (u usages, err error) {
	if gateway != nil {
		if u.Gateway, err = gateway.Usage(); err != nil {
			return u, err
		}
	}
	if u.Redis, err = b.redis.Usage(); err != nil {
		return u, err
	}
	if u.Load, err = testbed.UsageOf(os.Getpid()); err != nil {
		return u, err
	}
	u.API, err = b.apiUsage(ctx)
	return u, err
}

// apiUsage asks the API server itself, which may be on another machine.
func (b *bed) apiUsage(ctx context.Context) (testbed.Usage, error) {
	fail := func(err error) (testbed.Usage, error) {
		return testbed.Usage{}, fmt.Errorf("usage of the API server: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(b.config.Host, "/")+"/metrics", nil)
	if err != nil {
		return fail(err)
	}
	response, err := b.metrics.Do(request)
	if err != nil {
		return fail(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fail(err)
	}
	if response.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("%s: %.200s", response.Status, body))
	}
	cpu, err := sample(body, "process_cpu_seconds_total")
	if err != nil {
		return fail(err)
	}
	rss, err := sample(body, "process_resident_memory_bytes")
	if err != nil {
		return fail(err)
	}
	return testbed.Usage{CPU: time.Duration(cpu * float64(time.Second)), RSS: int64(rss)}, nil
}

// sample finds a metric without labels in an exposition.
func sample(exposition []byte, name string) (float64, error) {
	for line := range bytes.Lines(exposition) {
		if value, ok := strings.CutPrefix(string(line), name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, errors.New("no metric " + name)
}
