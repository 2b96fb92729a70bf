package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/procstat"
	"stormgate.internal/tools/internal/child"
)

func openTestJournal(t *testing.T) (*Journal, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "etcd.log")
	journal, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { journal.Close() })
	return journal, path
}

// Promise: the tail is the last lines however the output was cut into writes.
func TestTail(t *testing.T) {
	for name, test := range map[string]struct {
		writes []string
		want   []string
	}{
		"nothing":         {nil, nil},
		"whole lines":     {[]string{"a\n", "b\n"}, []string{"a", "b"}},
		"cut line":        {[]string{"a", "b\nc", "\n"}, []string{"ab", "c"}},
		"unfinished line": {[]string{"a\nb"}, []string{"a", "b"}},
		"panic": {[]string{"panic: no space left\n\ngoroutine 1 gp=0xc000002380 m=0 [running]:\nmain.(*T).do(0x1?, {0x2, 0x3})\n\t/src/main.go:12 +0x54\n" +
			"go.uber.org/zap.(*Logger).Panic(...)\n\t/src/l.go:2\ncreated by main.main in goroutine 7\n\t/src/x.go:1\n\nI1123 goes on\n"},
			[]string{"panic: no space left", "", "I1123 goes on"}},
		"empty line": {[]string{"\n\na\n"}, []string{"", "", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			journal, path := openTestJournal(t)
			for _, write := range test.writes {
				fmt.Fprint(journal, write)
			}
			if got := journal.Tail(); !slices.Equal(got, test.want) {
				t.Errorf("tail = %q, want %q", got, test.want)
			}
			content, err := os.ReadFile(path)
			if err != nil || string(content) != strings.Join(test.writes, "") {
				t.Errorf("file = %q, %v", content, err)
			}
		})
	}
}

// Promise: memory is bounded in lines and in the length of one.
func TestTailIsBounded(t *testing.T) {
	journal, _ := openTestJournal(t)
	for i := range child.TailLines + 5 {
		fmt.Fprintln(journal, i)
	}
	fmt.Fprintln(journal, strings.Repeat("x", 3*child.TailLineBytes))
	tail := journal.Tail()
	if len(tail) != child.TailLines || tail[0] != "6" {
		t.Errorf("%d lines, the first is %q", len(tail), tail[0])
	}
	if last := tail[len(tail)-1]; len(last) != child.TailLineBytes {
		t.Errorf("a long line is kept with %d bytes", len(last))
	}
}

// Promise: a log does not grow for ever.
func TestJournalIsSetAside(t *testing.T) {
	journal, path := openTestJournal(t)
	chunk := []byte(strings.Repeat("x", 1<<20-1) + "\n")
	for range journalBytes>>20 + 1 {
		journal.Write(chunk)
	}
	for file, want := range map[string]int64{path: 1 << 20, path + ".1": journalBytes} {
		info, err := os.Stat(file)
		if err != nil || info.Size() != want {
			t.Errorf("%s: %v, want %d bytes", filepath.Base(file), err, want)
		}
	}
}

// Promise: a full disk costs lines in the file, and is reported once; the
// component never sees it. /dev/full answers every write with ENOSPC.
func TestFullDiskIsReportedOnce(t *testing.T) {
	journal, err := OpenJournal("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	var reports []error
	journal.OnError = func(err error) { reports = append(reports, err) }
	for range 3 {
		if n, err := journal.Write([]byte("line\n")); n != 5 || err != nil {
			t.Fatalf("write = %d, %v: the component would stop", n, err)
		}
	}
	if len(reports) != 1 || !strings.Contains(reports[0].Error(), "/dev/full") {
		t.Errorf("reports = %v, want one that names the file", reports)
	}
	if len(journal.Tail()) != 3 {
		t.Errorf("tail = %q", journal.Tail())
	}
}

func TestOpenJournalNamesTheFile(t *testing.T) {
	if _, err := OpenJournal(filepath.Join(t.TempDir(), "absent", "etcd.log")); err == nil || !strings.Contains(err.Error(), "etcd.log") {
		t.Errorf("error = %v", err)
	}
}

// parseUsage is UsageOf for a status that is given.
func parseUsage(text string) (api.Usage, error) {
	stat, err := procstat.Parse([]byte(text))
	if err != nil {
		return api.Usage{}, err
	}
	return usageIn(stat)
}

// The command's name may hold what the format is made of.
func TestParseStat(t *testing.T) {
	const rest = " S 1 1 1 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 9 0 12345 1000000 300 18446744073709551615"
	for _, name := range []string{"etcd", "a b) (c"} {
		usage, err := parseUsage("42 (" + name + ")" + rest)
		if err != nil || usage.CPUSeconds != 2 || usage.RSSBytes != 300*int64(os.Getpagesize()) {
			t.Errorf("%s: %+v, %v", name, usage, err)
		}
	}
	for _, broken := range []string{"", "42 (etcd", "42 (etcd) S 1", "42 (x) S 1 1 1 0 -1 4194560 1 2 3 4 x 50 7 8 20 0 9 0 12345 1000000 300 1"} {
		if _, err := parseUsage(broken); err == nil {
			t.Errorf("%q was parsed", broken)
		}
	}
}
