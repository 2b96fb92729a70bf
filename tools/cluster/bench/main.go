// Command bench measures how long a cluster takes from nothing to its first
// Ready pod, what it costs, and what it costs when idle, against the budgets of
// the design. It measures and reports; nothing fails for being slow.
//
//	bench --cluster=BINARY [--runs=5] [--idle=30s] [--json=FILE] [--benchmarks=FILE]
//
// The target sandboxed runs it as a test is run, against the budget for a
// private cluster.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"stormgate.internal/tools/benchmark"
	"stormgate.internal/tools/cluster/internal/clustertest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var binary, output, benchmarks string
	var runs int
	var idle time.Duration
	command := &cobra.Command{
		Use:           "bench",
		Short:         "Measure the boot and the idle cost of a cluster",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			if runs < 1 {
				return fmt.Errorf("--runs is %d and must be positive", runs)
			}
			if binary == "" {
				var err error
				if binary, err = clustertest.Binary(); err != nil {
					return err
				}
			}
			// Bazel's sandbox and a bare run differ in budget. Bazel sets TEST_SRCDIR for tests only.
			result := Result{Binary: binary, Sandboxed: os.Getenv("TEST_SRCDIR") != ""}
			for i := range runs {
				run, err := measure(command.Context(), binary, idle)
				if err != nil {
					return fmt.Errorf("run %d of %d: %w", i+1, runs, err)
				}
				result.Runs = append(result.Runs, run)
				fmt.Fprintf(command.ErrOrStderr(), "run %d of %d: first pod Ready after %.2f s\n", i+1, runs, run.PodReady)
				// One idle window is enough; it is most of the time.
				idle = 0
			}
			if output != "" {
				encoded, err := json.MarshalIndent(result, "", "  ")
				if err != nil {
					return fmt.Errorf("encode result: %w", err)
				}
				if err := os.WriteFile(output, append(encoded, '\n'), 0o644); err != nil {
					return fmt.Errorf("write result: %w", err)
				}
			}
			if benchmarks != "" {
				if err := benchmark.Write(benchmarks, result.Series()); err != nil {
					return err
				}
			}
			return result.WriteTable(command.OutOrStdout())
		},
	}
	flags := command.Flags()
	flags.StringVar(&binary, "cluster", "", "the cluster binary (default $"+clustertest.BinaryEnv+")")
	flags.IntVar(&runs, "runs", 5, "how many clusters to boot")
	flags.DurationVar(&idle, "idle", 0, "how long to watch the first cluster idle; 0 leaves it out")
	flags.StringVar(&output, "json", "", "also write all measurements to this file")
	flags.StringVar(&benchmarks, "benchmarks", "", "also write this file, which benchstat compares with docs/benchmarks/cluster.txt")
	command.AddCommand(newServeCommand())
	return command
}

// newServeCommand is what runs in the pod: a service that is ready at once.
func newServeCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "serve",
		Hidden: true,
		RunE: func(command *cobra.Command, _ []string) error {
			listener, err := net.Listen("tcp", ":8080")
			if err != nil {
				return err
			}
			context.AfterFunc(command.Context(), func() { listener.Close() })
			err = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintln(w, "ok")
			}))
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		},
	}
}
