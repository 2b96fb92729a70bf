// Package lcov reads, merges and writes coverage in LCOV's tracefile format, as far as
// Bazel uses it: lines, functions and branches of source files. The format is that of
// geninfo(1) of LCOV 1.16. It imports the standard library alone, since the set-up of
// machines without Bazel's own coverage tools compiles it before there is a Bazel.
package lcov

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Report is coverage by source file, keyed by the file's path as the tracefile gives
// it. Bazel's are relative to the execution root.
type Report map[string]*File

// File is the coverage of one source file.
type File struct {
	// Lines maps a line's number, from 1, to how often it was executed. Lines without
	// code are not in it. A file that was instrumented, but of which no program ran, has
	// none.
	Lines map[int]uint64
	// Functions is keyed by name.
	Functions map[string]Function
	Branches  map[Branch]Taken
}

// Function is where a function begins and how often it was called.
type Function struct {
	Line  int // 0 if only the calls are known
	Calls uint64
}

// Branch identifies one way out of a decision. Block and Name are whatever the
// compiler calls them.
type Branch struct {
	Line        int
	Block, Name string
}

// Taken is how often a branch was taken.
type Taken struct {
	// Reached is false if the decision itself was never executed.
	Reached bool
	Count   uint64
}

// file returns the record of a path, a new one if there is none.
func (r Report) file(path string) *File {
	f := r[path]
	if f == nil {
		f = &File{Lines: map[int]uint64{}, Functions: map[string]Function{}, Branches: map[Branch]Taken{}}
		r[path] = f
	}
	return f
}

// AddLine adds executions of a line.
func (r Report) AddLine(path string, line int, count uint64) {
	f := r.file(path)
	f.Lines[line] = sum(f.Lines[line], count)
}

// Touch makes the report have the file, with or without lines.
func (r Report) Touch(path string) { r.file(path) }

// Add adds another report to this one: counts are added up.
func (r Report) Add(other Report) {
	for path, from := range other {
		to := r.file(path)
		for line, count := range from.Lines {
			to.Lines[line] = sum(to.Lines[line], count)
		}
		for name, f := range from.Functions {
			to.addFunction(name, f)
		}
		for branch, taken := range from.Branches {
			to.addBranch(branch, taken)
		}
	}
}

func (f *File) addFunction(name string, other Function) {
	known := f.Functions[name]
	f.Functions[name] = Function{Line: cmp.Or(known.Line, other.Line), Calls: sum(known.Calls, other.Calls)}
}

func (f *File) addBranch(branch Branch, other Taken) {
	known := f.Branches[branch]
	f.Branches[branch] = Taken{Reached: known.Reached || other.Reached, Count: sum(known.Count, other.Count)}
}

// sum stays at the largest number instead of starting again from 0.
func sum(a, b uint64) uint64 {
	if c := a + b; c >= a {
		return c
	}
	return ^uint64(0)
}

// Covered counts the lines with code, and those of them that were executed.
func (f *File) Covered() (covered, all int) {
	for _, count := range f.Lines {
		if count > 0 {
			covered++
		}
	}
	return covered, len(f.Lines)
}

// longest is the longest line that Parse takes, in bytes. Names of C++ functions are
// kilobytes.
const longest = 1 << 20

// Parse reads a tracefile. Name is what errors call it. A record that this package does
// not know is an error: what it says would be missing from what is written.
func Parse(name string, from io.Reader) (Report, error) {
	r := Report{}
	var f *File
	scanner := bufio.NewScanner(from)
	scanner.Buffer(nil, longest)
	number := 0
	for scanner.Scan() {
		number++
		text := strings.TrimSpace(scanner.Text())
		kind, value, _ := strings.Cut(text, ":")
		var err error
		switch {
		case text == "" || strings.HasPrefix(text, "#") || kind == "TN":
		case kind == "SF":
			if f, err = nil, fmt.Errorf("no path"); value != "" {
				f, err = r.file(value), nil
			}
		case text == "end_of_record":
			f = nil
		case f == nil:
			err = fmt.Errorf("it is in no file's record (SF:)")
		default:
			err = f.parse(kind, value)
		}
		if err != nil {
			return nil, fmt.Errorf("parse coverage %s:%d: %q: %w", name, number, text, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("parse coverage %s:%d: %w", name, number+1, err)
	}
	if f != nil {
		return nil, fmt.Errorf("parse coverage %s: it ends in a record: it was cut off", name)
	}
	return r, nil
}

func (f *File) parse(kind, value string) error {
	fields := strings.Split(value, ",")
	switch kind {
	case "LF", "LH", "FNF", "FNH", "BRF", "BRH", "VER":
		return nil // sums, which Write makes again; a version says nothing of coverage
	case "DA": // line, count, and a checksum that may be absent
		if len(fields) != 2 && len(fields) != 3 {
			return errShape
		}
		line, err := lineNumber(fields[0])
		if err != nil {
			return err
		}
		count, err := count(fields[1])
		if err != nil {
			return err
		}
		f.Lines[line] = sum(f.Lines[line], count)
	case "FN": // line, the last line that may be absent, name. A name may have commas.
		first, name, ok := strings.Cut(value, ",")
		if !ok {
			return errShape
		}
		line, err := lineNumber(first)
		if err != nil {
			return err
		}
		if last, rest, ok := strings.Cut(name, ","); ok {
			if _, err := strconv.Atoi(last); err == nil {
				name = rest
			}
		}
		if err := checkName(name); err != nil {
			return err
		}
		f.addFunction(name, Function{Line: line})
	case "FNDA":
		calls, name, ok := strings.Cut(value, ",")
		if !ok {
			return errShape
		}
		count, err := count(calls)
		if err != nil {
			return err
		}
		if err := checkName(name); err != nil {
			return err
		}
		f.addFunction(name, Function{Calls: count})
	case "BRDA": // line, block, branch, how often or "-"
		if len(fields) != 4 {
			return errShape
		}
		line, err := lineNumber(fields[0])
		if err != nil {
			return err
		}
		branch := Branch{Line: line, Block: fields[1], Name: fields[2]}
		if fields[3] == "-" {
			f.addBranch(branch, Taken{})
			return nil
		}
		count, err := count(fields[3])
		if err != nil {
			return err
		}
		f.addBranch(branch, Taken{Reached: true, Count: count})
	default:
		return fmt.Errorf("the kind of record %q is not one of SF, DA, FN, FNDA, BRDA and their sums", kind)
	}
	return nil
}

// checkName refuses what could not be told from a function's last line when it is read
// again.
func checkName(name string) error {
	first, _, more := strings.Cut(name, ",")
	if _, err := strconv.Atoi(first); name == "" || more && err == nil {
		return fmt.Errorf("the function's name %q is empty, or begins with a number and a comma", name)
	}
	return nil
}

var errShape = fmt.Errorf("it has not the fields of its kind")

func lineNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("line %q is no number from 1", text)
	}
	return n, nil
}

func count(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("count %q is no number from 0", text)
	}
	return n, nil
}

// Write writes the report as a tracefile, files and what is in them in order, so that
// equal reports are equal bytes.
func (r Report) Write(to io.Writer) error {
	w := bufio.NewWriter(to)
	for _, path := range slices.Sorted(maps.Keys(r)) {
		f := r[path]
		fmt.Fprintf(w, "SF:%s\n", path)
		f.writeFunctions(w)
		f.writeBranches(w)
		for _, line := range slices.Sorted(maps.Keys(f.Lines)) {
			fmt.Fprintf(w, "DA:%d,%d\n", line, f.Lines[line])
		}
		covered, all := f.Covered()
		fmt.Fprintf(w, "LH:%d\nLF:%d\nend_of_record\n", covered, all)
	}
	if err := w.Flush(); err != nil { // it remembers the first error
		return fmt.Errorf("write coverage: %w", err)
	}
	return nil
}

func (f *File) writeFunctions(w io.Writer) {
	names := slices.SortedFunc(maps.Keys(f.Functions), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.Functions[a].Line, f.Functions[b].Line), cmp.Compare(a, b))
	})
	for _, name := range names {
		if line := f.Functions[name].Line; line > 0 {
			fmt.Fprintf(w, "FN:%d,%s\n", line, name)
		}
	}
	called := 0
	for _, name := range names {
		if f.Functions[name].Calls > 0 {
			called++
		}
		fmt.Fprintf(w, "FNDA:%d,%s\n", f.Functions[name].Calls, name)
	}
	if len(names) > 0 {
		fmt.Fprintf(w, "FNF:%d\nFNH:%d\n", len(names), called)
	}
}

func (f *File) writeBranches(w io.Writer) {
	branches := slices.SortedFunc(maps.Keys(f.Branches), func(a, b Branch) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), compareNumbers(a.Block, b.Block), compareNumbers(a.Name, b.Name))
	})
	hit := 0
	for _, b := range branches {
		taken := "-"
		if t := f.Branches[b]; t.Reached {
			taken = strconv.FormatUint(t.Count, 10)
			if t.Count > 0 {
				hit++
			}
		}
		fmt.Fprintf(w, "BRDA:%d,%s,%s,%s\n", b.Line, b.Block, b.Name, taken)
	}
	if len(branches) > 0 {
		fmt.Fprintf(w, "BRF:%d\nBRH:%d\n", len(branches), hit)
	}
}

// compareNumbers puts 9 before 10, and what is no number after numbers.
func compareNumbers(a, b string) int {
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return cmp.Compare(a, b)
}
