// Package collect adds the coverage of programs that run beside a test to that of the
// test: `bazel coverage` merges what lies in COVERAGE_DIR. Such programs are built with
// package agent.
package collect

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"stormgate.internal/tools/coverage/covdata"
	"stormgate.internal/tools/coverage/lcov"
	"stormgate.internal/tools/coverage/live"
)

// Variables that Bazel sets for tests under `bazel coverage`.
const (
	// DirVariable is the directory in which tests leave tracefiles, NAME.dat.
	DirVariable = "COVERAGE_DIR"
	// ManifestVariable is the file that lists the sources of which coverage is wanted.
	ManifestVariable = "COVERAGE_MANIFEST"
)

// Wanted reports whether this is a test under `bazel coverage`.
func Wanted() bool { return os.Getenv(DirVariable) != "" && os.Getenv(ManifestVariable) != "" }

// Collector turns snapshots into tracefiles.
type Collector struct {
	dir    string
	wanted map[string]bool // sources, as Bazel knows them
}

// New returns a Collector for Bazel's variables.
func New() (*Collector, error) {
	if !Wanted() {
		return nil, fmt.Errorf("collect coverage: %s and %s are not both set: only `bazel coverage` wants any", DirVariable, ManifestVariable)
	}
	c := &Collector{dir: os.Getenv(DirVariable), wanted: map[string]bool{}}
	manifest, err := os.Open(os.Getenv(ManifestVariable))
	if err != nil {
		return nil, fmt.Errorf("collect coverage: %w", err)
	}
	defer manifest.Close()
	lines := bufio.NewScanner(manifest)
	for lines.Scan() {
		if source := strings.TrimSpace(lines.Text()); source != "" {
			c.wanted[source] = true
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("collect coverage: read %s: %w", ManifestVariable, err)
	}
	return c, nil
}

// Add adds a snapshot to the test's coverage, in the place of one with the same name:
// counters are those since the process began, so let the name be the process's. It returns
// the files of which coverage is not wanted, since they are in no manifest: they were
// instrumented for nothing.
func (c *Collector) Add(name string, s live.Snapshot) (unwanted []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("collect coverage of %s: %w", name, err)
		}
	}()
	meta, err := covdata.ParseMeta(s.Meta)
	if err != nil {
		return nil, err
	}
	blocks, err := meta.Blocks(s.Counters)
	if err != nil {
		return nil, err
	}
	report := lcov.Report{}
	for file, counts := range covdata.Lines(blocks) {
		source, ok := s.Sources[file]
		if !ok {
			return nil, fmt.Errorf("which source %s is, the program does not say; it says that of %d files", file, len(s.Sources))
		}
		if !c.wanted[source] {
			unwanted = append(unwanted, source)
			continue
		}
		for line, count := range counts {
			report.AddLine(source, line, count)
		}
	}
	var text bytes.Buffer
	if err := report.Write(&text); err != nil {
		return unwanted, err
	}
	return unwanted, write(filepath.Join(c.dir, "live."+strings.NewReplacer("/", ".", " ", "_").Replace(name)+".dat"), text.Bytes())
}

// write replaces a file whole: a reader never sees half of one.
func write(path string, content []byte) error {
	// Bazel merges what ends with .dat.
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// SourcesFile is the name of a file that Keep writes beside those that go tool covdata
// reads: Snapshot.Sources, as JSON.
const SourcesFile = "sources.json"

// Keep writes a process's snapshot into a directory of its own as GOCOVERDIR has it, for
// `go tool covdata`, in the place of an earlier one.
func Keep(dir string, s live.Snapshot) error {
	err := func() error {
		meta, err := covdata.ParseMeta(s.Meta)
		if err != nil {
			return err
		}
		sources, err := json.Marshal(s.Sources)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		return errors.Join(
			write(filepath.Join(dir, SourcesFile), sources),
			write(filepath.Join(dir, meta.MetaFile()), s.Meta),
			write(filepath.Join(dir, meta.CounterFile(1, 1)), s.Counters),
		)
	}()
	if err != nil {
		return fmt.Errorf("keep coverage: %w", err)
	}
	return nil
}
