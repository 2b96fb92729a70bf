// Command bench measures affected: on generated repositories of several sizes, without
// an index and with one, and on this repository.
//
//	tools/bazel run //tools/affected/bench
//	tools/bazel run //tools/affected/bench -- --packages=2000 --runs=9 --benchmarks=$PWD/affected.txt
//	go build -o affected ./tools/affected && go run ./tools/affected/bench --program=$PWD/affected
//
// A time is that of the whole program, from its start to its end, with one file of the
// work tree changed. Cold is without an index, warm with that of the run before.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stormgate.internal/tools/affected/internal/generate"
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

type bench struct {
	program, benchmarks, keep string
	packages                  []int
	runs                      int

	series []benchmark.Series
	table  *tabwriter.Writer
}

func command() *cobra.Command {
	var b bench
	cmd := &cobra.Command{
		Use:          "bench",
		Short:        "Measure how long affected takes",
		Args:         cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&b.program, "program", "", "the program affected; Bazel gives it")
	cmd.Flags().IntSliceVar(&b.packages, "packages", []int{125, 500, 2000}, "sizes of the generated repositories, in packages")
	cmd.Flags().IntVar(&b.runs, "runs", 5, "how often each is measured")
	cmd.Flags().StringVar(&b.benchmarks, "benchmarks", "", "write results to this file, for benchstat")
	cmd.Flags().StringVar(&b.keep, "generate", "", "only write a repository of the first size into this new folder, and leave it")
	return cmd
}

func (b *bench) run(ctx context.Context) error {
	if b.runs < 1 || len(b.packages) == 0 || slices.Min(b.packages) < 1 {
		return errors.New("--runs and --packages must be at least 1")
	}
	if b.keep != "" {
		return create(ctx, b.keep, b.packages[0])
	}
	if b.program == "" {
		return errors.New("--program is missing: go build -o affected ./tools/affected")
	}
	program, err := filepath.Abs(b.program)
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	b.program = program
	b.table = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(b.table, "repository\tindex\tfastest\tmedian\tslowest\t")
	for _, n := range b.packages {
		if err := b.generated(ctx, n); err != nil {
			return err
		}
	}
	if here := cmp.Or(os.Getenv("BUILD_WORKSPACE_DIRECTORY"), "."); here != "" {
		if err := b.measure(ctx, "this repository", here, "HEAD~1"); err != nil {
			return err
		}
	}
	if err := b.table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	if b.benchmarks == "" {
		return nil
	}
	return benchmark.Write(b.benchmarks, b.series)
}

func (b *bench) generated(ctx context.Context, n int) (err error) {
	dir, err := os.MkdirTemp("", "affected-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := create(ctx, dir, n); err != nil {
		return err
	}
	file := filepath.Join(dir, generate.Package(n-1), "a.go")
	if err := os.WriteFile(file, []byte("package changed\n"), 0o644); err != nil {
		return fmt.Errorf("change a file: %w", err)
	}
	return b.measure(ctx, fmt.Sprintf("%d packages", n), dir, "HEAD")
}

func create(ctx context.Context, dir string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := generate.Write(dir, generate.Files(n)); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "--all"},
		{"-c", "user.name=bench", "-c", "user.email=bench@example.org", "commit", "--quiet", "--message=generated"},
		{"gc", "--quiet"}, // As a clone has it: objects in a pack.
	} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// measure runs the program without and with an index.
func (b *bench) measure(ctx context.Context, name, dir, base string) (err error) {
	scratch, err := os.MkdirTemp("", "affected-index-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	index := filepath.Join(scratch, "index")
	run := func() (float64, error) {
		cmd := exec.CommandContext(ctx, b.program, "--repository="+dir, "--base="+base, "--index="+index, "--output=json")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		start := time.Now()
		out, err := cmd.Output()
		took := time.Since(start).Seconds()
		if err != nil {
			return 0, fmt.Errorf("run %s on %s: %w: %s", b.program, name, err, stderr.String())
		}
		if len(out) == 0 {
			return 0, fmt.Errorf("run %s on %s: no output", b.program, name)
		}
		return took, nil
	}
	for _, kind := range []string{"cold", "warm"} {
		var values []float64
		for range b.runs {
			if kind == "cold" {
				if err := os.RemoveAll(index); err != nil {
					return fmt.Errorf("remove the index: %w", err)
				}
			}
			took, err := run()
			if err != nil {
				return err
			}
			values = append(values, took)
		}
		b.series = append(b.series, benchmark.Series{Name: "affected/" + name + "/" + kind, Unit: benchmark.Seconds, Values: values})
		slices.Sort(values)
		fmt.Fprintf(b.table, "%s\t%s\t%.3f s\t%.3f s\t%.3f s\t\n", name, kind, values[0], values[len(values)/2], values[len(values)-1])
	}
	return nil
}
