// Command isolation proves that the scenarios do not depend on each other: it
// runs every spec together with all others, alone, in reverse and in random order,
// on the cluster that all share and on private ones, and compares the verdicts.
//
//	tools/bazel run //e2e/isolation
//	tools/bazel run //e2e/isolation -- --clusters=shared --orders=reverse,random --seed=7
//
// It runs the scenarios' test programs itself, as Bazel would but without its
// sandbox, so that nothing is built or analysed between two runs.
//
// It ends with 0 if every spec passed in every run. Otherwise it ends with 1 and prints
// the verdicts that differ. All runs together take about fifteen minutes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"stormgate.internal/tools/runfiles"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "isolation:", err)
		os.Exit(1)
	}
}

type flags struct {
	scenarios        string
	orders, clusters []string
	only             string
	seed             int64
	logs             string
}

func command() *cobra.Command {
	f := flags{orders: orders, clusters: clusters}
	cmd := &cobra.Command{
		Use:           "isolation",
		Short:         "Prove that the verdicts of the scenarios do not depend on what else runs",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return prove(cmd.Context(), cmd, f) },
	}
	set := cmd.Flags()
	set.StringVar(&f.scenarios, "scenarios", "", "file that lists the scenarios' programs (set by the BUILD file)")
	set.StringSliceVar(&f.orders, "orders", f.orders, "which runs: together, alone, reverse, random")
	set.StringSliceVar(&f.clusters, "clusters", f.clusters, "where: shared, private")
	set.StringVar(&f.only, "only", "", "regular expression over the labels of scenarios (default: all)")
	set.Int64Var(&f.seed, "seed", 1, "of the random order")
	set.StringVar(&f.logs, "logs", "", "directory for the output of every process (default: a new one, kept if a spec does not pass)")
	return cmd
}

var errDependent = errors.New("not every spec passed in every run")

func prove(ctx context.Context, cmd *cobra.Command, f flags) error {
	scenarios, err := loadScenarios(f.scenarios, f.only)
	if err != nil {
		return err
	}
	root, err := runfiles.Root()
	if err != nil {
		return err
	}
	keep := f.logs != ""
	if !keep {
		if f.logs, err = os.MkdirTemp("", "isolation-"); err != nil {
			return err
		}
	}
	r := runner{scenarios: scenarios, runfiles: root, logs: f.logs, progress: cmd.ErrOrStderr()}
	specs, err := r.list(ctx)
	if err != nil {
		return err
	}
	plan, err := newPlan(scenarios, specs, f.orders, f.clusters, f.seed)
	if err != nil {
		return err
	}
	var results []result
	for _, run := range plan {
		outcome, err := r.run(ctx, run)
		if err != nil {
			// The runs that have ended are worth printing.
			compare(specs, results).print(cmd.OutOrStdout())
			return fmt.Errorf("%s: %w", run.name(), err)
		}
		results = append(results, outcome)
	}
	c := compare(specs, results)
	c.print(cmd.OutOrStdout())
	if !c.allPassed() {
		fmt.Fprintln(cmd.OutOrStdout(), "output of the processes:", f.logs)
		return errDependent
	}
	if !keep {
		return os.RemoveAll(f.logs)
	}
	return nil
}
