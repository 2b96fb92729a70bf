package process

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	stdoutName = "stdout"
	stderrName = "stderr"

	outputBuffer = 16 << 10
	// audienceQueue times outputBuffer is how far an attached client may lag.
	audienceQueue = 64
)

// output takes a container's output to its log and to those attached to it.
type output struct {
	log     *logFile
	logger  *slog.Logger
	copiers sync.WaitGroup

	logFailed sync.Once

	mu       sync.Mutex
	audience map[*listener]struct{}
	ended    bool
}

func newOutput(log *logFile, logger *slog.Logger) *output {
	return &output{log: log, logger: logger, audience: map[*listener]struct{}{}}
}

// copyFrom starts copying a process's output streams.
func (o *output) copyFrom(p *process) {
	for name, stream := range map[string]*os.File{stdoutName: p.stdout, stderrName: p.stderr} {
		if stream != nil {
			o.copiers.Go(func() { o.copy(name, stream) })
		}
	}
}

// copy ends with the stream. A full disk must not stop the container, so a
// log that cannot be written is reported once and the output dropped.
func (o *output) copy(name string, stream io.Reader) {
	report := func(err error) {
		if err != nil {
			o.logFailed.Do(func() { o.logger.Error("container output is lost", "log", o.log.path, "error", err) })
		}
	}
	buffer := make([]byte, outputBuffer)
	for {
		n, err := stream.Read(buffer)
		if n > 0 {
			report(o.log.write(name, buffer[:n]))
			o.broadcast(name, buffer[:n])
		}
		if err != nil { // end of file; EIO from a terminal that no process has open; or drain's deadline
			report(o.log.end(name))
			return
		}
	}
}

// drain waits for the rest of an ended process's output, then ends the log
// and all attached sessions.
func (o *output) drain(p *process) {
	setDrainDeadline(p)
	o.copiers.Wait()
	o.log.close()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	for l := range o.audience {
		close(l.queue)
	}
	clear(o.audience)
}

// setDrainDeadline bounds the wait for output of a process that has ended.
func setDrainDeadline(p *process) {
	for _, f := range []*os.File{p.stdout, p.stderr} {
		if f != nil {
			_ = f.SetReadDeadline(time.Now().Add(drainTime)) // fails only for a closed file
		}
	}
}

// listener is one attached session.
type listener struct {
	queue chan chunk // closed when the output ended or the session lagged too far
	// lagged is set before queue is closed for that reason.
	lagged bool
}

type chunk struct {
	stream string
	data   []byte
}

// listen adds a session. It must be ended with leave.
func (o *output) listen() *listener {
	l := &listener{queue: make(chan chunk, audienceQueue)}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		close(l.queue)
	} else {
		o.audience[l] = struct{}{}
	}
	return l
}

func (o *output) leave(l *listener) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, listening := o.audience[l]; listening {
		delete(o.audience, l)
		close(l.queue) // deliver ends, too
	}
}

// broadcast never waits: a client that does not read must stop neither the
// container nor the others.
func (o *output) broadcast(name string, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.audience) == 0 {
		return
	}
	c := chunk{stream: name, data: append([]byte(nil), data...)}
	for l := range o.audience {
		select {
		case l.queue <- c:
		default:
			l.lagged = true
			close(l.queue)
			delete(o.audience, l)
		}
	}
}

// deliver writes the output to a client, until it ends or the client fails.
// Nil writers discard.
func (l *listener) deliver(stdout, stderr io.Writer) error {
	for c := range l.queue {
		w := stdout
		if c.stream == stderrName {
			w = stderr
		}
		if w == nil {
			continue
		}
		if _, err := w.Write(c.data); err != nil {
			return fmt.Errorf("write to attached client: %w", err)
		}
	}
	if l.lagged {
		return fmt.Errorf("attached client did not read for %d KiB of output and was cut off", audienceQueue*outputBuffer>>10)
	}
	return nil
}
