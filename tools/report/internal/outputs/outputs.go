// Package outputs reads what a shard on a leased environment leaves in its undeclared
// outputs (test.outputs): what tools/fixture/client writes by Artifacts, tools/ginkgo by
// failed spec, and the suite of metrics. The form of each is that writer's; all files are
// optional, and the outputs of any other test read as a list of names.
package outputs

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"stormgate.internal/tools/cluster/api"
)

// fileLimit bounds what is read of one file at once, in bytes. Logs are read line by line.
const fileLimit = 16 << 20

// Outputs are one shard's. Close them when nothing more is read.
type Outputs struct {
	// Attestation is nil without attestation.json, Boot without boot.json.
	Attestation *Attestation
	Boot        *api.Report
	// Events are those of all namespaces, the oldest first.
	Events []Event
	// Logs are the containers', sorted by file.
	Logs []Log
	// Objects are the lease's, as YAML, by namespace.
	Objects map[string]string
	// Specs are the files of failed specs.
	Specs []Spec
	// Requests are what the lease's clients asked the API server, LeftOut how many more.
	Requests []Request
	LeftOut  int
	// Faults are those that a proxy injected for this shard's specs.
	Faults []Fault
	// Metrics are expositions by file, such as metrics-before.txt.
	Metrics map[string]string
	// Others are the names of all other files.
	Others []string

	files fs.FS
	close func() error
}

// Attestation is what attestation.json says. What the fields mean is in CONTRIBUTING, When
// a scenario fails.
type Attestation struct {
	Lease       string   `json:"lease"`
	Environment string   `json:"environment"`
	Digest      string   `json:"digest"`
	Cluster     string   `json:"cluster"`
	Provider    string   `json:"provider"`
	Slot        int      `json:"slot"`
	Waited      float64  `json:"waited"`
	Exclusive   float64  `json:"exclusive"`
	Restarts    int      `json:"restarts"`
	Verdict     string   `json:"verdict"`
	Changes     []Change `json:"changes"`
}

// Change is something that happened to an environment.
type Change struct {
	Kind     string    `json:"kind"`
	Time     time.Time `json:"time"`
	What     string    `json:"what"`
	Who      string    `json:"who"`
	Pod      string    `json:"pod"`
	Expected bool      `json:"expected"`
}

// Request is one to the API server.
type Request struct {
	At       time.Time `json:"at"`
	Verb     string    `json:"verb"`
	Resource string    `json:"resource"`
	// Code is 0 without an answer.
	Code    int     `json:"code"`
	Error   string  `json:"error"`
	Seconds float64 `json:"seconds"`
}

// Fault is one that a proxy before the API server injected. Ended is zero for one that was
// still there at the end.
type Fault struct {
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	Rule  struct {
		ID    string `json:"id"`
		Match struct {
			Namespace string   `json:"namespace"`
			Verbs     []string `json:"verbs"`
			Resource  string   `json:"resource"`
		} `json:"match"`
		Count int `json:"count"`
		Fault struct {
			Kind  string `json:"kind"`
			Code  int    `json:"code"`
			Delay string `json:"delay"`
		} `json:"fault"`
	} `json:"rule"`
	Hits int `json:"hits"`
}

// Log is a container's.
type Log struct {
	Namespace, Pod, Container string
	// Previous is that of the run before the last restart.
	Previous bool
	file     string
}

// Open reads a folder, or an archive as Bazel makes one without
// --nozip_undeclared_test_outputs. The error satisfies errors.Is(err, fs.ErrNotExist) if
// there is neither. Problems are files that can't be read; all others are there.
func Open(name string) (o *Outputs, problems []error, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, nil, fmt.Errorf("read outputs: %w", err)
	}
	o = &Outputs{Objects: map[string]string{}, Metrics: map[string]string{}, close: func() error { return nil }}
	if info.IsDir() {
		o.files = os.DirFS(name)
	} else {
		archive, err := zip.OpenReader(name)
		if err != nil {
			return nil, nil, fmt.Errorf("read outputs: %s: %w", name, err)
		}
		o.files, o.close = archive, archive.Close
	}
	return o, o.read(), nil
}

// Close closes the archive.
func (o *Outputs) Close() error { return o.close() }

func (o *Outputs) read() []error {
	var problems []error
	err := fs.WalkDir(o.files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			problems = append(problems, err)
			return nil
		}
		if entry.IsDir() || !entry.Type().IsRegular() {
			return nil // whoever follows a link reads what no test wrote
		}
		if err := o.take(name); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
		return nil
	})
	slices.SortStableFunc(o.Events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	if err != nil {
		problems = append(problems, err)
	}
	return problems
}

// take reads a file, or notes where it is.
func (o *Outputs) take(name string) error {
	folder, base := path.Split(name)
	folder = strings.TrimSuffix(folder, "/")
	switch {
	case name == "attestation.json":
		return o.decode(name, &o.Attestation)
	case name == "boot.json":
		return o.decode(name, &o.Boot)
	case name == "faults.json":
		return o.decode(name, &o.Faults)
	case name == "requests.json":
		var file struct {
			Requests []Request `json:"requests"`
			LeftOut  int       `json:"leftOut"`
		}
		err := o.decode(name, &file)
		o.Requests, o.LeftOut = file.Requests, file.LeftOut
		return err
	case folder == "events" && strings.HasSuffix(base, ".txt"):
		content, err := o.content(name)
		events, eventErr := parseEvents(strings.TrimSuffix(base, ".txt"), content)
		o.Events = append(o.Events, events...)
		return errors.Join(err, eventErr)
	case folder == "objects" && strings.HasSuffix(base, ".yaml"):
		content, err := o.content(name)
		o.Objects[strings.TrimSuffix(base, ".yaml")] = string(content)
		return err
	case folder == "specs" && strings.HasSuffix(base, ".txt"):
		content, err := o.content(name)
		o.Specs = append(o.Specs, parseSpec(string(content)))
		return err
	case folder == "" && strings.HasPrefix(base, "metrics-"):
		content, err := o.content(name)
		o.Metrics[base] = string(content)
		return err
	case strings.HasPrefix(name, "logs/") && strings.HasSuffix(base, ".log"):
		parts := strings.Split(name, "/")
		if len(parts) != 4 {
			o.Others = append(o.Others, name)
			return nil
		}
		container, previous := strings.CutSuffix(strings.TrimSuffix(base, ".log"), ".previous")
		o.Logs = append(o.Logs, Log{Namespace: parts[1], Pod: parts[2], Container: container, Previous: previous, file: name})
		return nil
	}
	o.Others = append(o.Others, name)
	return nil
}

func (o *Outputs) decode(name string, into any) error {
	content, err := o.content(name)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

// content reads a file up to fileLimit. It returns what it could read with an error.
func (o *Outputs) content(name string) ([]byte, error) {
	file, err := o.files.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, fileLimit+1))
	if err == nil && len(content) > fileLimit {
		return content[:fileLimit], fmt.Errorf("it has more than %d MiB, of which the rest was not read", fileLimit>>20)
	}
	return content, err
}
