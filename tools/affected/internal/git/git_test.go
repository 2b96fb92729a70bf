package git

import (
	"reflect"
	"testing"
)

func TestParseTree(t *testing.T) {
	got, err := parseTree([]byte("100644 blob aa\ta b\x00120000 blob bb\tc/d\tü\n\x00160000 commit cc\te\x00"))
	want := []Entry{{Path: "a b", Mode: Regular, ID: "aa"}, {Path: "c/d\tü\n", Mode: Symlink, ID: "bb"}, {Path: "e", Mode: Submodule, ID: "cc"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if _, err := parseTree([]byte("nonsense\x00")); err == nil {
		t.Error("nonsense is taken")
	}
}

// TestParseStaged: a path in conflict has an entry for each stage and counts once.
func TestParseStaged(t *testing.T) {
	got, err := parseStaged([]byte("H 100644 aa 0\ta\x00M 100644 b1 1\tb\x00M 100644 b2 2\tb\x00M 100755 b3 3\tb\x00h 100644 cc 0\tc\x00S 100644 dd 0\td\x00s 100755 ee 0\te\x00"))
	want := []Entry{
		{Path: "a", Mode: Regular, ID: "aa"}, {Path: "b", Mode: Regular}, {Path: "c", Mode: Regular, ID: "cc", Unwatched: true},
		{Path: "d", Mode: Regular, ID: "dd", Unwatched: true, Sparse: true}, {Path: "e", Mode: Executable, ID: "ee", Unwatched: true, Sparse: true},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestParseStatus(t *testing.T) {
	got, err := parseStatus([]byte("1 .M N... 100644 100644 100755 aa aa a b\x00" +
		"1 M. N... 100644 100644 100644 aa bb staged only\x00" +
		"1 .D N... 100644 100644 000000 aa aa gone\x00" +
		"1 .M SC.. 160000 160000 160000 aa aa sub\x00" +
		"u UU N... 100644 100644 100644 100644 aa bb cc conflict\x00" +
		"? new/ü\x00"))
	want := []Dirty{
		{Path: "a b", Mode: Executable},
		{Path: "gone"},
		{Path: "sub", Mode: Submodule, Submodule: true},
		{Path: "conflict", Mode: Regular},
		{Path: "new/ü", Untracked: true},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// FuzzParse: no output of git, however damaged, may panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte("100644 blob aa\ta\x00"))
	f.Add([]byte("h 100644 aa 1\ta\x00"))
	f.Add([]byte("1 .M N... 100644 100644 100755 aa aa a b\x00u UU N... 1 1 1 1 a b c d\x00? x\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if entries, err := parseTree(data); err == nil {
			for _, e := range entries {
				if e.ID == "" {
					t.Errorf("an entry without an id: %+v", e)
				}
			}
		}
		_, _ = parseStaged(data) // Errors are as good as entries.
		_, _ = parseStatus(data)
	})
}
