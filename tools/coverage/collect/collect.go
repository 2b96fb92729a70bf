// Package collect adds the coverage of programs that run beside a test to that of the
// test: `bazel coverage` merges what lies in COVERAGE_DIR. Such programs are built with
// package agent.
package collect

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
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
	dir string
	// sources are paths as Bazel knows them, by the name of the file.
	sources map[string][]string
}

// New returns a Collector for Bazel's variables.
func New() (*Collector, error) {
	if !Wanted() {
		return nil, fmt.Errorf("collect coverage: %s and %s are not both set: only `bazel coverage` wants any", DirVariable, ManifestVariable)
	}
	c := &Collector{dir: os.Getenv(DirVariable), sources: map[string][]string{}}
	manifest, err := os.Open(os.Getenv(ManifestVariable))
	if err != nil {
		return nil, fmt.Errorf("collect coverage: %w", err)
	}
	defer manifest.Close()
	lines := bufio.NewScanner(manifest)
	for lines.Scan() {
		if source := strings.TrimSpace(lines.Text()); source != "" {
			c.sources[path.Base(source)] = append(c.sources[path.Base(source)], source)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("collect coverage: read %s: %w", ManifestVariable, err)
	}
	return c, nil
}

// source finds the source that a file of a snapshot is, like
// example.com/service/storm/window.go: the longest of the manifest that it ends with. Go's
// names begin with the module's path, which is none of the file system.
func (c *Collector) source(file string) (string, bool) {
	best := ""
	for _, source := range c.sources[path.Base(file)] {
		if (file == source || strings.HasSuffix(file, "/"+source)) && len(source) > len(best) {
			best = source
		}
	}
	return best, best != ""
}

// Add adds a snapshot, under a name that no other has. It returns the files of which
// coverage is not wanted, since they are in no manifest: they were instrumented for
// nothing.
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
		source, ok := c.source(file)
		if !ok {
			unwanted = append(unwanted, file)
			continue
		}
		for line, count := range counts {
			report.AddLine(source, line, count)
		}
	}
	file := filepath.Join(c.dir, "live."+strings.NewReplacer("/", ".", " ", "_").Replace(name)+".dat")
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return unwanted, err
	}
	return unwanted, errors.Join(report.Write(out), out.Close())
}

// Keep writes a snapshot into a directory as GOCOVERDIR has it, for `go tool covdata`.
// Process and serial number must differ between the snapshots of one directory.
func Keep(dir string, s live.Snapshot, process, serial int) error {
	meta, err := covdata.ParseMeta(s.Meta)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, meta.MetaFile()), s.Meta, 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, meta.CounterFile(process, serial)), s.Counters, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep coverage: %w", err)
	}
	return nil
}
