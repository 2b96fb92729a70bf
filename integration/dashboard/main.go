// Command dashboard shows the gateway's dashboard with real data, and fails if a panel
// has none: two real gateways with a real Redis and a real API server get traffic of all
// kinds, with faults, while a real Prometheus scrapes them. Then every expression of
// dashboard.json and of alerts.yaml is evaluated.
//
//	dashboard --html=FILE [--png=FILE]
//
// It needs Prometheus and promtool, npm, and for a PNG Chromium; see docs/dashboard.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"stormgate.internal/gateway/deploy"
	"stormgate.internal/integration/dashboard/draw"
	"stormgate.internal/integration/dashboard/grafana"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

// flags are those of the command line.
type flags struct {
	cluster, gateway, redis, prometheus, promtool, npm, chromium string
	kubeconfig, html, png, log                                   string
	duration                                                     time.Duration
}

func command() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "dashboard",
		Short:         "Draw the gateway's dashboard with real data",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), f) },
	}
	set := cmd.Flags()
	set.StringVar(&f.cluster, "cluster", "", "the cluster binary (default $STORMGATE_CLUSTER)")
	set.StringVar(&f.gateway, "gateway", "", "the gateway binary (default $STORMGATE_GATEWAY, else the one on the PATH)")
	set.StringVar(&f.redis, "redis-server", "", "the Redis binary (default $STORMGATE_REDIS_SERVER, else the one on the PATH)")
	set.StringVar(&f.prometheus, "prometheus", "prometheus", "Prometheus")
	set.StringVar(&f.promtool, "promtool", "promtool", "Prometheus' tool that checks rules")
	set.StringVar(&f.npm, "npm", "npm", "npm, which installs the charts")
	set.StringVar(&f.chromium, "chromium", "chromium", "Chromium, for --png")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "use this cluster instead of booting one; namespaces that begin with dashboard- are made in it")
	set.StringVar(&f.html, "html", "", "write the page to this file (required)")
	set.StringVar(&f.png, "png", "", "also write a picture of the page to this file")
	set.StringVar(&f.log, "log", "", "write the processes' output to this file")
	set.DurationVar(&f.duration, "duration", 2*time.Minute, "how long traffic is sent, at least 30s")
	return cmd
}

// prepare refuses at once what would fail at the end.
func (f *flags) prepare() (err error) {
	if f.html == "" {
		return errors.New("--html is required: the file to write the page to")
	}
	if f.duration < 30*time.Second {
		return fmt.Errorf("--duration is %s, want at least 30s: the faults take some time", f.duration)
	}
	for _, path := range []*string{&f.html, &f.png, &f.log} {
		if *path != "" && !filepath.IsAbs(*path) {
			// `bazel run` starts programs elsewhere.
			*path = filepath.Join(os.Getenv("BUILD_WORKING_DIRECTORY"), *path)
			if *path, err = filepath.Abs(*path); err != nil {
				return err
			}
		}
	}
	programs := map[string]string{"prometheus": f.prometheus, "promtool": f.promtool, "npm": f.npm}
	if f.png != "" {
		programs["chromium"] = f.chromium
	}
	for name, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("find %s: %w; install it (Debian: apt-get install prometheus chromium npm), or give its path as --%s", name, err, name)
		}
	}
	return nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func run(ctx context.Context, f flags) error {
	if err := f.prepare(); err != nil {
		return err
	}
	board, err := grafana.Read(deploy.Dashboard)
	if err != nil {
		return err
	}
	if err := checkRules(ctx, f.promtool); err != nil {
		return err
	}
	library, err := draw.Install(f.npm)
	if err != nil {
		return err
	}
	say("booting")
	b, err := newBed(ctx, f)
	if err != nil {
		return err
	}
	defer b.close()
	say("sending traffic for %s", f.duration)
	span := draw.Span{Start: time.Now().Truncate(time.Second), Step: scrapeInterval, Scrape: scrapeInterval}
	trafficErr := b.traffic(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	span.End = time.Now().Truncate(time.Second)
	rules, rulesErr := b.queries.Rules(ctx, span)
	for _, rule := range rules {
		say("  alert %s", rule)
	}
	drawing, panelsErr := b.queries.Evaluate(ctx, board, span)
	for _, flat := range drawing.Flat() {
		say("  0 all the time: %s", flat)
	}
	// A picture shows best what is wrong.
	return errors.Join(trafficErr, rulesErr, panelsErr, write(drawing, library, f))
}

func write(drawing *draw.Drawing, library *draw.Library, f flags) error {
	page, err := drawing.Page(library)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.html, page, 0o644); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	if f.png == "" {
		return nil
	}
	return drawing.Photograph(f.chromium, f.html, f.png)
}

// checkRules has promtool read the alert rules.
func checkRules(ctx context.Context, promtool string) error {
	dir, err := os.MkdirTemp("", "rules")
	if err != nil {
		return fmt.Errorf("check rules: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "alerts.yaml")
	if err := os.WriteFile(path, deploy.Alerts, 0o644); err != nil {
		return fmt.Errorf("check rules: %w", err)
	}
	output, err := exec.CommandContext(ctx, promtool, "check", "rules", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("check rules of alerts.yaml with %s: %w: %s", promtool, err, output)
	}
	say("%s", output)
	return nil
}
