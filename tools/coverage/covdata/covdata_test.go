package covdata

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The files of testdata are of a real program: testdata/README.md says how they were made.
// What the toolchain's own decoder says of them is in profile.txt.
func read(t *testing.T, pattern string) [][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("testdata has no %s (%v)", pattern, err)
	}
	var found [][]byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, data)
	}
	return found
}

// The counts of two runs, added up, are those of go tool covdata.
func TestBlocksAreThoseOfTheToolchain(t *testing.T) {
	meta, err := ParseMeta(read(t, "covmeta.*")[0])
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]uint32{}
	for _, counters := range read(t, "covcounters.*") {
		blocks, err := meta.Blocks(counters)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			sums[fmt.Sprintf("%s:%d.%d,%d.%d %d", b.File, b.Line, b.Column, b.EndLine, b.EndColumn, b.Statements)] += b.Count
		}
	}
	var got []string
	for block, count := range sums {
		got = append(got, fmt.Sprintf("%s %d", block, count))
	}
	want := strings.Split(strings.TrimSpace(string(read(t, "profile.txt")[0])), "\n")[1:]
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWithoutCountersNothingRan(t *testing.T) {
	meta, err := ParseMeta(read(t, "covmeta.*")[0])
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := meta.Blocks(nil)
	if err != nil || len(blocks) != 11 {
		t.Fatalf("%d blocks, %v", len(blocks), err)
	}
	for _, b := range blocks {
		if b.Count != 0 {
			t.Errorf("%+v", b)
		}
	}
}

// Whatever is cut off or changed gives an error or some counts, and never a crash.
func TestDamageIsNoCrash(t *testing.T) {
	original, counters := read(t, "covmeta.*")[0], read(t, "covcounters.*")[0]
	whole, err := ParseMeta(original)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(counters) {
		if _, err := whole.Blocks(counters[:n]); err == nil {
			t.Errorf("counters of %d bytes instead of %d are no error", n, len(counters))
		}
	}
	for n := range len(original) {
		if _, err := ParseMeta(original[:n]); err == nil {
			t.Errorf("meta-data of %d bytes instead of %d is no error", n, len(original))
		}
		for _, change := range []byte{0x01, 0x80, 0xff} {
			damaged := bytes.Clone(original)
			damaged[n] ^= change
			if meta, err := ParseMeta(damaged); err == nil {
				_, _ = meta.Blocks(counters)
			}
		}
	}
	for n := range len(counters) {
		damaged := bytes.Clone(counters)
		damaged[n] ^= 0xff
		_, _ = whole.Blocks(damaged)
	}
}

// What is not known is refused rather than misread.
func TestWhatIsNotKnownIsRefused(t *testing.T) {
	meta, counters := read(t, "covmeta.*")[0], read(t, "covcounters.*")[0]
	edit := func(data []byte, at int, to byte) []byte {
		data = bytes.Clone(data)
		data[at] = to
		return data
	}
	for _, c := range []struct {
		name           string
		meta, counters []byte
		want           string
	}{
		{"no meta-data", []byte("mode: set\nsome text that is long enough to be a header.\n"), nil, "does not begin as such"},
		{"newer meta-data", edit(meta, 4, 2), nil, "version 2 is not known"},
		{"no counters", meta, counters[1:], "do not begin as such"},
		{"newer counters", meta, edit(counters, 4, 2), "version 2 is not known"},
		{"another program's counters", meta, edit(counters, 8, ^counters[8]), "another program"},
		{"another encoding", meta, edit(counters, 24, 9), "encoding 9 is not known"},
	} {
		decoded, err := ParseMeta(c.meta)
		if err == nil {
			_, err = decoded.Blocks(c.counters)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

// Whatever comes from a program is decoded or refused.
func FuzzBlocks(f *testing.F) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		return data
	}
	meta := read("covmeta.1")
	f.Add(meta, read("covcounters.1"))
	f.Add(meta, read("covcounters.2"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, meta, counters []byte) {
		m, err := ParseMeta(meta)
		if err != nil {
			return
		}
		all, err := m.Blocks(nil)
		if err != nil {
			t.Fatalf("without counters: %v", err)
		}
		for _, b := range all {
			if b.Count != 0 {
				t.Fatalf("without counters, %v is counted", b)
			}
		}
		if counted, err := m.Blocks(counters); err == nil && len(counted) != len(all) {
			t.Fatalf("%d blocks with counters, %d without", len(counted), len(all))
		}
	})
}
