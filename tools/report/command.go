package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"stormgate.internal/tools/internal/outfile"
	"stormgate.internal/tools/report/internal/cause"
	"stormgate.internal/tools/report/internal/export"
	"stormgate.internal/tools/report/internal/history"
	"stormgate.internal/tools/report/internal/page"
	"stormgate.internal/tools/report/internal/run"
)

const (
	// defaultEvents is where --config=report of .bazelrc has Bazel write, in the workspace.
	defaultEvents = "bazel-events.json"
	defaultPage   = "bazel-report.html"
	// noWorkerLog as --worker_log says that none is looked for.
	noWorkerLog = "none"
	// historyRuns is how many records of earlier runs are read.
	historyRuns = 200
)

type flags struct {
	out, testLogs, history       string
	workerLogs                   []string
	program                      string
	json, junit, markdown, trace string
}

// usageError is a wrong command line.
type usageError struct{ error }

func command(stdout io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "report [flags] [EVENTS...]",
		Short: "Draw a whole bazel test as one HTML page",
		Long: `Draws the run whose build events are in EVENTS, which Bazel writes for
--build_event_json_file, with all that its tests left. Of several files the page is about
the run that began last; the others are its history.

Exit code 0: written, whatever the run's verdict. 1: it can't be written. 2: wrong command
line.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(_ *cobra.Command, args []string) error {
			return f.execute(stdout, args)
		},
	}
	cmd.SetOut(stdout)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	cmd.Flags().StringVar(&f.out, "out", "", "where the page goes; 'none' writes none (default: "+defaultPage+" in the workspace)")
	cmd.Flags().StringVar(&f.testLogs, "testlogs", "", "a copy of bazel-testlogs, as CI keeps one (default: the files that the build events name)")
	cmd.Flags().StringArrayVar(&f.workerLogs, "worker_log", nil, "a log of the fixture's worker; repeatable; 'none' for none (default: those in the output base of the tests)")
	cmd.Flags().StringVar(&f.history, "history", "", "folder with records of earlier runs, to which this one is added (default: no history but that of several EVENTS)")
	cmd.Flags().StringVar(&f.program, "program", "", "how Bazel is called in commands (default: as the shards' logs have it, else bazel)")
	cmd.Flags().StringVar(&f.json, "json", "", "also write the run as JSON to this file; '-' is standard output")
	cmd.Flags().StringVar(&f.junit, "junit", "", "also write all test cases as one JUnit report")
	cmd.Flags().StringVar(&f.markdown, "markdown", "", "also write a summary in Markdown")
	cmd.Flags().StringVar(&f.trace, "trace", "", "also write the time axis as a trace for Perfetto or Chrome")
	return cmd
}

// execute loads, and writes what is asked for.
func (f *flags) execute(stdout io.Writer, args []string) error {
	if len(args) == 0 {
		args = []string{filepath.Join(os.Getenv("BUILD_WORKSPACE_DIRECTORY"), defaultEvents)}
	}
	options := run.Options{TestLogs: outfile.Place(f.testLogs), Program: f.program}
	for _, name := range f.workerLogs {
		if name != noWorkerLog {
			options.WorkerLogs = append(options.WorkerLogs, outfile.Place(name))
		}
	}
	options.FindWorkerLogs = len(f.workerLogs) == 0
	var runs []*run.Run
	for _, name := range args {
		r, err := run.Load(outfile.Place(name), options)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	slices.SortStableFunc(runs, func(a, b *run.Run) int { return a.Started.Compare(b.Started) })
	last := runs[len(runs)-1]
	content, err := f.withHistory(runs)
	if err != nil {
		return err
	}
	var said io.Writer = stdout
	for _, e := range []struct {
		file  string
		write func(io.Writer, *run.Run) error
	}{{f.json, export.JSON}, {f.junit, export.JUnit}, {f.markdown, export.Markdown}, {f.trace, export.Trace}} {
		if e.file == "" {
			continue
		}
		var out bytes.Buffer
		if err := e.write(&out, last); err != nil {
			return err
		}
		if e.file == "-" {
			said = io.Discard // one document alone
			if _, err := stdout.Write(out.Bytes()); err != nil {
				return err
			}
			continue
		}
		if err := outfile.Replace(outfile.Place(e.file), out.Bytes()); err != nil {
			return err
		}
	}
	if f.out == "none" {
		return nil
	}
	var html bytes.Buffer
	if err := page.Write(&html, content); err != nil {
		return err
	}
	name := outfile.Place(f.out)
	if name == "" {
		name = filepath.Join(os.Getenv("BUILD_WORKSPACE_DIRECTORY"), defaultPage)
	}
	if err := outfile.Replace(name, html.Bytes()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(said, "%s: %s\n%s (%.0f kB)\n", last.Verdict.Words(), last.Headline, name, float64(html.Len())/1000)
	return err
}

// withHistory adds what earlier runs say: those of the command line, and of --history.
func (f *flags) withHistory(runs []*run.Run) (page.Content, error) {
	last := runs[len(runs)-1]
	content := page.Content{Run: last}
	if f.history != "" {
		records, problems, err := history.Load(outfile.Place(f.history), historyRuns)
		if err != nil {
			return content, err
		}
		content.Records = records
		last.Problems = append(last.Problems, problems...)
	}
	for _, r := range runs {
		record := history.Of(r)
		content.Records = slices.DeleteFunc(content.Records, func(known history.Record) bool {
			return known.Invocation == record.Invocation && known.Started.Equal(record.Started)
		})
		content.Records = append(content.Records, record)
	}
	history.Sort(content.Records)
	this := history.Of(last)
	cause.Set(last, history.Before(content.Records, this))
	if f.history != "" {
		if err := history.Save(outfile.Place(f.history), this); err != nil {
			return content, err
		}
	}
	return content, nil
}
