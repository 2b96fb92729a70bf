// Command lcov_merger merges LCOV tracefiles. It stands in for Bazel's
// coverage_output_generator (com.google.devtools.coverageoutputgenerator.Main), which
// is a download, where that is out of reach: tools/offline/setup.sh compiles it. Bazel
// calls it once for each test, and once for the combined report.
//
// It takes that program's flags and does what it does with LCOV. What it can't do it
// refuses: coverage of C and C++ (gcov's files, LLVM's profiles), which have to be
// decoded. Go's rules write LCOV, as do Java's.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"stormgate.internal/tools/coverage/lcov"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lcov_merger (stormgate's stand-in for Bazel's coverage_output_generator):", err)
		os.Exit(1)
	}
}

// patterns are the values of a flag that may be given more than once.
type patterns []*regexp.Regexp

func (p *patterns) String() string { return fmt.Sprint(*p) }

func (p *patterns) Set(text string) error {
	pattern, err := regexp.Compile("^(?:" + text + ")$")
	if err == nil {
		*p = append(*p, pattern)
	}
	return err
}

type options struct {
	// coverageDir has the tracefiles (*.dat) of one test, at any depth; reportsFile
	// lists them, one a line. One of both is given.
	coverageDir, reportsFile string
	outputFile               string
	// manifest lists the source files that were instrumented, one a line: others are
	// left out. Empty means that none is.
	manifest string
	// replacements has lines "reported:actual" of paths.
	replacements string
	filter       patterns
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("lcov_merger", flag.ContinueOnError)
	flags.StringVar(&o.coverageDir, "coverage_dir", "", "`directory` with the tracefiles of a test")
	flags.StringVar(&o.reportsFile, "reports_file", "", "`file` that lists tracefiles")
	flags.StringVar(&o.outputFile, "output_file", "", "`file` to write")
	flags.StringVar(&o.manifest, "source_file_manifest", "", "`file` that lists the sources to keep; default all")
	flags.StringVar(&o.replacements, "sources_to_replace_file", "", "`file` with lines reported:actual")
	flags.Var(&o.filter, "filter_sources", "regular `expression` of sources to leave out; it must match the whole path")
	flags.Int("parse_parallelism", 1, "accepted, without effect")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.outputFile == "":
		return o, errors.New("--output_file is missing")
	case (o.coverageDir == "") == (o.reportsFile == ""):
		return o, errors.New("one of --coverage_dir and --reports_file must be given")
	}
	return o, nil
}

func run(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	files, err := o.tracefiles()
	if err != nil {
		return err
	}
	merged := lcov.Report{}
	for _, file := range files {
		report, err := read(file)
		if err != nil {
			return err
		}
		merged.Add(report)
	}
	if merged, err = o.choose(merged); err != nil {
		return err
	}
	out, err := os.Create(o.outputFile)
	if err != nil {
		return err
	}
	return errors.Join(merged.Write(out), out.Close())
}

func read(file string) (lcov.Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return lcov.Parse(file, f)
}

// tracefiles lists what is to be merged.
func (o *options) tracefiles() ([]string, error) {
	if o.reportsFile != "" {
		return lines(o.reportsFile)
	}
	var found, refused []string
	err := filepath.WalkDir(o.coverageDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == o.outputFile {
			return err
		}
		switch name := entry.Name(); {
		case strings.HasSuffix(name, ".dat"):
			found = append(found, path)
		case slices.ContainsFunc(foreign, func(suffix string) bool { return strings.HasSuffix(name, suffix) }):
			refused = append(refused, path)
		}
		return nil
	})
	if err == nil && len(refused) > 0 {
		err = fmt.Errorf("%d files of C or C++ coverage can't be merged without Bazel's own coverage tools, the first is %s: leave those targets out by --instrumentation_filter, or use Bazelisk", len(refused), refused[0])
	}
	return found, err
}

// foreign are the endings of coverage that is not LCOV.
var foreign = []string{".gcov", ".gcov.json.gz", ".gcda", ".profdata", ".profraw"}

// choose applies replacements, filters and manifest.
func (o *options) choose(report lcov.Report) (lcov.Report, error) {
	actual := map[string]string{}
	if o.replacements != "" {
		pairs, err := lines(o.replacements)
		if err != nil {
			return nil, err
		}
		for _, pair := range pairs {
			reported, path, ok := strings.Cut(pair, ":")
			if !ok {
				return nil, fmt.Errorf("%s: %q is not reported:actual", o.replacements, pair)
			}
			actual[reported] = path
		}
	}
	keep := func(string) bool { return true }
	if o.manifest != "" {
		sources, err := lines(o.manifest)
		if err != nil {
			return nil, err
		}
		known := map[string]bool{}
		for _, source := range sources {
			known[source] = true
		}
		keep = func(path string) bool { return known[path] }
	}
	chosen := lcov.Report{}
	for _, path := range slices.Sorted(maps.Keys(report)) {
		file := report[path]
		if replaced, ok := actual[path]; ok {
			path = replaced
		}
		if keep(path) && !slices.ContainsFunc(o.filter, func(p *regexp.Regexp) bool { return p.MatchString(path) }) {
			chosen.Add(lcov.Report{path: file})
		}
	}
	return chosen, nil
}

// lines returns the lines of a file that are not empty.
func lines(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []string
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			found = append(found, line)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return found, nil
}
