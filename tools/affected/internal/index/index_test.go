package index

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"stormgate.internal/tools/affected/internal/load"
	"stormgate.internal/tools/affected/internal/snapshot"
)

var files = map[string]string{
	"BUILD":   "load(\":defs.bzl\", \"macro\")\nload(\"@far//:far.bzl\", \"far\")\nfilegroup(name = \"g\", srcs = glob([\"*.txt\"]))\nmacro(\"m\")\nfar(name = \"f\", outs = [\"x\"], tags = [\"manual\"])\n",
	"a.txt":   "a",
	"p/BUILD": "sh_test(name = \"p_test\", srcs = [\"//:a.txt\"])\n",
	"defs.bzl": `def _impl(ctx):
    return ctx.info_file
_aspect = aspect(implementation = _impl)
r = rule(implementation = _impl, attrs = {"x": attr.label(default = "//:a.txt", aspects = [_aspect])}, toolchains = ["//:t"], test = True)
def macro(name):
    r(name = name)
`,
}

func load1(t *testing.T, x *Index, files map[string]string) []*load.Package {
	t.Helper()
	w := load.NewWorkspace(t.Context(), snapshot.Of(files), map[string]*load.Repo{"": {Mapping: map[string]string{"": ""}}})
	loader := load.NewLoader(t.Context(), w)
	var packages []*load.Package
	for _, pkg := range w.Packages("") {
		p, err := x.Package(w, loader, "mapping", "", pkg)
		if err != nil {
			t.Fatal(err)
		}
		if p.Failed != "" {
			t.Fatal(p.Failed)
		}
		packages = append(packages, p)
	}
	return packages
}

func saved(t *testing.T, files map[string]string) (string, []*load.Package) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dir", "index")
	x := Open(file, "me")
	packages := load1(t, x, files)
	if err := x.Save(); err != nil {
		t.Fatal(err)
	}
	return file, packages
}

// TestRoundTrip: what is read is what was written, to the last field.
func TestRoundTrip(t *testing.T) {
	file, want := saved(t, files)
	x := Open(file, "me")
	got := load1(t, x, files)
	if x.Misses != 0 || x.Hits != 2 {
		t.Errorf("%d hits, %d misses", x.Hits, x.Misses)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
}

// TestValid: an entry is used while what it was made from is the same.
func TestValid(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(map[string]string)
		misses int
	}{
		{"nothing", func(map[string]string) {}, 0},
		{"content of a source", func(f map[string]string) { f["a.txt"] = "b" }, 0},
		{"BUILD file", func(f map[string]string) { f["p/BUILD"] += "\n" }, 1},
		{"loaded file", func(f map[string]string) { f["defs.bzl"] += "\n" }, 1},
		{"name that a glob may find", func(f map[string]string) { f["b.txt"] = "b" }, 1},
		{"name where nothing globs", func(f map[string]string) { f["p/b.txt"] = "b" }, 0},
		{"BUILD file of another name", func(f map[string]string) { f["p/BUILD.bazel"] = f["p/BUILD"]; delete(f, "p/BUILD") }, 1},
	} {
		file, _ := saved(t, files)
		head := map[string]string{}
		for k, v := range files {
			head[k] = v
		}
		c.change(head)
		x := Open(file, "me")
		load1(t, x, head)
		if x.Misses != c.misses {
			t.Errorf("%s: %d packages were evaluated, want %d", c.name, x.Misses, c.misses)
		}
	}
}

// TestDamaged: no damage is taken for an index, each is said, and the next save repairs it.
func TestDamaged(t *testing.T) {
	file, _ := saved(t, files)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"empty": {}, "text": []byte("nonsense"), "cut off": content[:len(content)-1], "longer": append(append([]byte{}, content...), 0),
		"a bit": append(append([]byte{}, content[:len(content)-5]...), append([]byte{content[len(content)-5] ^ 1}, content[len(content)-4:]...)...),
	} {
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		x := Open(file, "me")
		if !strings.Contains(x.Problem, file) {
			t.Errorf("%s: problem is %q", name, x.Problem)
		}
		load1(t, x, files)
		if err := x.Save(); err != nil {
			t.Fatal(err)
		}
		if again := Open(file, "me"); again.Problem != "" || len(again.entries) != 2 {
			t.Errorf("%s: not repaired: %q", name, again.Problem)
		}
	}
}

// TestOtherProgram: what another program computed is not used, and that is no damage.
func TestOtherProgram(t *testing.T) {
	file, _ := saved(t, files)
	x := Open(file, "other")
	load1(t, x, files)
	if x.Problem != "" || x.Hits != 0 {
		t.Errorf("problem %q, %d hits", x.Problem, x.Hits)
	}
}

// TestUnwritable: the error says what to do.
func TestUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	x := Open(filepath.Join(file, "index"), "me")
	load1(t, x, files)
	if err := x.Save(); err == nil || !strings.Contains(err.Error(), "--index") {
		t.Errorf("error is %v", err)
	}
}

// TestVariants: the number of versions of a package is bounded, and those in use stay.
func TestVariants(t *testing.T) {
	file := filepath.Join(t.TempDir(), "index")
	head := map[string]string{"BUILD": ""}
	for range 3 * variants {
		head["BUILD"] += "\n"
		x := Open(file, "me")
		load1(t, x, head)
		if err := x.Save(); err != nil {
			t.Fatal(err)
		}
	}
	x := Open(file, "me")
	if n := len(x.entries["@//"]); n != variants {
		t.Errorf("%d versions are kept, want %d", n, variants)
	}
	load1(t, x, head)
	if x.Misses != 0 {
		t.Error("the last version was dropped")
	}
}

// FuzzDecode: no content panics or takes memory without bound.
func FuzzDecode(f *testing.F) {
	x := Open("", "me")
	f.Add(encode(x.entries, "me"))
	w := load.NewWorkspace(f.Context(), snapshot.Of(files), map[string]*load.Repo{"": {Mapping: map[string]string{"": ""}}})
	if _, err := x.Package(w, load.NewLoader(f.Context(), w), "", "", ""); err != nil {
		f.Fatal(err)
	}
	f.Add(encode(x.entries, "me"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = decode(data, "me") // Damage is an error.
		// Past the checksum.
		c := &codec{data: data, strings: []string{"a", "b"}}
		entries, builder := map[string][]*entry{}, ""
		c.index(&entries, &builder)
	})
}

// A device, a pipe or a folder is not replaced by an index: to the superuser /dev/null is a
// name like any other.
func TestOnlyFilesAreReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	x := Open(file, "")
	if !strings.Contains(x.Problem, "is no file") {
		t.Errorf("a pipe: the problem is %q", x.Problem)
	}
	load1(t, x, files)
	if err := x.Save(); err == nil || !strings.Contains(err.Error(), "--index=none") {
		t.Errorf("a pipe is written: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe is %v, %v", info, err)
	}
}
