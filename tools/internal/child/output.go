package child

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"sync"
)

// Bounds of a Tail: how many lines it keeps, and how many bytes of each.
const (
	TailLines     = 30
	TailLineBytes = 2000
)

// Tail keeps the last lines that are written to it, TailLines of them, each cut
// after TailLineBytes. It leaves out the stack traces of Go programs, which would
// push out the line before them that says why. The zero value is ready to use; all
// methods may be called concurrently.
type Tail struct {
	mu      sync.Mutex
	lines   []string
	partial []byte
	inTrace bool
}

var _ io.Writer = (*Tail)(nil)

// Write never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for rest := p; ; {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if room := TailLineBytes - len(t.partial); room > 0 {
			t.partial = append(t.partial, line[:min(room, len(line))]...)
		}
		if !found {
			return len(p), nil
		}
		t.keep(string(bytes.TrimSuffix(t.partial, []byte("\r"))))
		t.partial, rest = t.partial[:0], after
	}
}

func (t *Tail) keep(line string) {
	if t.inTrace = traceStart.MatchString(line) || t.inTrace && traceLine.MatchString(line); t.inTrace {
		return
	}
	if len(t.lines) == TailLines {
		copy(t.lines, t.lines[1:])
		t.lines = t.lines[:TailLines-1]
	}
	t.lines = append(t.lines, line)
}

// What the Go runtime prints of a goroutine: its state, then pairs of a call
// and its place, an empty line at the end.
var (
	traceStart = regexp.MustCompile(`^goroutine \d+ .*\[.*\]:$`)
	traceLine  = regexp.MustCompile(`^$|^\t|^created by |^\.\.\.|^[\w./\-]+(\.|\().*\)$`)
)

// Lines returns the last lines, oldest first, the unfinished one included.
func (t *Tail) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := slices.Clone(t.lines)
	if len(t.partial) > 0 {
		lines = append(lines, string(t.partial))
	}
	return lines
}

// Dropping returns a writer to w that never fails, and drops what w does not take: an
// error would end the reading of a child's output.
func Dropping(w io.Writer) io.Writer { return droppingWriter{w} }

type droppingWriter struct{ to io.Writer }

func (w droppingWriter) Write(p []byte) (int, error) {
	_, _ = w.to.Write(p) // see Dropping
	return len(p), nil
}

// maxLine bounds what EachLine holds of a line without an end.
const maxLine = 1 << 20

// EachLine returns a writer that calls handle for each line, without its end. It
// drops a line of more than 1 MiB. It is for one goroutine, and handle must not
// keep the slice. A last line without an end is not handed over.
func EachLine(handle func(line []byte)) io.Writer { return &lineWriter{handle: handle} }

type lineWriter struct {
	handle  func([]byte)
	partial []byte
	tooLong bool
}

// Write never fails: an error would end the reading of the child's output, and so
// the child.
func (w *lineWriter) Write(p []byte) (int, error) {
	for rest := p; ; {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if w.tooLong = w.tooLong || len(w.partial)+len(line) > maxLine; w.tooLong {
			w.partial = w.partial[:0]
		} else {
			w.partial = append(w.partial, line...)
		}
		if !found {
			return len(p), nil
		}
		if !w.tooLong {
			w.handle(w.partial)
		}
		w.partial, w.tooLong, rest = w.partial[:0], false, after
	}
}
