// Package history keeps a short record of each run, and says what many of them show: how
// often a spec fails, how often it changes its mind, how long it takes, and what that many
// runs prove.
package history

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"stormgate.internal/tools/report/internal/run"
)

// version of the records' form. Others are passed over.
const version = 1

// Record is a run in short.
type Record struct {
	Version    int       `json:"version"`
	Invocation string    `json:"invocation"`
	Started    time.Time `json:"started"`
	Seconds    float64   `json:"seconds"`
	Verdict    string    `json:"verdict"`
	Options    []string  `json:"options,omitempty"`
	// Boots are how long the clusters of this run took to be ready, in seconds.
	Boots  []float64 `json:"boots,omitempty"`
	Shards []Shard   `json:"shards"`
	Specs  []Spec    `json:"specs"`
}

// Shard is what a shard's result depended on, as far as the run's files say.
type Shard struct {
	Target      string  `json:"target"`
	Shard       int     `json:"shard"`
	Of          int     `json:"of"`
	Run         int     `json:"run"`
	Cached      bool    `json:"cached,omitempty"`
	Verdict     string  `json:"verdict"`
	Seconds     float64 `json:"seconds"`
	Program     string  `json:"program,omitempty"`
	Environment string  `json:"environment,omitempty"`
	Digest      string  `json:"digest,omitempty"`
	Cluster     string  `json:"cluster,omitempty"`
}

// Spec is a result of a spec that ran in this run; cached ones are none.
type Spec struct {
	Target  string  `json:"target"`
	Name    string  `json:"name"`
	Verdict string  `json:"verdict"`
	Seconds float64 `json:"seconds"`
}

// Of makes the record of a run.
func Of(r *run.Run) Record {
	record := Record{
		Version: version, Invocation: r.Invocation, Started: r.Started, Seconds: r.Seconds, Verdict: string(r.Verdict), Options: r.Options,
	}
	for _, b := range r.Cluster.Boots {
		if !b.Before {
			record.Boots = append(record.Boots, b.Ready)
		}
	}
	for _, s := range r.Shards {
		if s.Final {
			one := Shard{Target: s.Target, Shard: s.Shard, Of: s.Of, Run: s.Run, Cached: s.Cached != "", Verdict: string(s.Verdict), Seconds: s.Duration, Program: s.Program}
			if s.Lease != nil {
				// After the digest stand size and time of the program's file.
				cluster, _, _ := strings.Cut(s.Lease.Cluster, " ")
				one.Environment, one.Digest, one.Cluster = s.Lease.Environment, s.Lease.Digest, cluster
			}
			record.Shards = append(record.Shards, one)
		}
		if s.Cached != "" {
			continue
		}
		for _, c := range s.Cases {
			if c.Spec && c.Verdict != run.Skipped {
				record.Specs = append(record.Specs, Spec{s.Target, c.Name, string(c.Verdict), c.Duration})
			}
		}
	}
	return record
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// Save writes a record into a folder, which it makes. A record of the same run is replaced.
func Save(folder string, r Record) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("keep the run: %w", err)
	}
	content, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("keep the run: %w", err)
	}
	name := r.Started.UTC().Format("20060102T150405.000Z") + "-" + notInNames.ReplaceAllString(r.Invocation, "-") + ".json"
	file, err := os.CreateTemp(folder, ".run-*")
	if err != nil {
		return fmt.Errorf("keep the run: %w", err)
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(folder, name))
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the first error says what is wrong
		return fmt.Errorf("keep the run: %w", err)
	}
	return nil
}

// Load reads the records of a folder, the oldest first, at most limit of the newest. A
// folder that is not there has none. Problems are files that are no records.
func Load(folder string, limit int) (records []Record, problems []string, err error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read history: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names[max(0, len(names)-limit):] {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err == nil {
			var r Record
			if r, err = Parse(content); err == nil {
				records = append(records, r)
			}
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("history: %s: %v", name, err))
		}
	}
	Sort(records)
	return records, problems, nil
}

// Parse reads a record.
func Parse(content []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(content, &r); err != nil {
		return r, err
	}
	if r.Version != version {
		return r, fmt.Errorf("it is of version %d, not %d", r.Version, version)
	}
	return r, nil
}

// Sort puts the oldest first.
func Sort(records []Record) {
	slices.SortStableFunc(records, func(a, b Record) int {
		return cmp.Or(a.Started.Compare(b.Started), strings.Compare(a.Invocation, b.Invocation))
	})
}

// Before returns the latest record that is older than this one, nil if there is none.
func Before(records []Record, this Record) *Record {
	for i := len(records) - 1; i >= 0; i-- {
		if r := &records[i]; r.Invocation != this.Invocation && r.Started.Before(this.Started) {
			return r
		}
	}
	return nil
}
