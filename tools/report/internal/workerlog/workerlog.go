// Package workerlog reads the log of the fixture's worker (tools/fixture), which Bazel
// keeps in bazel-workers of its output base: when clusters booted, environments were
// deployed, and leases had which slot. The lines are those of log/slog's TextHandler.
//
// The log is that of a Bazel server, and has many builds in it. Nothing depends on it: the
// shards' own reports say the same less exactly.
package workerlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Log is what happened in a worker's life.
type Log struct {
	Boots   []Boot
	Deploys []Deploy
	Leases  []Lease
	// Redeploys say why environments were deployed anew, in the order of time.
	Redeploys []Redeploy
	// Unread counts lines that are none of slog's.
	Unread int
}

// Boot is a cluster's life.
type Boot struct {
	// Cluster is the label of the cluster; empty if the log does not say.
	Cluster string
	Number  int
	Start   time.Time
	// Ready is when its last step was done; zero if none was.
	Ready time.Time
	// End is zero while it runs.
	End time.Time
	// Failure says why it failed; empty if it did not.
	Failure string
	Steps   []Step
}

// Step is a part of a boot.
type Step struct {
	Name       string
	Start, End time.Time
}

// Deploy is a deployment of an environment.
type Deploy struct {
	Number      int
	Environment string
	// Replaces names other environments that had to make way.
	Replaces string
	// Start and End; End is zero where the log ends before.
	Start, End time.Time
	Failure    string
}

// Lease is one from the request to its end.
type Lease struct {
	ID, Environment, Holder string
	Slot                    int
	Exclusive               bool
	// Asked, Slotted (when it got its slot) and Granted (when the environment was ready
	// for it) are in this order. Ended is zero where the log ends before.
	Asked, Slotted, Granted, Ended time.Time
	// Alone are the times in which it had the environment for itself.
	Alone []Alone
}

// Alone is a time of an exclusive use. Asked is when it began to wait for it.
type Alone struct{ Asked, Start, End time.Time }

// Redeploy says why an environment is deployed anew.
type Redeploy struct {
	Environment, Why string
	Time             time.Time
}

const lineLimit = 1 << 20

// Read reads a log. What can't be read is passed over.
func Read(r io.Reader) (*Log, error) {
	log := &Log{}
	reader := bufio.NewReaderSize(r, lineLimit)
	for {
		line, err := reader.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = reader.ReadSlice('\n')
			}
			log.Unread++
			line = nil
		}
		if text := strings.TrimSpace(string(line)); text != "" {
			log.take(text)
		}
		if errors.Is(err, io.EOF) {
			return log, nil
		}
		if err != nil {
			return log, fmt.Errorf("read worker log: %w", err)
		}
	}
}

func (l *Log) take(line string) {
	f := fields(line)
	at, err := time.Parse(time.RFC3339Nano, f["time"])
	if err != nil {
		l.Unread++
		return
	}
	at = at.UTC()
	switch f["msg"] {
	case "cluster boot started":
		l.Boots = append(l.Boots, Boot{Cluster: f["cluster label"], Number: number(f["boot"]), Start: at})
	case "cluster step":
		if b := l.boot(f["cluster label"]); b != nil {
			end := at
			begin := end.Add(-duration(f["end"]+"s") + duration(f["start"]+"s"))
			b.Steps = append(b.Steps, Step{Name: f["step"], Start: begin, End: end})
			b.Ready = at
		}
	case "cluster stopped", "cluster failed":
		if b := l.boot(f["cluster label"]); b != nil {
			b.End, b.Failure = at, f["error"]
		}
	case "environment deployment started":
		l.Deploys = append(l.Deploys, Deploy{Number: number(f["deploy"]), Environment: f["environment"], Replaces: f["replaces"], Start: at})
	case "environment deployed", "environment deployment failed", "environment needs another cluster":
		for i := len(l.Deploys) - 1; i >= 0; i-- {
			if d := &l.Deploys[i]; d.Number == number(f["deploy"]) && d.End.IsZero() {
				d.End, d.Failure = at, f["error"]+f["why"]
				break
			}
		}
	case "environment is deployed anew":
		l.Redeploys = append(l.Redeploys, Redeploy{Environment: f["environment"], Why: f["why"], Time: at})
	case "lease granted":
		asked := at.Add(-duration(f["waited"]))
		l.Leases = append(l.Leases, Lease{
			ID: f["lease"], Environment: f["environment"], Holder: f["holder"], Slot: number(f["slot"]), Exclusive: f["exclusive"] == "true",
			Asked: asked, Slotted: asked.Add(duration(f["slotted"])), Granted: at,
		})
	case "lease is exclusive", "lease is shared again", "lease ended":
		lease := l.lease(f["lease"])
		if lease == nil {
			return
		}
		waited := duration(f["waited"] + "s")
		last := len(lease.Alone) - 1
		switch f["msg"] {
		case "lease is exclusive":
			lease.Alone = append(lease.Alone, Alone{Asked: at.Add(-waited), Start: at})
		case "lease is shared again":
			if last >= 0 && lease.Alone[last].End.IsZero() {
				lease.Alone[last].End = at.Add(-waited)
			}
		default:
			lease.Ended = at
			if last >= 0 && lease.Alone[last].End.IsZero() {
				lease.Alone[last].End = at
			}
		}
	}
}

// boot is the latest of a cluster.
func (l *Log) boot(cluster string) *Boot {
	for i := len(l.Boots) - 1; i >= 0; i-- {
		if l.Boots[i].Cluster == cluster {
			return &l.Boots[i]
		}
	}
	return nil
}

func (l *Log) lease(id string) *Lease {
	for i := len(l.Leases) - 1; i >= 0; i-- {
		if l.Leases[i].ID == id {
			return &l.Leases[i]
		}
	}
	return nil
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// longest bounds what a line can claim.
const longest = 365 * 24 * time.Hour

func duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return min(max(d, -longest), longest)
}

// fields splits a line of slog's TextHandler: key=value, both quoted as Go strings where
// they need it. Of a key that comes twice the first counts, since a later one belongs to
// what was logged inside.
func fields(line string) map[string]string {
	f := map[string]string{}
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		var key, value string
		var ok bool
		if key, line, ok = token(line, '='); !ok || !strings.HasPrefix(line, "=") {
			// No pair: on with the next word.
			_, line, _ = strings.Cut(line, " ")
			continue
		}
		if value, line, ok = token(line[1:], ' '); !ok {
			return f
		}
		if _, found := f[key]; !found {
			f[key] = value
		}
	}
	return f
}

// token takes a quoted string, or all up to the separator.
func token(text string, separator byte) (value, rest string, ok bool) {
	if strings.HasPrefix(text, `"`) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", "", false
		}
		value, err = strconv.Unquote(quoted)
		return value, text[len(quoted):], err == nil
	}
	end := strings.IndexByte(text, separator)
	if space := strings.IndexByte(text, ' '); end < 0 || space >= 0 && space < end {
		end = space
	}
	if end < 0 {
		return text, "", true
	}
	return text[:end], text[end:], true
}
