package run

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"stormgate.internal/tools/report/internal/difference"
	"stormgate.internal/tools/report/internal/outputs"
)

// A spec's part of the logs begins a little before it, since containers have clocks of
// their own resolution, and goes on after it, since what it started goes on.
const (
	sliceBefore = 100 * time.Millisecond
	sliceAfter  = time.Second
)

// sliceLines is how many lines of a log are kept for one spec.
const sliceLines = 2000

// explain makes a Failure of each bad case of a shard's last attempt.
func (l *loader) explain() {
	for _, s := range l.run.Shards {
		if !s.Final || !s.Verdict.Bad() {
			continue
		}
		bad := slices.DeleteFunc(slices.Clone(s.Cases), func(c *Case) bool { return !c.Verdict.Bad() })
		if len(bad) == 0 {
			bad = []*Case{s.withoutCase()}
		}
		for _, c := range bad {
			f := &Failure{Shard: s, Case: c}
			f.describe()
			if o := l.left[s]; o != nil {
				l.slices(f, o)
			}
			l.run.Failures = append(l.run.Failures, f)
		}
	}
	slices.SortStableFunc(l.run.Failures, func(a, b *Failure) int {
		return cmp.Compare(rank(a.Case.Verdict), rank(b.Case.Verdict))
	})
	for i, f := range l.run.Failures {
		f.ID = fmt.Sprintf("failure-%d", i+1)
	}
}

// withoutCase stands for a shard that failed and whose test.xml has no failure, or could
// not be read.
func (s *Shard) withoutCase() *Case {
	message := "Bazel has " + s.Status + " for it, and no test case that failed was read"
	switch s.Status {
	case "TIMEOUT":
		message = fmt.Sprintf("timed out after %.1f s, and no test case that failed was read", s.Duration)
	case "REMOTE_FAILURE":
		message = "the remote executor failed"
	}
	return &Case{Name: s.Name(), Verdict: s.Verdict, Kind: strings.ToLower(s.Status), Message: message, Duration: s.Duration}
}

// describe takes the message apart.
func (f *Failure) describe() {
	c := f.Case
	f.Message, f.Place = c.Message, c.At
	var stack string
	if c.Details != "" {
		message, place, rest := splitDetails(c.Details)
		f.Message, stack = message, rest
		if place != "" {
			f.Place = place
		}
		// A panic's place is in the runtime: whose line it was is on the stack.
		if strings.HasPrefix(place, "GOROOT/") || strings.HasPrefix(place, "/") {
			f.Place = cmp.Or(ownFrame(stack), place)
		}
	}
	if m := leadingPlace.FindStringSubmatch(f.Message); m != nil && f.Place == "" {
		f.Place, f.Message = m[1], m[2]
	}
	if f.Message = strings.TrimSpace(f.Message); f.Message == "" {
		f.Message = cmp.Or(c.Kind, "failed without a message")
	}
	f.Stack, f.Output = NewText(stack), NewText(c.Output)
	f.Difference = difference.Parse(f.Message)
	f.First = f.brief()
}

// brief is the message in a line: what differs, if that is known, else its first two lines.
func (f *Failure) brief() string {
	if d := f.Difference; d != nil {
		parts := []string{beginning(d.Before, 1), "Expected " + differing(d, difference.Actual, d.Actual), d.Relation, differing(d, difference.Expected, d.Expected)}
		return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
	}
	return beginning(strings.TrimPrefix(f.Message, "infrastructure failure: "), 2) // the verdict is beside it
}

// differing is the first line of a side that the other one lacks, and what follows it there
// where that line only opens a list.
func differing(d *difference.Difference, side, whole string) string {
	text := ""
	for _, line := range d.Lines {
		if line.Side == side {
			text += line.Text() + "\n"
		}
	}
	return shorten(beginning(cmp.Or(text, whole), 1))
}

// beginning is the first n lines that are not blank, as one. One that leads to the next, such
// as "want these, but", has that with it.
func beginning(text string, n int) string {
	var kept []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			if kept = append(kept, line); len(kept) >= n && (len(kept) == n+3 || !leading.MatchString(line)) {
				break
			}
		}
	}
	return strings.Join(kept, " ")
}

var leading = regexp.MustCompile(`(:|,|\bbut|[({[]|^pod \S+: phase \w+)$`)

// shorten keeps a line of a brief in its place.
func shorten(text string) string {
	const most = 90
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// placeLine is a line that has a place of Go's alone, as Ginkgo puts it after a message.
var placeLine = regexp.MustCompile(`^\s*(\S*?\.go:\d+)(?:\s\+0x[0-9a-f]+)?$`)

// leadingPlace is how Go's own tests begin a message.
var leadingPlace = regexp.MustCompile(`(?s)^\s*(\S+\.go:\d+): (.*)$`)

// splitDetails splits the text of a failure as tools/ginkgo writes it: message, place, and
// the rest, which is the stack and further failures.
func splitDetails(details string) (message, place, rest string) {
	all := strings.Split(details, "\n")
	for i, line := range all {
		if m := placeLine.FindStringSubmatch(line); m != nil && i > 0 {
			return strings.Join(all[:i], "\n"), sourcePath(m[1]), strings.TrimSpace(strings.Join(all[i+1:], "\n"))
		}
	}
	return details, "", ""
}

// frame is a place on a stack.
var frame = regexp.MustCompile(`(?m)^\s*(\S+\.go:\d+)(?:\s|$)`)

// ownFrame is the first place of a stack that is in the workspace; empty if none is.
func ownFrame(stack string) string {
	for _, m := range frame.FindAllStringSubmatch(stack, -1) {
		place := sourcePath(m[1])
		if !strings.HasPrefix(place, "/") && !strings.HasPrefix(place, "GOROOT/") && !strings.HasPrefix(place, "external/") {
			return place
		}
	}
	return ""
}

// sourcePath drops what is before the workspace's own part of a path.
func sourcePath(place string) string {
	for _, root := range []string{"/execroot/_main/", ".runfiles/_main/", "/_main/"} {
		if _, inside, found := strings.Cut(place, root); found {
			return inside
		}
	}
	return place
}

// slices cuts a case's part out of what its shard left.
func (l *loader) slices(f *Failure, o *outputs.Outputs) {
	c := f.Case
	from, to := c.Began.Add(-sliceBefore), c.Began.Add(time.Duration(c.Duration*float64(time.Second))+sliceAfter)
	known := !c.Began.IsZero()
	own := f.own(o)
	for _, log := range o.Logs {
		name := log.Namespace + "/" + log.Pod + " " + log.Container
		if log.Previous {
			name += " (before its restart)"
		}
		var text strings.Builder
		found, kept := 0, 0
		err := o.Lines(log, func(line outputs.Line) bool {
			inside := known && !line.Time.Before(from) && !line.Time.After(to)
			if known && !inside || !known && !containsAny(line.Text, own) {
				return true
			}
			if found++; kept < sliceLines {
				kept++
				if !line.Time.IsZero() {
					text.WriteString(line.Time.Format("15:04:05.000 "))
				}
				text.WriteString(strings.ToValidUTF8(line.Text, "\uFFFD") + "\n")
			}
			return true
		})
		if err != nil {
			l.problem("%s: %v", f.Shard.Name(), err)
		}
		if found == 0 {
			continue
		}
		note := fmt.Sprintf("lines between %s and %s", from.Format("15:04:05.000"), to.Format("15:04:05.000"))
		if !known {
			note = "when the case began is not known: lines that name what is its own"
		}
		if found > kept {
			note += fmt.Sprintf("; the last %d of %d lines are left out", found-kept, found)
		}
		f.Slices = append(f.Slices, Slice{Kind: "log", Name: name, Text: NewText(text.String()), Own: own, Note: note})
	}
	l.sliceEvents(f, o, from, to, known, own)
	for _, namespace := range slices.Sorted(maps.Keys(o.Objects)) {
		if !slices.Contains(own, namespace) {
			continue
		}
		f.Slices = append(f.Slices, Slice{
			Kind: "objects", Name: namespace, Text: NewText(strings.ToValidUTF8(o.Objects[namespace], "\uFFFD")),
			Note: "as they were when the shard ended",
		})
	}
}

func (l *loader) sliceEvents(f *Failure, o *outputs.Outputs, from, to time.Time, known bool, own []string) {
	var text strings.Builder
	n := 0
	for _, e := range o.Events {
		// Events of some clients have whole seconds.
		inside := known && !e.Time.Before(from.Truncate(time.Second)) && !e.Time.After(to)
		if !inside && !slices.Contains(own, e.Namespace) {
			continue
		}
		n++
		fmt.Fprintf(&text, "%s %s %s/%s %s x%d: %s\n", e.Time.Format("15:04:05.000"), e.Type, e.Namespace, e.Object, e.Reason, e.Count, e.Message)
	}
	if n > 0 {
		f.Slices = append(f.Slices, Slice{
			Kind: "events", Name: count(n, "event"), Text: NewText(strings.ToValidUTF8(text.String(), "\uFFFD")), Own: own,
			Note: "of the time of the case, and all of its own namespaces",
		})
	}
}

// own are the namespaces that the case's output or failure names, which are those that it
// made.
func (f *Failure) own(o *outputs.Outputs) []string {
	var own []string
	for namespace := range o.Objects {
		if strings.Contains(f.Case.Output, namespace) || strings.Contains(f.Case.Details, namespace) {
			own = append(own, namespace)
		}
	}
	slices.Sort(own)
	return own
}

func containsAny(text string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}
