// Program directions fails when a folder of a repository imports from one that it
// must not depend on. The rule import_directions_test runs it.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"stormgate.internal/tools/depcheck"
)

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var marker, reason string
	cmd := &cobra.Command{
		Use:           "directions FOLDER=OTHER,OTHER...",
		Short:         "Check that no FOLDER imports from an OTHER",
		Args:          cobra.MinimumNArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(_ *cobra.Command, rules []string) error { return run(marker, reason, rules) },
	}
	cmd.Flags().StringVar(&marker, "workspace", "", "a `file` of the repository's root, or a link to it")
	cmd.Flags().StringVar(&reason, "reason", "", "why imports have directions, for the reader of a failure")
	if err := cmd.MarkFlagRequired("workspace"); err != nil {
		panic(err)
	}
	return cmd
}

func run(marker, reason string, rules []string) error {
	real, err := filepath.EvalSymlinks(marker)
	if err != nil {
		return fmt.Errorf("find the source tree: %w", err)
	}
	forbidden := depcheck.Forbidden{}
	for _, rule := range rules {
		folder, others, _ := strings.Cut(rule, "=")
		forbidden[folder] = strings.Split(others, ",")
	}
	findings, err := depcheck.Check(os.DirFS(filepath.Dir(real)), forbidden)
	if err != nil || len(findings) == 0 {
		return err
	}
	var lines []string
	for _, finding := range findings {
		lines = append(lines, finding.String())
	}
	return errors.New(strings.Join(lines, "\n") + "\nWhy: " + reason)
}
