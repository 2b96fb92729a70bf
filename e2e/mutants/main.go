// Command mutants proves that the scenarios, and the gateway's own tests, notice a broken
// gateway. It breaks the gateway in one way after the other. Each way breaks a promise of
// one scenario, of which a spec must fail, or one that no scenario makes, about which a
// test of a package of the gateway must fail.
//
//	go run ./e2e/mutants
//	tools/bazel run //e2e/mutants -- --only='^storm-'
//	go run ./e2e/mutants --list
//
// The mutants are data (catalog_*.go). They are made in a copy of the repository. The
// copy has a Bazel server of its own, and with it a cluster of its own, which are
// stopped at the end. The copy and what was built stay for the next time. First the
// scenarios run on the gateway as it is. All mutants take about half an hour on two
// cores.
//
// It ends with 0 if every mutant was caught. It ends with 1 if a mutant survived, which
// means that the scenario must be made stricter, or if there is no verdict on one: it
// no longer fits the sources, it does not compile, or the infrastructure failed.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

type flags struct {
	repository, dir string
	only            string
	list            bool
}

func command() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "mutants",
		Short:         "Break the gateway in many ways, and show that the scenarios notice each",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chosen, err := choose(catalog(), f.only)
			if err != nil {
				return err
			}
			if f.list {
				return list(cmd.OutOrStdout(), chosen)
			}
			return prove(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), f, chosen)
		},
	}
	set := cmd.Flags()
	set.StringVar(&f.repository, "repository", "", "the repository that is copied (default: the one that this was started in)")
	set.StringVar(&f.dir, "dir", "", "directory for the copy and for Bazel, some gigabytes (default: stormgate/mutants in the user's cache)")
	set.StringVar(&f.only, "only", "", "regular expression over the names of mutants (default: all)")
	set.BoolVar(&f.list, "list", false, "only print the mutants")
	return cmd
}

func list(w io.Writer, mutants []mutant) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range mutants {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", m.name, m.promise, cmp.Or(m.scenario, m.test), m.specs)
	}
	return table.Flush()
}

var errNotAllCaught = errors.New("not every mutant was caught")

func prove(ctx context.Context, out, progress io.Writer, f flags, mutants []mutant) (err error) {
	if f.repository == "" {
		if f.repository, err = here(ctx); err != nil {
			return err
		}
	}
	if f.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("%w: set --dir", err)
		}
		f.dir = filepath.Join(cache, "stormgate", "mutants")
	}
	s, err := newScratch(ctx, f.repository, f.dir, gitFiles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	b := &bazel{scratch: s}
	defer func() { err = errors.Join(err, b.shutdown()) }()

	started := time.Now()
	fmt.Fprintf(progress, "the gateway as it is, in %s ...\n", s.root())
	baseline, err := b.test(ctx, targets(mutants))
	if err != nil {
		return err
	}
	if err := checkBaseline(baseline, mutants); err != nil {
		return err
	}
	fmt.Fprintf(progress, "green after %.0f s\n", time.Since(started).Seconds())

	var outcomes []outcome
	for i, m := range mutants {
		fmt.Fprintf(progress, "%d of %d: %s ... ", i+1, len(mutants), m.name)
		o := try(ctx, b, m)
		if ctx.Err() != nil {
			fmt.Fprintln(progress, "interrupted")
			err = context.Cause(ctx)
			break
		}
		switch {
		case o.err != nil:
			fmt.Fprintf(progress, "ERROR %v", o.err)
		case o.survived():
			fmt.Fprint(progress, "SURVIVED")
		default:
			fmt.Fprintf(progress, "caught by %q", o.caught[0])
		}
		fmt.Fprintf(progress, " (%.0f s)\n", o.elapsed.Seconds())
		outcomes = append(outcomes, o)
	}
	printOutcomes(out, outcomes)
	if err == nil && slices.ContainsFunc(outcomes, func(o outcome) bool { return o.err != nil || o.survived() }) {
		err = errNotAllCaught
	}
	return err
}

// here is the repository of the working directory, which is Bazel's when this runs
// by `bazel run`.
func here(ctx context.Context) (string, error) {
	dir := cmp.Or(os.Getenv("BUILD_WORKSPACE_DIRECTORY"), ".")
	top, err := exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository that this was started in: %w (set --repository)", err)
	}
	return strings.TrimSpace(string(top)), nil
}

// targets are the scenarios of the mutants.
func targets(mutants []mutant) []string {
	var all []string
	for _, m := range mutants {
		all = append(all, m.target())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// try makes the mutant, runs its specs and takes it back.
func try(ctx context.Context, b *bazel, m mutant) (o outcome) {
	o.mutant = m
	started := time.Now()
	defer func() { o.elapsed = time.Since(started) }()
	restore, err := m.apply(b.scratch.root())
	if err != nil {
		o.err = err
		return o
	}
	defer func() { o.err = errors.Join(o.err, restore()) }()
	run, err := b.test(ctx, []string{m.target()},
		"--test_filter="+m.specs,
		// Few specs are left, so more shards would only take more time to set up. A mutant
		// that survived is tried again each time.
		"--test_sharding_strategy=disabled", "--nocache_test_results",
	)
	if err != nil {
		o.err = err
		return o
	}
	o.caught, o.err = judge(run)
	return o
}
