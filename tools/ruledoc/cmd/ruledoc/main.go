// Program ruledoc compares a reference of Bazel rules with the docstrings, and with
// --update writes it. See tools/ruledoc/defs.bzl.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"stormgate.internal/tools/ruledoc"
)

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "ruledoc:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:           "ruledoc MODULE.binaryproto...",
		Short:         "Compare a reference of Bazel rules with the docstrings",
		Args:          cobra.MinimumNArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(_ *cobra.Command, modules []string) error { return o.run(modules) },
	}
	cmd.Flags().StringVar(&o.file, "file", "", "the reference, a `path` in the source tree")
	cmd.Flags().BoolVar(&o.update, "update", false, "write the reference, below BUILD_WORKSPACE_DIRECTORY (bazel run sets it)")
	cmd.Flags().StringVar(&o.command, "command", "", "the `command` that updates the reference, for a person")
	for _, name := range []string{"file", "command"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	return cmd
}

type options struct {
	file, command string
	update        bool
}

func (o *options) run(files []string) error {
	var modules []*ruledoc.Module
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read module info: %w", err)
		}
		m, err := ruledoc.Parse(data)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		modules = append(modules, m)
	}
	if missing := ruledoc.Missing(modules); len(missing) > 0 {
		return fmt.Errorf("not documented; add a docstring:\n  %s", strings.Join(missing, "\n  "))
	}
	want := ruledoc.Markdown(o.command, modules)
	if o.update {
		return o.write(want)
	}
	got, err := os.ReadFile(o.file)
	if err != nil {
		return fmt.Errorf("read the reference: %w", err)
	}
	if diff := cmp.Diff(strings.Split(string(got), "\n"), strings.Split(want, "\n")); diff != "" {
		return fmt.Errorf("%s differs from the docstrings; update it by\n  %s\n(- is the file, + the docstrings)\n%s", o.file, o.command, diff)
	}
	return nil
}

func (o *options) write(reference string) error {
	root := os.Getenv("BUILD_WORKSPACE_DIRECTORY")
	if root == "" {
		return errors.New("write the reference: BUILD_WORKSPACE_DIRECTORY is not set: start this by bazel run")
	}
	if err := os.WriteFile(filepath.Join(root, o.file), []byte(reference), 0o644); err != nil {
		return fmt.Errorf("write the reference: %w", err)
	}
	return nil
}
