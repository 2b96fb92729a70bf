// Package buildevent reads what Bazel writes for --build_event_json_file: one JSON object
// a line, each an event of one build.
//
// It takes what it knows and passes over the rest, so that files of Bazel 5 to 9 can be
// read. A line or an event that can't be read is named in Stream.Problems, and what
// follows it is read nevertheless: the file of a build that was killed ends in the middle
// of a line.
package buildevent

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// lineLimit bounds one event, in bytes. The largest that Bazel writes are lists of files
// of a few MB.
const lineLimit = 64 << 20

// problemLimit is how many problems are kept; the rest is counted.
const problemLimit = 20

// Stream is one build.
type Stream struct {
	// Invocation is the build's id, Version Bazel's.
	Invocation, Version string
	// Command is the verb, such as "test".
	Command string
	// Workspace is the folder of the checkout.
	Workspace string
	// Started and Ended are zero where the file does not say: Ended, if the build was
	// killed.
	Started, Ended time.Time
	// Exit is nil where the file does not say how the build ended.
	Exit *Exit
	// Patterns are the targets as they were asked for.
	Patterns []string
	// Options are those of the command line, without those of .bazelrc.
	Options []string
	// Targets are the configured ones by label.
	Targets map[string]*Target
	// Tests are the attempts of tests, in the order in which they ended.
	Tests []Test
	// Summaries are Bazel's verdicts on whole test targets, by label.
	Summaries map[string]Summary
	// Failures are actions that failed, tests not among them.
	Failures []Action
	// Aborts are what was not done, and why.
	Aborts []Abort
	// Work counts the executed actions by mnemonic, with the longest CPU time first.
	Work []Work
	// Timing is what Bazel says of the whole build, in seconds; 0 where it says nothing.
	Timing Timing
	// Misses counts, by Bazel's word for the reason, the actions that its action cache
	// could not answer.
	Misses map[string]int
	// Logs are Bazel's own: profile, critical path.
	Logs []ToolLog
	// Complete says that the last event was the last of the build.
	Complete bool
	// Problems are lines and events that could not be read.
	Problems []string

	problems int
	files    map[string][]File   // of named sets
	sets     map[string][]string // sets that a named set contains
	outputs  map[string][]string // sets of a target, by label
}

// Exit is how a build ended.
type Exit struct {
	// Name is Bazel's, such as TESTS_FAILED.
	Name string
	Code int
	// Message is the failure in words; empty if there is none.
	Message string
}

// Target is a configured target.
type Target struct {
	Label string
	// Kind is such as "go_test rule".
	Kind string
	Tags []string
	// Size is such as MEDIUM; empty for what is no test.
	Size string
	// Built is nil where the file does not say.
	Built *bool
	// Failure says why it was not built.
	Failure string
	// Files are its outputs; of a test, its program.
	Files []File
}

// File is an output.
type File struct {
	Name string
	// URI is where it lies: file://, or bytestream:// where it is in a remote cache.
	URI string
	// Digest is of its content, in hex; empty from versions of Bazel that don't say.
	Digest string
}

// Test is an attempt of a test's shard.
type Test struct {
	Label string
	// Run, Shard and Attempt count from 1.
	Run, Shard, Attempt int
	// Status is such as PASSED, FAILED, TIMEOUT, INCOMPLETE, REMOTE_FAILURE.
	Status string
	// Details are the status in words; often empty.
	Details string
	// CachedLocally says that Bazel's action cache answered, CachedRemotely that a disk
	// cache or a remote one did. Start and Duration are those of the run that was kept.
	CachedLocally, CachedRemotely bool
	Start                         time.Time
	Duration                      time.Duration
	// Strategy is such as linux-sandbox; empty where the file does not say.
	Strategy string
	// Host ran it, if that was another machine.
	Host     string
	Outputs  []File
	Warnings []string
}

// Cached says that this build did not run it.
func (t Test) Cached() bool { return t.CachedLocally || t.CachedRemotely }

// Summary is Bazel's verdict on a test target.
type Summary struct {
	Status                string
	Runs, Shards, Cached  int
	FirstStart, LastStop  time.Time
	TotalRunDuration      time.Duration
	AttemptsOfFailedShard int
}

// Action is one that failed.
type Action struct {
	Label, Mnemonic, Output string
	ExitCode                int
	Message                 string
	// Stderr is where its standard error lies.
	Stderr     *File
	Start, End time.Time
}

// Abort says why something was not done.
type Abort struct {
	// Of is the id of what was not done, as JSON.
	Of string
	// Reason is such as USER_INTERRUPTED, SKIPPED.
	Reason, Description string
}

// Work is what a kind of action did.
type Work struct {
	Mnemonic string
	Actions  int
	// First and Last are when the first began and the last ended.
	First, Last time.Time
	// CPU is user plus system time.
	CPU time.Duration
}

// Timing is in seconds.
type Timing struct{ Wall, CPU, Analysis, Execution, CriticalPath float64 }

// ToolLog is a log of Bazel's.
type ToolLog struct {
	Name string
	// URI is where it lies, or else Contents is what it says.
	URI      string
	Contents []byte
}

// Read reads a whole file. The error is nil unless reading itself fails or nothing in the
// file is a build event.
func Read(r io.Reader) (*Stream, error) {
	s := &Stream{
		Targets: map[string]*Target{}, Summaries: map[string]Summary{}, Misses: map[string]int{},
		files: map[string][]File{}, sets: map[string][]string{}, outputs: map[string][]string{},
	}
	reader := bufio.NewReaderSize(r, 1<<20)
	events := 0
	for number := 1; ; number++ {
		line, err := readLine(reader, lineLimit)
		if errors.Is(err, errLong) {
			s.problem("line %d has more than %d MB and was passed over", number, lineLimit>>20)
			continue
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read build events: line %d: %w", number, err)
		}
		if line = bytes.TrimSpace(line); len(line) > 0 && s.event(number, line) {
			events++
		}
		if err == io.EOF {
			break
		}
	}
	if events == 0 {
		return nil, fmt.Errorf("read build events: none of the lines is a build event: is this what --build_event_json_file wrote?%s", s.firstProblem())
	}
	s.resolve()
	if s.problems > len(s.Problems) {
		s.Problems = append(s.Problems, fmt.Sprintf("and %d more", s.problems-len(s.Problems)))
	}
	if !s.Complete {
		s.Problems = append(s.Problems, "the build events have no end: the build was killed, or the file is not whole")
	}
	return s, nil
}

var errLong = errors.New("line is too long")

// readLine returns a line with its end, or errLong after a line of more than limit bytes.
// The error is io.EOF with the last line.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > limit; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case long && (err == nil || err == io.EOF):
			return nil, errLong
		default:
			return line, err
		}
	}
}

func (s *Stream) problem(format string, values ...any) {
	s.problems++
	if len(s.Problems) < problemLimit {
		s.Problems = append(s.Problems, fmt.Sprintf(format, values...))
	}
}

func (s *Stream) firstProblem() string {
	if len(s.Problems) == 0 {
		return ""
	}
	return " (" + s.Problems[0] + ")"
}

// event takes a line. It returns whether that is a build event, known here or not.
func (s *Stream) event(number int, line []byte) bool {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		s.problem("line %d is not JSON: %v", number, err)
		return false
	}
	id, found := members["id"]
	if !found {
		s.problem("line %d has no id, so it is no build event", number)
		return false
	}
	if last := members["lastMessage"]; string(last) == "true" {
		s.Complete = true
	}
	for name, payload := range members {
		take := payloads[name]
		if take == nil {
			continue
		}
		if err := take(s, id, payload); err != nil {
			s.problem("line %d, %s: %v", number, name, err)
		}
	}
	return true
}

// resolve gives targets the files of their sets.
func (s *Stream) resolve() {
	for label, sets := range s.outputs {
		target := s.target(label)
		seen := map[string]bool{}
		for len(sets) > 0 {
			id := sets[0]
			sets = sets[1:]
			if seen[id] {
				continue
			}
			seen[id] = true
			target.Files = append(target.Files, s.files[id]...)
			sets = append(sets, s.sets[id]...)
		}
	}
	slices.SortStableFunc(s.Work, func(a, b Work) int { return cmp.Compare(b.CPU, a.CPU) })
}

func (s *Stream) target(label string) *Target {
	t := s.Targets[label]
	if t == nil {
		t = &Target{Label: label}
		s.Targets[label] = t
	}
	return t
}
