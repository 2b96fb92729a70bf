package outputs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Event is one of Kubernetes' events.
type Event struct {
	Namespace string
	Time      time.Time
	// Type is Normal or Warning. Object is such as "pod/gateway-0".
	Type, Object, Reason string
	Count                int
	Message              string
}

// Spec is the file of a spec that failed.
type Spec struct {
	// Name is the spec's full text, At its place, Result the kind of failure.
	Name, At, Result string
	// Began is zero for a spec that never began.
	Began time.Time
	Took  time.Duration
	// Text is all that follows.
	Text string
}

// parseEvents reads lines such as
//
//	2026-11-29T12:00:00.5Z Normal pod/gateway-0 Started x1: Started container gateway
//
// A line that begins otherwise goes on with the message before it.
func parseEvents(namespace string, content []byte) ([]Event, error) {
	var events []Event
	lost := 0
	for line := range strings.Lines(string(content)) {
		line = strings.TrimRight(line, "\r\n")
		event, ok := parseEvent(line)
		switch {
		case ok:
			event.Namespace = namespace
			events = append(events, event)
		case len(events) > 0:
			events[len(events)-1].Message += "\n" + line
		case line != "":
			lost++
		}
	}
	if lost > 0 {
		return events, fmt.Errorf("%d lines before the first event are none", lost)
	}
	return events, nil
}

func parseEvent(line string) (Event, bool) {
	head, message, found := strings.Cut(line, ": ")
	if !found {
		head = strings.TrimSuffix(line, ":")
	}
	fields := strings.Fields(head)
	if len(fields) != 5 || !strings.HasPrefix(fields[4], "x") {
		return Event{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, fields[0])
	if err != nil {
		return Event{}, false
	}
	count, err := strconv.Atoi(fields[4][1:])
	if err != nil {
		return Event{}, false
	}
	return Event{Time: at.UTC(), Type: fields[1], Object: fields[2], Reason: fields[3], Count: count, Message: message}, true
}

// parseSpec reads a file of tools/ginkgo: the name, then lines "at:", "began:", "took:"
// and "result:", then the text. A name may have line breaks.
func parseSpec(content string) Spec {
	var s Spec
	head, text, _ := strings.Cut(content, "\n\n")
	s.Text = text
	var name []string
	for line := range strings.Lines(head) {
		line = strings.TrimRight(line, "\r\n")
		key, value, found := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case found && key == "at" && s.At == "":
			s.At = value
		case found && key == "began" && s.Began.IsZero():
			if at, err := time.Parse(time.RFC3339Nano, value); err == nil {
				s.Began = at.UTC()
			}
		case found && key == "took" && s.Took == 0:
			if seconds, err := strconv.ParseFloat(strings.TrimSuffix(value, " s"), 64); err == nil && seconds >= 0 && seconds < 1e6 {
				s.Took = time.Duration(seconds * float64(time.Second))
			}
		case found && key == "result" && s.Result == "":
			s.Result = value
		default:
			name = append(name, line)
		}
	}
	s.Name = strings.Join(name, "\n")
	return s
}

// Line is a line of a log.
type Line struct {
	// Time is when the container wrote it; zero for one that does not say.
	Time time.Time
	Text string
}

// logLineLimit is how much of a line is kept, in bytes.
const logLineLimit = 8 << 10

// Lines calls take with each line of a log, without its time, until take returns false.
func (o *Outputs) Lines(log Log, take func(Line) bool) error {
	file, err := o.files.Open(log.file)
	if err != nil {
		return fmt.Errorf("read %s: %w", log.file, err)
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 64<<10)
	for {
		text, err := readLine(reader)
		if text != "" && !take(parseLine(text)) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", log.file, err)
		}
	}
}

// readLine returns a line of which the part over logLineLimit is dropped.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if room := logLineLimit - len(line); room > 0 {
			line = append(line, part[:min(room, len(part))]...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return strings.TrimRight(string(line), "\r\n"), err
	}
}

func parseLine(text string) Line {
	stamp, rest, found := strings.Cut(text, " ")
	if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
		if !found {
			rest = ""
		}
		return Line{Time: at.UTC(), Text: rest}
	}
	return Line{Text: text}
}
