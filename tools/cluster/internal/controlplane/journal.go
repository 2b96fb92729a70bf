package controlplane

import (
	"fmt"
	"io"
	"os"
	"sync"

	"stormgate.internal/tools/internal/child"
)

// journalBytes is the size at which a log file is set aside, so that a cluster that
// stays up for days does not fill the disk.
const journalBytes = 32 << 20

// Journal is where a component's output goes: a file, of which at most two
// times 32 MiB are kept (NAME and NAME.1), and the last lines, in memory. A full disk
// costs lines in the file, never the component nor the tail.
type Journal struct {
	// OnError gets the error of the first write to the file that fails. Optional.
	OnError func(error)

	mu      sync.Mutex
	path    string
	file    *os.File
	written int64
	failed  bool
	tail    child.Tail
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
	j.tail.Write(p)
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

// Tail returns the last lines, oldest first, the unfinished one included.
func (j *Journal) Tail() []string { return j.tail.Lines() }

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
