package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxLogLine is where a long line is cut into partial ones, as other runtimes
// do: readers of logs size their buffers by it.
const maxLogLine = 16 << 10

// logFile writes a container's output in the kubelet's format: time, stream, P
// for a part of a line or F for the rest of it, text.
type logFile struct {
	path string

	mu      sync.Mutex
	file    *os.File // nil when the container is not logged, or after close
	pending map[string][]byte
	buffer  []byte
}

// openLog opens the log at path for appending; an empty path makes a log that
// keeps nothing.
func openLog(path string) (*logFile, error) {
	l := &logFile{path: path, pending: map[string][]byte{}}
	if path == "" {
		return l, nil
	}
	file, err := openLogFile(path)
	if err != nil {
		return nil, err
	}
	l.file = file
	return l, nil
}

func openLogFile(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return file, nil
}

// write logs output of a stream. What does not end in a newline is kept until
// its line is complete, has become too long or the stream ends.
func (l *logFile) write(stream string, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	now := time.Now()
	l.buffer = l.buffer[:0]
	text := append(l.pending[stream], data...)
	for len(text) > 0 {
		end := bytes.IndexByte(text, '\n')
		switch {
		case end >= 0 && end <= maxLogLine:
			l.line(now, stream, 'F', text[:end])
			text = text[end+1:]
		case len(text) > maxLogLine:
			l.line(now, stream, 'P', text[:maxLogLine])
			text = text[maxLogLine:]
		default:
			l.pending[stream] = append(l.pending[stream][:0], text...)
			return l.flush()
		}
	}
	l.pending[stream] = l.pending[stream][:0]
	return l.flush()
}

// end logs what is left of a stream without a newline at its end.
func (l *logFile) end(stream string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := l.pending[stream]
	delete(l.pending, stream)
	if l.file == nil || len(rest) == 0 {
		return nil
	}
	l.buffer = l.buffer[:0]
	l.line(time.Now(), stream, 'P', rest)
	return l.flush()
}

func (l *logFile) line(now time.Time, stream string, tag byte, text []byte) {
	l.buffer = now.AppendFormat(l.buffer, time.RFC3339Nano)
	l.buffer = append(l.buffer, ' ')
	l.buffer = append(l.buffer, stream...)
	l.buffer = append(l.buffer, ' ', tag, ' ')
	l.buffer = append(l.buffer, text...)
	l.buffer = append(l.buffer, '\n')
}

func (l *logFile) flush() error {
	if len(l.buffer) == 0 {
		return nil
	}
	n, err := l.file.Write(l.buffer)
	if err != nil && n > 0 {
		// Readers trip over half a line, so the whole piece goes.
		if info, statErr := l.file.Stat(); statErr == nil {
			err = errors.Join(err, l.file.Truncate(info.Size()-int64(n)))
		}
	}
	return err
}

// reopen goes on in a new file at the log's path. On an error the old file
// stays in use.
func (l *logFile) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		if l.path == "" {
			return nil
		}
		return errors.New("the log is closed")
	}
	file, err := openLogFile(l.path)
	if err != nil {
		return err
	}
	err = l.file.Close()
	l.file = file
	return err
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close() // each write's error was reported
		l.file = nil
	}
}
