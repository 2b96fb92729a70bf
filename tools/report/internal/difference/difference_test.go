package difference

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// sides puts the lines of a difference together again.
func sides(d *Difference) (actual, expected string) {
	var a, e []string
	for _, line := range d.Lines {
		if line.Side != Expected {
			a = append(a, line.Text())
		}
		if line.Side != Actual {
			e = append(e, line.Text())
		}
	}
	return strings.Join(a, "\n"), strings.Join(e, "\n")
}

// Promise: the forms in which assertions fail are taken apart.
func TestParse(t *testing.T) {
	for name, test := range map[string]struct{ message, before, relation, actual, expected string }{
		"gomega":            {"Timed out after 2.000s.\nExpected\n    <string>: a\n    b\nto equal\n    <string>: a\n    c\n/x/a_test.go:3\n", "Timed out after 2.000s.", "to equal", "<string>: a\nb", "<string>: a\nc"},
		"gomega, long text": {"Expected\n    <string>: \"xa\"\nto equal        |\n    <string>: \"xb\"", "", "to equal", `<string>: "xa"`, `<string>: "xb"`},
		"gomega, one side":  {"Expected\n    <[]int | len:1, cap:1>: [1]\nto be empty", "", "to be empty", "<[]int | len:1, cap:1>: [1]", ""},
		"testify":           {"\tError:\tNot equal: \n\t      \texpected: 1\n\t      \tactual  : 2\n", "Error:\tNot equal:", "to equal", "2", "1"},
		"go-cmp":            {"answer differs (-want +got):\n  struct{\n- \tA: 1,\n+ \tA: 2,\n  }", "answer differs (-want +got):", "to equal", "", ""},
		"got, want":         {"add(1, 1): got 3, want 2", "add(1, 1)", "to be", "3", "2"},
		"; want":            {"add(1, 1): 3; want 2", "add(1, 1)", "to be", "3", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			d := Parse(test.message)
			if d == nil {
				t.Fatal("not understood")
			}
			if d.Before != test.before || d.Relation != test.relation || d.Actual != test.actual || d.Expected != test.expected {
				t.Errorf("%+v", d)
			}
			if test.expected != "" {
				if a, e := sides(d); a != test.actual || e != test.expected {
					t.Errorf("lines give %q and %q", a, e)
				}
			}
		})
	}
	for _, message := range []string{"", "exit status 1", "Expected", "Expected 200 to be 300", "Expected\nnothing"} {
		if d := Parse(message); d != nil {
			t.Errorf("%q: %+v", message, d)
		}
	}
}

// Promise: what is marked in a line is what differs from the line opposite.
func TestMark(t *testing.T) {
	d := Parse("Expected\n    <string>: alerts: 3 of ä\nto equal\n    <string>: alerts: 4 of ö")
	if len(d.Lines) != 2 || d.Lines[0].Mark != "3 of ä" || d.Lines[1].Mark != "4 of ö" || d.Lines[0].Head != "<string>: alerts: " {
		t.Errorf("%+v", d.Lines)
	}
	if d := Parse("x (-got +want):\n- a\n+ b\n"); d.Lines[0].Side != Actual || d.Lines[1].Side != Expected {
		t.Errorf("%+v", d.Lines)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Expected\n    <string>: a\n    b\nto equal\n    <string>: a\n    c\n")
	f.Add("x (-want +got):\n- a\n+ b\n")
	f.Add("add: got 1, want 2")
	f.Fuzz(func(t *testing.T, message string) {
		d := Parse(message)
		if d == nil || d.Expected == "" || d.Actual == "" || len(d.Lines) == 0 {
			return
		}
		if a, e := sides(d); a != d.Actual || e != d.Expected {
			t.Errorf("lines give %q and %q for %q and %q", a, e, d.Actual, d.Expected)
		}
		for _, line := range d.Lines {
			if utf8.ValidString(message) && !(utf8.ValidString(line.Head) && utf8.ValidString(line.Mark) && utf8.ValidString(line.Tail)) {
				t.Errorf("a character is cut: %+v", line)
			}
		}
	})
}
