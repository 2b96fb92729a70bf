package lcov

import (
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
)

const first = `TN:
SF:a/a.go
FN:3,main.f
FN:10,20,main.g,with commas
FNDA:2,main.f
FNDA:0,main.g,with commas
FNF:2
FNH:1
BRDA:4,0,0,1
BRDA:4,0,1,0
BRDA:9,0,10,-
BRDA:9,0,9,-
BRF:4
BRH:1
DA:3,2
DA:4,2,checksum
DA:10,0
LF:3
LH:2
end_of_record
SF:b/b.go
end_of_record
`

const second = `SF:a/a.go
FN:10,main.g,with commas
FNDA:5,main.g,with commas
BRDA:4,0,1,3
BRDA:9,0,9,0
DA:10,7
DA:11,0
end_of_record
`

const both = `SF:a/a.go
FN:3,main.f
FN:10,main.g,with commas
FNDA:2,main.f
FNDA:5,main.g,with commas
FNF:2
FNH:2
BRDA:4,0,0,1
BRDA:4,0,1,3
BRDA:9,0,9,0
BRDA:9,0,10,-
BRF:4
BRH:2
DA:3,2
DA:4,2
DA:10,7
DA:11,0
LH:3
LF:4
end_of_record
SF:b/b.go
LH:0
LF:0
end_of_record
`

func parse(t *testing.T, text string) Report {
	t.Helper()
	r, err := Parse("report", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t *testing.T, r Report) string {
	t.Helper()
	var out strings.Builder
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Merging adds counts, keeps files without lines, and gives the same bytes whatever
// comes first. What was written reads as the same.
func TestMerge(t *testing.T) {
	for _, order := range [][]string{{first, second}, {second, first}} {
		merged := Report{}
		for _, report := range order {
			merged.Add(parse(t, report))
		}
		got := text(t, merged)
		if got != both {
			t.Errorf("got\n%s", got)
		}
		if again := text(t, parse(t, got)); again != got {
			t.Errorf("read and written again\n%s", again)
		}
	}
}

// A file may have several records in one tracefile.
func TestRecordsOfOneFileAreAddedUp(t *testing.T) {
	if got := text(t, parse(t, first+second)); got != both {
		t.Errorf("got\n%s", got)
	}
}

func TestCountsDontOverflow(t *testing.T) {
	r := Report{}
	r.AddLine("f", 1, math.MaxUint64)
	r.AddLine("f", 1, 2)
	if got := r["f"].Lines[1]; got != math.MaxUint64 {
		t.Errorf("count %d", got)
	}
}

// Nothing is left out in silence.
func TestErrorsNameFileAndLine(t *testing.T) {
	for input, want := range map[string]string{
		"SF:a\nXY:1\nend_of_record\n":       `report:2: "XY:1": the kind of record "XY"`,
		"DA:1,1\n":                          "report:1: \"DA:1,1\": it is in no file's record",
		"SF:\n":                             "no path",
		"SF:a\nDA:1,1\n":                    "it was cut off",
		"SF:a\nDA:0,1\nend_of_record\n":     `line "0"`,
		"SF:a\nDA:1,-1\nend_of_record\n":    `count "-1"`,
		"SF:a\nDA:1\nend_of_record\n":       "fields",
		"SF:a\nDA:1,2,3,4\nend_of_record\n": "fields",
		"SF:a\nFN:f\nend_of_record\n":       "fields",
		"SF:a\nFN:x,f\nend_of_record\n":     `line "x"`,
		"SF:a\nFNDA:f\nend_of_record\n":     "fields",
		"SF:a\nFNDA:x,f\nend_of_record\n":   `count "x"`,
		"SF:a\nBRDA:1,2,3\nend_of_record\n": "fields",
		"SF:a\nBRDA:x,2,3,4\n":              `line "x"`,
		"SF:a\nBRDA:1,2,3,x\n":              `count "x"`,
		strings.Repeat("x", longest+1):      "token too long",
	} {
		if _, err := Parse("report", strings.NewReader(input)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v, want %q", input, err, want)
		}
	}
}

func TestWriteReportsErrors(t *testing.T) {
	if err := parse(t, first).Write(full{}); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}

var errFull = errors.New("no space")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestCovered(t *testing.T) {
	r := parse(t, both)
	got := map[string][2]int{}
	for path, f := range r {
		covered, all := f.Covered()
		got[path] = [2]int{covered, all}
	}
	if want := map[string][2]int{"a/a.go": {3, 4}, "b/b.go": {0, 0}}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What was read can be written, and is the same when it is read again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{first, second, both, "SF:x\nDA:1,18446744073709551615\nend_of_record\n", "DA:1\n", "SF:x\nFN:1,0,0,\nend_of_record\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		report, err := Parse("fuzz", strings.NewReader(text))
		if err != nil {
			return
		}
		var written strings.Builder
		if err := report.Write(&written); err != nil {
			t.Fatal(err)
		}
		again, err := Parse("written", strings.NewReader(written.String()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, written.String())
		}
		var twice strings.Builder
		if err := again.Write(&twice); err != nil || twice.String() != written.String() {
			t.Errorf("%v: written\n%s\nand again\n%s", err, written.String(), twice.String())
		}
	})
}
