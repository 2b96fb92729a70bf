// Package difference takes the failure message of an assertion apart: what was expected,
// what was there, and line by line where the two differ. It knows the forms of Gomega, of
// testify, of go-cmp, and the "got, want" of plain Go tests.
package difference

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Difference is between what an assertion found and what it wanted.
type Difference struct {
	// Before is what the message says first, such as "Timed out after 30.001s."
	Before string
	// Relation is how they were to be, such as "to equal".
	Relation string
	// Actual and Expected are as the message has them. Expected is empty where the
	// relation says it all, such as "to be empty".
	Actual, Expected string
	// Lines are both together. It is nil where only one of them is there, or where they
	// are too long to compare.
	Lines []Line
}

// Sides of a Line.
const (
	Same     = "same"
	Actual   = "actual"
	Expected = "expected"
)

// Line is a line of one side or of both. Mark is what differs in it: Head and Tail are the
// same in the line that stands opposite.
type Line struct {
	Side             string
	Head, Mark, Tail string
}

// Text is the whole line.
func (l Line) Text() string { return l.Head + l.Mark + l.Tail }

// Parse returns nil for a message in none of the forms.
func Parse(message string) *Difference {
	for _, form := range []func([]string) *Difference{gomega, testify, goCmp, gotWant} {
		if d := form(strings.Split(strings.TrimRight(message, "\n"), "\n")); d != nil {
			if d.Lines == nil && d.Actual != "" && d.Expected != "" {
				d.Lines = compare(strings.Split(d.Actual, "\n"), strings.Split(d.Expected, "\n"))
			}
			return d
		}
	}
	return nil
}

// gomega reads
//
//	Expected
//	    <string>: a
//	to equal
//	    <string>: b
func gomega(lines []string) *Difference {
	for i, line := range lines {
		if strings.TrimSpace(line) != "Expected" || i+1 == len(lines) {
			continue
		}
		indent := indentation(line)
		actual, next := block(lines, i+1, indent)
		if actual == "" || next == len(lines) {
			continue
		}
		d := &Difference{Before: strings.TrimSpace(strings.Join(lines[:i], "\n")), Actual: actual}
		// Long strings have a pointer to the place where they differ.
		d.Relation = strings.TrimSpace(strings.TrimRight(lines[next], " |"))
		d.Expected, _ = block(lines, next+1, indent)
		return d
	}
	return nil
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// block returns the lines from start that are indented by more than indent, without that.
func block(lines []string, start, indent int) (text string, next int) {
	least := -1
	for next = start; next < len(lines); next++ {
		if strings.TrimSpace(lines[next]) == "" {
			continue
		}
		n := indentation(lines[next])
		if n <= indent {
			break
		}
		if least < 0 || n < least {
			least = n
		}
	}
	var kept []string
	for _, line := range lines[start:next] {
		kept = append(kept, line[min(max(least, 0), len(line)):])
	}
	return strings.TrimRight(strings.Join(kept, "\n"), "\n "), next
}

var (
	testifyExpected = regexp.MustCompile(`^\s*expected\s*: ?(.*)$`)
	testifyActual   = regexp.MustCompile(`^\s*actual\s*: ?(.*)$`)
)

// testify reads
//
//	Not equal:
//	expected: 1
//	actual  : 2
func testify(lines []string) *Difference {
	for i, line := range lines {
		want := testifyExpected.FindStringSubmatch(line)
		if want == nil || i+1 == len(lines) {
			continue
		}
		if got := testifyActual.FindStringSubmatch(lines[i+1]); got != nil {
			return &Difference{Before: strings.TrimSpace(strings.Join(lines[:i], "\n")), Relation: "to equal", Actual: got[1], Expected: want[1]}
		}
	}
	return nil
}

// goCmp reads the output of go-cmp's Diff, below a line that says "-want +got" or "-got +want".
func goCmp(lines []string) *Difference {
	for i, line := range lines {
		minus, plus := Expected, Actual
		switch {
		case strings.Contains(line, "-want +got"), strings.Contains(line, "-want, +got"):
		case strings.Contains(line, "-got +want"), strings.Contains(line, "-got, +want"):
			minus, plus = Actual, Expected
		default:
			continue
		}
		d := &Difference{Before: strings.TrimSpace(strings.Join(lines[:i+1], "\n")), Relation: "to equal"}
		differs := false
		for _, line := range lines[i+1:] {
			// go-cmp writes some spaces as U+00A0 so that nobody relies on its output.
			text := strings.TrimPrefix(strings.ReplaceAll(line, "\u00a0", " "), " ")
			switch {
			case strings.HasPrefix(text, "-"):
				d.Lines, differs = append(d.Lines, Line{Side: minus, Mark: text[1:]}), true
			case strings.HasPrefix(text, "+"):
				d.Lines, differs = append(d.Lines, Line{Side: plus, Mark: text[1:]}), true
			default:
				d.Lines = append(d.Lines, Line{Side: Same, Head: text})
			}
		}
		if differs {
			return d
		}
	}
	return nil
}

var wantForms = []*regexp.Regexp{
	regexp.MustCompile(`(?s)^(.*?)\bgot:? (.+?)[,;]? want:? (.+)$`),
	regexp.MustCompile(`(?s)^(.*?: )([^:]+); want (.+)$`),
}

// gotWant reads "got 1, want 2" in a message of few lines.
func gotWant(lines []string) *Difference {
	text := strings.Join(lines, "\n")
	if len(lines) > 20 || len(text) > 4000 {
		return nil
	}
	for _, form := range wantForms {
		if m := form.FindStringSubmatch(text); m != nil {
			return &Difference{Before: strings.TrimRight(strings.TrimSpace(m[1]), ":="), Relation: "to be", Actual: strings.TrimSpace(m[2]), Expected: strings.TrimSpace(m[3])}
		}
	}
	return nil
}

// compareLimit bounds how many lines are compared: time and memory grow with its square.
const compareLimit = 600

// compare is a longest common subsequence of lines.
func compare(actual, expected []string) []Line {
	n, m := len(actual), len(expected)
	if n > compareLimit || m > compareLimit {
		return nil
	}
	common := make([][]int, n+1)
	for i := range common {
		common[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if actual[i] == expected[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var lines []Line
	i, j := 0, 0
	for i < n || j < m {
		begin, other := i, j
		for (i < n || j < m) && !(i < n && j < m && actual[i] == expected[j]) {
			if j == m || i < n && common[i+1][j] >= common[i][j+1] {
				i++
			} else {
				j++
			}
		}
		lines = append(lines, opposite(actual[begin:i], expected[other:j])...)
		if i < n && j < m {
			lines = append(lines, Line{Side: Same, Head: actual[i]})
			i++
			j++
		}
	}
	return lines
}

// opposite puts changed lines below each other, each with what differs from its partner.
func opposite(actual, expected []string) []Line {
	var lines []Line
	for k := range max(len(actual), len(expected)) {
		switch {
		case k >= len(expected):
			lines = append(lines, Line{Side: Actual, Mark: actual[k]})
		case k >= len(actual):
			lines = append(lines, Line{Side: Expected, Mark: expected[k]})
		default:
			a, e := actual[k], expected[k]
			head := commonHead(a, e)
			tail := commonTail(a[head:], e[head:])
			lines = append(lines,
				Line{Side: Actual, Head: a[:head], Mark: a[head : len(a)-tail], Tail: a[len(a)-tail:]},
				Line{Side: Expected, Head: e[:head], Mark: e[head : len(e)-tail], Tail: e[len(e)-tail:]})
		}
	}
	return lines
}

// commonHead and commonTail count bytes and end at runes.
func commonHead(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	for n > 0 && (n < len(a) && !utf8.RuneStart(a[n]) || n < len(b) && !utf8.RuneStart(b[n])) {
		n--
	}
	return n
}

func commonTail(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	for n > 0 && (!utf8.RuneStart(a[len(a)-n]) || !utf8.RuneStart(b[len(b)-n])) {
		n--
	}
	return n
}
