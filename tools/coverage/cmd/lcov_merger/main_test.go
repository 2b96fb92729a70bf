package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What Bazel's collect_coverage.sh calls for a test: all tracefiles below the directory
// are merged, and what the manifest does not list or a filter names is left out.
func TestMergesATestsTracefiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"cov/go_coverage.1.dat":   "SF:a.go\nDA:1,1\nDA:2,0\nend_of_record\nSF:other.go\nDA:1,1\nend_of_record\n",
		"cov/deep/coverage.2.dat": "SF:a.go\nDA:2,3\nend_of_record\nSF:/usr/lib/x.go\nDA:1,1\nend_of_record\n",
		"cov/coverage.dat.cover":  "mode: atomic\nnot LCOV\n",
		"cov/_cc_coverage.dat":    "",
		"manifest":                "a.go\n/usr/lib/x.go\nuntouched.go\n\n",
	})
	out := filepath.Join(dir, "cov", "out.dat")
	write(t, dir, map[string]string{"cov/out.dat": "this is replaced, not read"})
	err := run([]string{
		"--coverage_dir=" + filepath.Join(dir, "cov"), "--output_file=" + out,
		"--filter_sources=/usr/bin/.+", "--filter_sources=/usr/lib/.+",
		"--source_file_manifest=" + filepath.Join(dir, "manifest"),
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, out, "SF:a.go\nDA:1,1\nDA:2,3\nLH:2\nLF:2\nend_of_record\n")
}

// What Bazel calls for --combined_report=lcov.
func TestMergesTheReportsOfAllTests(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"one/coverage.dat": "SF:a.go\nDA:1,1\nend_of_record\n",
		"two/coverage.dat": "SF:a.go\nDA:1,2\nend_of_record\n",
		"baseline.dat":     "SF:never.go\nend_of_record\n",
	})
	var list strings.Builder
	for _, name := range []string{"one/coverage.dat", "two/coverage.dat", "baseline.dat"} {
		list.WriteString(filepath.Join(dir, name) + "\n")
	}
	write(t, dir, map[string]string{"reports": list.String()})
	out := filepath.Join(dir, "out")
	if err := run([]string{"--reports_file=" + filepath.Join(dir, "reports"), "--output_file=" + out, "--parse_parallelism=4"}); err != nil {
		t.Fatal(err)
	}
	expect(t, out, "SF:a.go\nDA:1,3\nLH:1\nLF:1\nend_of_record\nSF:never.go\nLH:0\nLF:0\nend_of_record\n")
}

func TestReplacesReportedPaths(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"cov/x.dat": "SF:gen/a.go\nDA:1,1\nend_of_record\nSF:a.go\nDA:1,1\nend_of_record\n",
		"replace":   "gen/a.go:a.go\n",
		"manifest":  "a.go\n",
	})
	out := filepath.Join(dir, "out")
	err := run([]string{
		"--coverage_dir=" + filepath.Join(dir, "cov"), "--output_file=" + out,
		"--sources_to_replace_file=" + filepath.Join(dir, "replace"), "--source_file_manifest=" + filepath.Join(dir, "manifest"),
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, out, "SF:a.go\nDA:1,2\nLH:1\nLF:1\nend_of_record\n")
}

func expect(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is\n%s\nwant\n%s", path, got, want)
	}
}

// What it can't do is an error, and not a report in which something is missing.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"c/a.gcov.json.gz": "", "llvm/x/default.profdata": "",
		"bad/a.dat":       "SF:a\nDA:x,1\nend_of_record\n",
		"good/a.dat":      "",
		"replace":         "no colon\n",
		"missing_reports": filepath.Join(dir, "nothing.dat") + "\n",
	})
	in, out := func(name string) string { return filepath.Join(dir, name) }, "--output_file="+filepath.Join(dir, "out")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--coverage_dir=" + in("c"), out}, "1 files of C or C++ coverage can't be merged"},
		{[]string{"--coverage_dir=" + in("llvm"), out}, "default.profdata"},
		{[]string{"--coverage_dir=" + in("bad"), out}, "a.dat:2"},
		{[]string{"--coverage_dir=" + in("nowhere"), out}, "nowhere"},
		{[]string{"--reports_file=" + in("nowhere"), out}, "nowhere"},
		{[]string{"--reports_file=" + in("missing_reports"), out}, "nothing.dat"},
		{[]string{"--coverage_dir=" + in("good"), "--source_file_manifest=" + in("nowhere"), out}, "nowhere"},
		{[]string{"--coverage_dir=" + in("good"), "--sources_to_replace_file=" + in("nowhere"), out}, "nowhere"},
		{[]string{"--coverage_dir=" + in("good"), "--sources_to_replace_file=" + in("replace"), out}, "not reported:actual"},
		{[]string{"--coverage_dir=" + in("good"), "--output_file=" + in("no/directory/out")}, "no/directory/out"},
		{[]string{"--coverage_dir=" + in("good")}, "--output_file is missing"},
		{[]string{out}, "one of --coverage_dir and --reports_file"},
		{[]string{"--coverage_dir=a", "--reports_file=b", out}, "one of --coverage_dir and --reports_file"},
		{[]string{"--coverage_dir=a", out, "more"}, `unexpected argument "more"`},
		{[]string{"--coverage_dir=a", out, "--filter_sources=("}, "missing closing"},
		{[]string{"--coverage_dir=a", out, "--unknown=1"}, "unknown"},
	} {
		if err := run(c.args); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %q", c.args, err, c.want)
		}
		if _, err := os.Stat(in("out")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%v: it wrote a report (%v)", c.args, err)
		}
	}
}
