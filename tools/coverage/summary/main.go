// Command summary prints how much of each package was executed, in percent of its lines
// with code, from what `bazel coverage --combined_report=lcov` wrote:
//
//	tools/bazel coverage //gateway/...
//	tools/bazel run //tools/coverage/summary
//
// Several reports are compared, each under a name. Bazel overwrites its report, so copy
// it first:
//
//	tools/bazel run //tools/coverage/summary -- unit=$PWD/unit.dat pods=$PWD/pods.dat
//
// A directory instead of a report is searched for the files of GOCOVERDIR that tests keep
// (coverage/NAMESPACE/POD/PROCESS in their outputs): that is what pods executed, without
// what the tests themselves did.
//
//	tools/bazel run //tools/coverage/summary -- pods=$PWD/bazel-testlogs/e2e
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"stormgate.internal/tools/coverage/collect"
	"stormgate.internal/tools/coverage/covdata"
	"stormgate.internal/tools/coverage/lcov"
)

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var s selection
	cmd := &cobra.Command{
		Use:           "summary [NAME=REPORT|NAME=DIRECTORY...]",
		Short:         "Print how much of each package was executed",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			inputs, err := inputsOf(args, os.Getenv("BUILD_WORKSPACE_DIRECTORY"))
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), inputs)
		},
	}
	cmd.Flags().BoolVar(&s.files, "files", false, "a line for each file instead of each package")
	cmd.Flags().StringVar(&s.under, "under", "", "only what lies in this `folder`; default everything")
	return cmd
}

// input is a report and what it is called.
type input struct {
	name   string
	report lcov.Report
}

// last is where Bazel writes the combined report.
const last = "bazel-out/_coverage/_coverage_report.dat"

func inputsOf(args []string, workspace string) ([]input, error) {
	if len(args) == 0 {
		args = []string{"covered=" + filepath.Join(workspace, last)}
	}
	var inputs []input
	for _, arg := range args {
		name, file, ok := strings.Cut(arg, "=")
		if !ok || name == "" || file == "" {
			return nil, fmt.Errorf("argument %q is not NAME=REPORT, like unit=/path/to/unit.dat", arg)
		}
		if slices.ContainsFunc(inputs, func(i input) bool { return i.name == name }) {
			return nil, fmt.Errorf("the name %q is given twice", name)
		}
		report, err := load(file)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, input{name, report})
	}
	return inputs, nil
}

// load reads a report, or the files of GOCOVERDIR in a directory.
func load(path string) (lcov.Report, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: `tools/bazel coverage TARGETS` writes %s", err, last)
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return search(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	report, err := lcov.Parse(path, f)
	return report, errors.Join(err, f.Close())
}

// found is what lies in a directory.
type found struct {
	report lcov.Report
	// lines are those that have code, and from where that is known, by file.
	lines map[string][]int
	from  map[string]string
}

// search adds up what lies in a directory, at any depth.
func search(dir string) (lcov.Report, error) {
	dir, err := filepath.EvalSymlinks(dir) // bazel-testlogs is a link
	if err != nil {
		return nil, err
	}
	f := found{report: lcov.Report{}, lines: map[string][]int{}, from: map[string]string{}}
	programs, zipped := 0, ""
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || entry.IsDir():
			return err
		case entry.Name() == "outputs.zip":
			zipped = path
		case strings.HasPrefix(entry.Name(), "covmeta."):
			programs++
			return f.add(path)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case programs == 0 && zipped != "":
		return nil, fmt.Errorf("no covmeta.* lies below %s, and %s is packed: test with --nozip_undeclared_test_outputs", dir, zipped)
	case programs == 0:
		return nil, fmt.Errorf("no covmeta.* lies below %s: `tools/bazel coverage --config=pod-coverage TARGETS` leaves them in bazel-testlogs", dir)
	}
	return f.report, nil
}

// add adds the counters that lie beside a program's meta-data. Programs of different
// builds have different lines, which can't be added up.
func (f *found) add(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	meta, err := covdata.ParseMeta(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	sources, err := readSources(filepath.Dir(path))
	if err != nil {
		return err
	}
	counters, err := filepath.Glob(filepath.Join(filepath.Dir(path), strings.Replace(filepath.Base(path), "covmeta", "covcounters", 1)+".*"))
	if err != nil {
		return err
	}
	for _, path := range counters {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		blocks, err := meta.Blocks(data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for file, lines := range covdata.Lines(blocks) {
			source, ok := sources[file]
			if !ok {
				return fmt.Errorf("%s: %s does not say which source %s is", path, collect.SourcesFile, file)
			}
			if code := slices.Sorted(maps.Keys(lines)); f.from[source] == "" {
				f.lines[source], f.from[source] = code, path
			} else if !slices.Equal(code, f.lines[source]) {
				return fmt.Errorf("%s has other lines in %s than in %s: they are of two builds; remove the older one, or collect coverage of all tests again", source, path, f.from[source])
			}
			for line, count := range lines {
				f.report.AddLine(source, line, count)
			}
		}
	}
	return nil
}

func readSources(dir string) (map[string]string, error) {
	path := filepath.Join(dir, collect.SourcesFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var sources map[string]string
	if err := json.Unmarshal(data, &sources); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return sources, nil
}

type selection struct {
	under string
	files bool
}

func (s selection) includes(file string) bool {
	return s.under == "" || strings.HasPrefix(file, strings.TrimSuffix(s.under, "/")+"/")
}

// row counts lines.
type row struct {
	all     int
	covered []int // by each input, then by any
}

func (s selection) print(out io.Writer, inputs []input) error {
	rows, unmeasured := s.count(inputs)
	total := row{covered: make([]int, len(inputs)+1)}
	for _, r := range rows {
		total.all += r.all
		for i, n := range r.covered {
			total.covered[i] += n
		}
	}
	if total.all == 0 {
		return fmt.Errorf("no line was measured%s: does --instrumentation_filter match the code, and did the tests run it?", in(s.under))
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	columns := len(inputs)
	if columns > 1 {
		columns++ // together
	}
	write := func(name string, r row) {
		fmt.Fprintf(table, "%d\t", r.all)
		for _, n := range r.covered[:columns] {
			if r.all == 0 {
				fmt.Fprint(table, "-\t")
				continue
			}
			fmt.Fprintf(table, "%.1f %%\t", 100*float64(n)/float64(r.all))
		}
		fmt.Fprintf(table, "  %s\n", name)
	}
	fmt.Fprint(table, "lines\t")
	for _, i := range inputs {
		fmt.Fprintf(table, "%s\t", i.name)
	}
	if columns > 1 {
		fmt.Fprint(table, "together\t")
	}
	fmt.Fprint(table, "\n")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		write(name, rows[name])
	}
	write("all", total)
	if err := table.Flush(); err != nil {
		return err
	}
	if len(unmeasured) > 0 {
		fmt.Fprintf(out, "not counted, since no program with them ran (or they have no code): %s\n", strings.Join(unmeasured, ", "))
	}
	return nil
}

func in(under string) string {
	if under == "" {
		return ""
	}
	return " in " + under
}

// count returns the rows by package or file, and the files of which no report has a line.
func (s selection) count(inputs []input) (rows map[string]row, unmeasured []string) {
	files := map[string]map[int][]bool{} // by line, which inputs executed it
	for i, input := range inputs {
		for name, f := range input.report {
			if !s.includes(name) {
				continue
			}
			if files[name] == nil {
				files[name] = map[int][]bool{}
			}
			for line, count := range f.Lines {
				if files[name][line] == nil {
					files[name][line] = make([]bool, len(inputs)+1)
				}
				files[name][line][i] = files[name][line][i] || count > 0
				files[name][line][len(inputs)] = files[name][line][len(inputs)] || count > 0
			}
		}
	}
	rows = map[string]row{}
	for name, lines := range files {
		if len(lines) == 0 {
			unmeasured = append(unmeasured, name)
			continue
		}
		key := path.Dir(name)
		if s.files {
			key = name
		}
		r, known := rows[key]
		if !known {
			r.covered = make([]int, len(inputs)+1)
		}
		for _, by := range lines {
			r.all++
			for i, covered := range by {
				if covered {
					r.covered[i]++
				}
			}
		}
		rows[key] = r
	}
	slices.Sort(unmeasured)
	return rows, unmeasured
}
