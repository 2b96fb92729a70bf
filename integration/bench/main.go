// Command bench measures the gateway: the real binary with a real Redis and a
// real API server, against what bare requests to those two cost in the same run.
// It measures and reports; nothing fails for being slow. It does fail if the
// objects in the cluster are not exactly those that the answers promise.
//
//	bench [--workload=unique,...] [--clients=1,16,64] [--rate=100,...]
//	bench --goals [--rounds=5]
//	bench --objects=50000
//	bench --soak=1000000
//
// Without --kubeconfig it boots a cluster of its own.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"stormgate.internal/integration/testbed"
	"stormgate.internal/tools/benchmark"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// flags are those of the command line.
type flags struct {
	cluster, gateway, redis, kubeconfig string
	workloads                           []string
	clients, rates                      []int
	duration                            time.Duration
	objects, soak, rounds               int
	goals                               bool
	json, benchmarks, profiles, log     string
}

func command() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "bench",
		Short:         "Measure the gateway with a real Redis and a real API server",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.validate(); err != nil {
				return err
			}
			report, err := run(cmd.Context(), f, func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) })
			if f.json != "" {
				if writeErr := writeJSON(f.json, report); writeErr != nil && err == nil {
					err = writeErr
				}
			}
			if f.benchmarks != "" && err == nil {
				err = benchmark.Write(f.benchmarks, report.series())
			}
			if tableErr := report.WriteTables(cmd.OutOrStdout()); tableErr != nil && err == nil {
				err = tableErr
			}
			return err
		},
	}
	set := cmd.Flags()
	set.StringVar(&f.cluster, "cluster", "", "the cluster binary (default $"+testbed.ClusterVariable+")")
	set.StringVar(&f.gateway, "gateway", "", "the gateway binary (default $STORMGATE_GATEWAY, else the one on the PATH)")
	set.StringVar(&f.redis, "redis-server", "", "the Redis binary (default $STORMGATE_REDIS_SERVER, else the one on the PATH)")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "use this cluster instead of booting one; namespaces that begin with bench- are filled")
	set.StringSliceVar(&f.workloads, "workload", workloadNames(), "what to send")
	set.IntSliceVar(&f.clients, "clients", []int{1, 16, 64}, "closed loop: numbers of clients, each of which sends its next alert when the last one is answered")
	set.IntSliceVar(&f.rates, "rate", nil, "open loop: alerts per second, sent when they are due whatever is answered; latencies count from then (default: no open loop)")
	set.DurationVar(&f.duration, "duration", 5*time.Second, "length of each measurement")
	set.IntVar(&f.objects, "objects", 0, "compare with so many objects in the cluster instead of 100")
	set.IntVar(&f.soak, "soak", 0, "send so many alerts, and fail if the memory of the gateway or of Redis grows meanwhile")
	set.BoolVar(&f.goals, "goals", false, "measure what the project wants as ratios to bare requests, each beside its own bare request")
	set.IntVar(&f.rounds, "rounds", 3, "with --goals: how often each is measured")
	set.StringVar(&f.json, "json", "", "also write all measurements to this file")
	set.StringVar(&f.benchmarks, "benchmarks", "", "also write this file, which benchstat compares with docs/benchmarks/gateway.txt")
	set.StringVar(&f.profiles, "profiles", "", "write CPU profiles and heaps of the gateway to this directory")
	set.StringVar(&f.log, "log", "", "write the processes' output to this file")
	return cmd
}

func (f *flags) validate() error {
	for _, name := range f.workloads {
		if !slices.Contains(workloadNames(), name) {
			return fmt.Errorf("--workload is %q, want some of %s", name, strings.Join(workloadNames(), ", "))
		}
	}
	for _, n := range slices.Concat(f.clients, f.rates) {
		if n < 1 {
			return fmt.Errorf("--clients and --rate must be positive, one is %d", n)
		}
	}
	if f.duration <= 0 || f.objects < 0 || f.soak < 0 {
		return fmt.Errorf("--duration must be positive, --objects and --soak not negative")
	}
	if f.objects > 0 && f.soak > 0 || f.goals && f.objects+f.soak > 0 {
		return fmt.Errorf("--objects, --soak and --goals are three measurements: give one")
	}
	if f.rounds < 1 {
		return fmt.Errorf("--rounds must be positive, is %d", f.rounds)
	}
	return nil
}

func run(ctx context.Context, f flags, progress func(string)) (*Report, error) {
	report := &Report{Started: time.Now().UTC()}
	b, err := newBed(ctx, f, progress)
	if err != nil {
		return report, err
	}
	defer b.close()
	switch {
	case f.soak > 0:
		if report.Soak, err = b.soak(ctx, f.soak); err == nil {
			err = report.Soak.verdict()
		}
	case f.goals:
		err = b.measureGoals(ctx, report)
	case f.objects > 0:
		err = b.compareObjects(ctx, report)
	default:
		err = b.measureAll(ctx, report)
	}
	return report, err
}

func writeJSON(path string, report *Report) error {
	encoded, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode measurements: %w", err)
	}
	if err := os.WriteFile(path, append(encoded, '\n'), 0o644); err != nil {
		return fmt.Errorf("write measurements: %w", err)
	}
	return nil
}
