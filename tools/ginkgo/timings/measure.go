package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// target is a sharded test with the measurements of its last runs.
type target struct {
	path   string // of the target below the workspace, as e2e/storm_test
	shards string // how many, as Bazel writes it
	newest time.Time
	specs  map[string][]float64 // full text -> seconds, one per run
}

func (t *target) label() string {
	return "//" + strings.TrimPrefix(path.Dir(t.path), ".") + ":" + path.Base(t.path)
}

// shardFolder is the name of a shard's folder in bazel-testlogs, with one run of the
// test or with several.
var shardFolder = regexp.MustCompile(`^shard_\d+_of_(\d+)(_run_\d+_of_\d+)?$`)

// measure finds all targets below logs whose reports tools/ginkgo wrote. After a
// change of shard_count the folders of the old shards are still there: only the
// newest count is looked at.
func measure(logs string) ([]*target, error) {
	root, err := filepath.EvalSymlinks(logs)
	if err != nil {
		return nil, fmt.Errorf("find test logs: %w; run the tests first", err)
	}
	found := map[string]*target{}
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "test.xml" {
			return err
		}
		folder := filepath.Dir(file)
		parts := shardFolder.FindStringSubmatch(filepath.Base(folder))
		if parts == nil {
			return nil
		}
		specs, err := readReport(file)
		if err != nil || specs == nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(root, filepath.Dir(folder))
		if err != nil {
			return err
		}
		name := filepath.ToSlash(inside)
		t := found[name]
		if t == nil || t.shards != parts[1] && info.ModTime().After(t.newest) {
			t = &target{path: name, shards: parts[1], specs: map[string][]float64{}}
			found[name] = t
		}
		if t.shards != parts[1] {
			return nil
		}
		if info.ModTime().After(t.newest) {
			t.newest = info.ModTime()
		}
		for text, seconds := range specs {
			t.specs[text] = append(t.specs[text], seconds...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read test logs: %w", err)
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *target) int { return strings.Compare(a.path, b.path) }), nil
}

// report is the part of test.xml that counts here.
type report struct {
	Properties []struct {
		Name string `xml:"name,attr"`
	} `xml:"testsuite>properties>property"`
	Cases []struct {
		Name    string    `xml:"name,attr"`
		File    string    `xml:"file,attr"`
		Time    float64   `xml:"time,attr"`
		Failure *struct{} `xml:"failure"`
		Error   *struct{} `xml:"error"`
		Skipped *struct{} `xml:"skipped"`
	} `xml:"testsuite>testcase"`
}

// readReport returns the times of the specs that passed; none for a report
// that tools/ginkgo did not write.
func readReport(file string) (map[string][]float64, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseReport(content), nil
}

func parseReport(content []byte) map[string][]float64 {
	var r report
	if err := xml.Unmarshal(content, &r); err != nil {
		return nil // some other test's, or cut short by a kill: no measurement
	}
	ours := false
	for _, p := range r.Properties {
		ours = ours || p.Name == "ginkgo.seed"
	}
	if !ours {
		return nil
	}
	specs := map[string][]float64{}
	for _, c := range r.Cases {
		// What is not a spec has no file.
		passed := c.Failure == nil && c.Error == nil && c.Skipped == nil
		if passed && c.File != "" && c.Time >= 0 && !math.IsInf(c.Time, 0) {
			specs[c.Name] = append(specs[c.Name], c.Time)
		}
	}
	return specs
}

// choose takes the labels' targets out of those found.
func choose(found []*target, labels []string) ([]*target, error) {
	if len(labels) == 0 {
		if len(found) == 0 {
			return nil, errors.New("no test log of a sharded Ginkgo test: run the tests first")
		}
		return found, nil
	}
	var chosen []*target
	for _, label := range labels {
		i := slices.IndexFunc(found, func(t *target) bool { return t.label() == label })
		if i < 0 {
			return nil, fmt.Errorf("%s has no test logs of shards: run it first, and write its label in full", label)
		}
		chosen = append(chosen, found[i])
	}
	return chosen, nil
}

// medians are in tenths of a second, at least one, so that small differences between
// two measurements don't change the file.
func (t *target) medians() map[string]float64 {
	medians := map[string]float64{}
	for text, all := range t.specs {
		slices.Sort(all)
		median := (all[(len(all)-1)/2] + all[len(all)/2]) / 2
		medians[text] = max(math.Round(median*10), 1) / 10
	}
	return medians
}

func (t *target) summary() string {
	sum, longest := 0.0, ""
	medians := t.medians()
	for _, text := range slices.Sorted(maps.Keys(medians)) {
		sum += medians[text]
		if longest == "" || medians[text] > medians[longest] {
			longest = text
		}
	}
	return fmt.Sprintf("%d specs, %.1f s in %s shards; the longest takes %.1f s: %s", len(medians), sum, t.shards, medians[longest], longest)
}

// writeTimings writes the file that tools/ginkgo reads, if its content changes.
func writeTimings(file string, medians map[string]float64) error {
	var content bytes.Buffer
	encoder := json.NewEncoder(&content)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(medians); err != nil {
		return fmt.Errorf("write timings: %w", err)
	}
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, content.Bytes()) {
		return nil
	}
	if err := os.WriteFile(file, content.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write timings: %w", err)
	}
	return nil
}
