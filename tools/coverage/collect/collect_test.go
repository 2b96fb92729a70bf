package collect

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stormgate.internal/tools/coverage/live"
)

// snapshot is that of a small program with the files example.com/tiny/main.go and
// example.com/tiny/lib/lib.go.
func snapshot(t *testing.T) live.Snapshot {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("..", "covdata", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return live.Snapshot{
		Meta: read("covmeta.1"), Counters: read("covcounters.1"),
		Sources: map[string]string{"example.com/tiny/main.go": "tiny/main.go", "example.com/tiny/lib/lib.go": "odd/folder/lib.go"},
	}
}

// underCoverage is what Bazel sets, with a manifest of these sources.
func underCoverage(t *testing.T, sources ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	manifest := filepath.Join(t.TempDir(), "manifest")
	if err := os.WriteFile(manifest, []byte(strings.Join(sources, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(DirVariable, dir)
	t.Setenv(ManifestVariable, manifest)
	return dir
}

// A snapshot becomes a tracefile with Bazel's paths, of what the manifest lists: the
// program says which path is which, since names of packages need not be those of folders.
func TestAdd(t *testing.T) {
	dir := underCoverage(t, "lib.go", "lib/lib.go", "odd/folder/lib.go", "main.go")
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	const want = "SF:odd/folder/lib.go\nDA:4,1\nDA:5,2\nDA:6,2\nDA:7,2\nDA:8,1\nLH:5\nLF:5\nend_of_record\n"
	for range 2 { // a later snapshot has what the earlier one had
		unwanted, err := c.Add("calm/gateway-0 gateway", snapshot(t))
		if err != nil || !slices.Equal(unwanted, []string{"tiny/main.go"}) {
			t.Errorf("unwanted %q, %v", unwanted, err)
		}
		file, err := os.ReadFile(filepath.Join(dir, "live.calm.gateway-0_gateway.dat"))
		if err != nil || string(file) != want {
			t.Errorf("got\n%s\nwant\n%s\n%v", file, want, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	lost := snapshot(t)
	delete(lost.Sources, "example.com/tiny/main.go")
	if _, err := c.Add("x", lost); err == nil || !strings.Contains(err.Error(), "which source example.com/tiny/main.go is") {
		t.Errorf("a file of which nobody knows the source: %v", err)
	}
}

// What go tool covdata reads.
func TestKeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "dir")
	for range 2 {
		if err := Keep(dir, snapshot(t)); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	const hash = "11334ee6eb9112878f120c3f21c3b1af"
	if want := []string{"covcounters." + hash + ".1.1", "covmeta." + hash, SourcesFile}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%q, %v, want %q", names, err, want)
	}
}

func TestErrors(t *testing.T) {
	t.Setenv(DirVariable, "")
	t.Setenv(ManifestVariable, "")
	if Wanted() {
		t.Error("without Bazel's variables coverage is wanted")
	}
	if _, err := New(); err == nil || !strings.Contains(err.Error(), "bazel coverage") {
		t.Errorf("without Bazel's variables: %v", err)
	}
	underCoverage(t)
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	good := snapshot(t)
	for name, bad := range map[string]live.Snapshot{"meta": {Meta: []byte("x"), Counters: good.Counters}, "counters": {Meta: good.Meta, Counters: []byte("x")}} {
		if _, err := c.Add(name, bad); err == nil || !strings.Contains(err.Error(), "of "+name) {
			t.Errorf("bad %s: %v", name, err)
		}
	}
	if err := Keep(t.TempDir(), live.Snapshot{}); err == nil {
		t.Error("keeping nothing is no error")
	}
	t.Setenv(ManifestVariable, "/nonexistent/manifest")
	if _, err := New(); err == nil || !strings.Contains(err.Error(), "/nonexistent/manifest") {
		t.Errorf("without a manifest: %v", err)
	}
}
