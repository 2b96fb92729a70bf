// Command truth compares what the tool affected selects with what Bazel does:
//
//	tools/bazel run //tools/affected/truth           # a small workspace
//	tools/bazel run //tools/affected/truth -- --own  # this repository
//	tools/bazel run //tools/affected/truth -- --all  # both, in one table
//
// The first makes a small workspace with a little of everything, and some six hundred
// changes of it over all kinds (package catalog). A fifth of them start from a set-up of
// their own: the small workspace with something that few have. For each, Bazel tests the
// base, then the change, with one output base: the tests whose keys Bazel's action cache
// does not have then are the truth, with those that are new and those that no longer run.
// The action graph gives the same answer in another way (package actionkeys), and the two
// must agree but for early cut-off.
//
// The second does it for changes of this repository. Executing is too dear there, so
// the action graph alone is the truth, from analysis.
//
// What Bazel does is remembered in the directory of --dir, by the files before and after
// a change: after an edit of affected alone, a run takes seconds.
//
// A test that affected misses fails the program. So do, with --all, more than 5 % of
// selections beyond truth. It is a program and no test: a test may not use the network, which
// Bazel's repositories come from, nor keep an output base for the next time.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/spf13/cobra"

	"stormgate.internal/tools/affected/truth/internal/catalog"
	"stormgate.internal/tools/runfiles"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "truth:", err)
		os.Exit(1)
	}
}

// options are the command line's, made absolute.
type options struct {
	repository, dir, diskCache, affected string
	// again finds out anew what is remembered.
	again bool
}

// toolRunfile is where Bazel puts the tool beside this program.
const toolRunfile = "_main/tools/affected/affected_/affected"

func command() *cobra.Command {
	var o options
	var only string
	var own, all, list bool
	cmd := &cobra.Command{
		Use:           "truth",
		Short:         "Compare what affected selects with what Bazel runs again",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pattern, err := regexp.Compile(only)
			if err != nil {
				return fmt.Errorf("--only: %w", err)
			}
			grounds := []bool{own}
			switch {
			case own && all:
				return errors.New("--all has the changes of --own: give one of them")
			case all && o.dir != "":
				return errors.New("--all has a directory for each workspace: give --dir with the small one, or with --own")
			case all:
				grounds = []bool{false, true}
			}
			if list {
				for _, own := range grounds {
					listChanges(cmd.OutOrStdout(), own)
				}
				return nil
			}
			var outcomes []outcome
			for _, own := range grounds {
				tried, err := try(cmd.Context(), cmd.OutOrStdout(), o, own, pattern)
				if err != nil {
					return err
				}
				outcomes = append(outcomes, tried...)
			}
			if len(outcomes) == 0 {
				return errors.New("no change matches --only")
			}
			return report(cmd.OutOrStdout(), outcomes, all && only == "")
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.repository, "repository", os.Getenv("BUILD_WORKSPACE_DIRECTORY"), "stormgate's own directory")
	flags.StringVar(&o.dir, "dir", "", "directory for the workspace and for Bazel (default: stormgate/truth in the user's cache, with --own stormgate/truth-own)")
	flags.StringVar(&o.diskCache, "disk_cache", "", "Bazel's disk cache (default: stormgate/disk in the user's cache)")
	flags.StringVar(&o.affected, "affected", "", "the tool (default: the one built with this program)")
	flags.StringVar(&only, "only", "", "regular expression over \"KIND: NAME\" of the changes to try (default: all)")
	flags.BoolVar(&o.again, "again", false, "find out anew what Bazel does, also where it is remembered from an earlier run")
	flags.BoolVar(&own, "own", false, "changes of this repository")
	flags.BoolVar(&all, "all", false, "changes of the small workspace and of this repository")
	flags.BoolVar(&list, "list", false, "list the changes and end")
	return cmd
}

// try tries the changes of one of the workspaces.
func try(ctx context.Context, out io.Writer, o options, own bool, only *regexp.Regexp) ([]outcome, error) {
	if err := o.complete(own); err != nil {
		return nil, err
	}
	t, err := newTrial(ctx, out, o, own)
	if err != nil {
		return nil, err
	}
	return t.all(ctx, out, only)
}

// complete fills in defaults.
func (o *options) complete(own bool) (err error) {
	if o.repository == "" {
		return errors.New("outside of `bazel run` --repository is needed: the directory of stormgate's MODULE.bazel")
	}
	if o.dir == "" || o.diskCache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("%w: set --dir and --disk_cache", err)
		}
		if o.diskCache == "" {
			o.diskCache = filepath.Join(cache, "stormgate", "disk")
		}
		if o.dir == "" {
			name := "truth"
			if own {
				name = "truth-own"
			}
			o.dir = filepath.Join(cache, "stormgate", name)
		}
	}
	if o.affected == "" {
		if o.affected, err = runfiles.File(toolRunfile); err != nil {
			return fmt.Errorf("find affected: %w; outside of `bazel run` --affected names it", err)
		}
	}
	for _, path := range []*string{&o.repository, &o.dir, &o.diskCache, &o.affected} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return os.MkdirAll(o.dir, 0o777)
}

func listChanges(out io.Writer, own bool) {
	changes := catalog.Changes()
	if own {
		changes = ownChanges()
	}
	for _, c := range changes {
		fmt.Fprintf(out, "%s: %s\n", c.Kind, c.Name)
	}
}
