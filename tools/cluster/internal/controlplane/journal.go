package controlplane

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"sync"
)

const (
	// tailLines is how many lines a failure report quotes.
	tailLines = 30
	// tailLineBytes bounds one quoted line; kube-apiserver can log whole objects.
	tailLineBytes = 2000
	// journalBytes is the size at which a log file is set aside, so that a
	// cluster that stays up for days does not fill the disk.
	journalBytes = 32 << 20
)

// Journal is where a component's output goes: a file, of which at most two
// times 32 MiB are kept (NAME and NAME.1), and the last 30 lines, stack traces left out, in memory. A
// full disk costs lines in the file, never the component nor the tail.
type Journal struct {
	// OnError gets the error of the first write to the file that fails. Optional.
	OnError func(error)

	mu      sync.Mutex
	path    string
	file    *os.File
	written int64
	failed  bool
	tail    []string
	partial []byte
	inTrace bool
}

var _ io.WriteCloser = (*Journal)(nil)

// OpenJournal returns a journal that writes to path, truncating what was there.
func OpenJournal(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return &Journal{path: path, file: file}, nil
}

// Write never fails: to stop reading would stop the component.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.remember(p)
	if j.file != nil {
		if err := j.store(p); err != nil && !j.failed {
			j.failed = true
			if j.OnError != nil {
				j.OnError(fmt.Errorf("write log: %w", err))
			}
		}
	}
	return len(p), nil
}

func (j *Journal) store(p []byte) error {
	if j.written+int64(len(p)) > journalBytes {
		if err := os.Rename(j.path, j.path+".1"); err != nil {
			return err
		}
		next, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		j.file.Close()
		j.file, j.written = next, 0
	}
	n, err := j.file.Write(p)
	j.written += int64(n)
	return err
}

func (j *Journal) remember(p []byte) {
	for {
		line, rest, found := bytes.Cut(p, []byte("\n"))
		if room := tailLineBytes - len(j.partial); room > 0 {
			j.partial = append(j.partial, line[:min(room, len(line))]...)
		}
		if !found {
			return
		}
		j.keep(string(j.partial))
		j.partial, p = j.partial[:0], rest
	}
}

// keep adds a line to the tail unless it belongs to a stack trace: those would
// push out the line that says why, which comes before them.
func (j *Journal) keep(line string) {
	if j.inTrace = traceStart.MatchString(line) || j.inTrace && traceLine.MatchString(line); j.inTrace {
		return
	}
	if len(j.tail) == tailLines {
		copy(j.tail, j.tail[1:])
		j.tail = j.tail[:tailLines-1]
	}
	j.tail = append(j.tail, line)
}

// What the Go runtime prints of a goroutine: its state, then pairs of a call
// and its place, an empty line at the end.
var (
	traceStart = regexp.MustCompile(`^goroutine \d+ .*\[.*\]:$`)
	traceLine  = regexp.MustCompile(`^$|^\t|^created by |^\.\.\.|^[\w./\-]+(\.|\().*\)$`)
)

// Tail returns the last lines, oldest first, the unfinished one included.
func (j *Journal) Tail() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	tail := append([]string(nil), j.tail...)
	if len(j.partial) > 0 {
		tail = append(tail, string(j.partial))
	}
	return tail
}

// Close closes the file; later output is only remembered.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}
