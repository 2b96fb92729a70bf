package actionkeys

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// message builds a protocol buffer: pairs of a field's number and its value.
func message(pairs ...any) []byte {
	var out []byte
	for i := 0; i < len(pairs); i += 2 {
		number := protowire.Number(pairs[i].(int))
		switch value := pairs[i+1].(type) {
		case int:
			out = protowire.AppendVarint(protowire.AppendTag(out, number, protowire.VarintType), uint64(value))
		case string:
			out = protowire.AppendString(protowire.AppendTag(out, number, protowire.BytesType), value)
		case []byte:
			out = protowire.AppendBytes(protowire.AppendTag(out, number, protowire.BytesType), value)
		case []int: // packed
			var packed []byte
			for _, n := range value {
				packed = protowire.AppendVarint(packed, uint64(n))
			}
			out = protowire.AppendBytes(protowire.AppendTag(out, number, protowire.BytesType), packed)
		}
	}
	return out
}

// sample is a graph as Bazel writes it: test //p:a runs a script on data that a
// generator makes of p/in; test //p:b has the script only. Both are checked by nogo's
// action of their own target.
type sample struct {
	generatorKey, testKey, nogoKey string
	// generator is the mnemonic of the generator's action, Genrule by default.
	generator string
	// nested has the depsets of a's inputs nested, else flat.
	nested bool
	// loop makes the generator an input of itself.
	loop bool
}

func (s sample) graph() []byte {
	paths := []string{"", "p", "p/in", "p/run.sh", "out", "out/gen", "out/a.log", "out/b.log", "out/a.nogo", "out/nogo.cfg"}
	var out []byte
	container := func(field int, m []byte) { out = append(out, message(field, m)...) }
	for id, path := range paths[1:] {
		parent := slices.Index(paths, strings.TrimSuffix(filepath.Dir(path), "."))
		container(containerFragments, message(fragmentID, id+1, fragmentLabel, filepath.Base(path), fragmentParent, parent))
		container(containerArtifacts, message(artifactID, id+1, artifactFragment, id+1))
	}
	for id, label := range []string{"//p:a", "//p:b", "//p:gen"} {
		container(containerTargets, message(targetID, id+1, targetLabel, label))
	}
	generatorInputs := []int{2}
	if s.loop {
		generatorInputs = append(generatorInputs, 5)
	}
	sets := map[int][]byte{1: message(depSetID, 1, depSetDirect, generatorInputs), 2: message(depSetID, 2, depSetDirect, []int{3, 5}), 3: message(depSetID, 3, depSetDirect, 3), 5: message(depSetID, 5, depSetDirect, 9)}
	if s.nested {
		sets[2] = message(depSetID, 2, depSetTransitive, []int{3, 4}, depSetDirect, []int{3})
		sets[4] = message(depSetID, 4, depSetDirect, 5)
	}
	for _, id := range slices.Sorted(maps.Keys(sets)) {
		container(containerDepSets, sets[id])
	}
	container(containerActions, message(actionTarget, 3, actionKey, s.generatorKey, actionMnemonic, cmp.Or(s.generator, "Genrule"), actionInputs, 1, actionOutputs, 5))
	container(containerActions, message(actionTarget, 1, actionKey, s.testKey, actionMnemonic, testRunner, actionInputs, []int{2}, actionOutputs, []int{6}))
	container(containerActions, message(actionTarget, 2, actionKey, "b", actionMnemonic, testRunner, actionInputs, 3, actionOutputs, 7))
	container(containerActions, message(actionTarget, 3, actionKey, s.nogoKey, actionMnemonic, "RunNogo", actionInputs, 5, actionOutputs, 8))
	// A field that is not read, of a type that none of those has.
	out = protowire.AppendFixed64(protowire.AppendTag(out, 99, protowire.Fixed64Type), 1)
	return out
}

// TestWithoutMappings: the key of the action that writes a mapping is left out, what it
// reads is not, nor is the key of any other action.
func TestWithoutMappings(t *testing.T) {
	key := func(s sample, content string) Key {
		g, err := Read(s.graph())
		if err != nil {
			t.Fatal(err)
		}
		g.WithoutMappings = true
		keys, err := g.Keys(func(string) (string, error) { return content, nil })
		if err != nil {
			t.Fatal(err)
		}
		return keys["//p:a"]
	}
	one, other := sample{generator: repositoryMapping, generatorKey: "1"}, sample{generator: repositoryMapping, generatorKey: "2"}
	if key(one, "x") != key(other, "x") {
		t.Error("another mapping changes the key")
	}
	if key(one, "x") == key(other, "y") {
		t.Error("an input of the mapping's action does not change the key")
	}
	if key(sample{generatorKey: "1"}, "x") == key(sample{generatorKey: "2"}, "x") {
		t.Error("the key of another action does not count")
	}
}

func keysOf(t *testing.T, s sample, contents map[string]string) map[string]Key {
	t.Helper()
	g, err := Read(s.graph())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := g.Keys(func(path string) (string, error) {
		content, ok := contents[path]
		if !ok {
			return "", fmt.Errorf("unexpected source %q", path)
		}
		return content, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// What a key depends on is what the truth is made of: too little and a miss of affected
// is not seen, too much and it is blamed for what it rightly leaves out.
func TestKeysDependOnWhatATestIsMadeOf(t *testing.T) {
	base := sample{generatorKey: "g", testKey: "a", nogoKey: "n"}
	sources := map[string]string{"p/in": "in", "p/run.sh": "run", "out/nogo.cfg": "cfg"}
	with := func(path, content string) map[string]string {
		changed := maps.Clone(sources)
		changed[path] = content
		return changed
	}
	for _, c := range []struct {
		name     string
		graph    sample
		contents map[string]string
		want     []string
	}{
		{"nothing", base, sources, nil},
		{"a source of a generated input", base, with("p/in", "other"), []string{"//p:a"}},
		{"a source of both", base, with("p/run.sh", "other"), []string{"//p:a", "//p:b"}},
		{"the generator's action", sample{generatorKey: "other", testKey: "a", nogoKey: "n"}, sources, []string{"//p:a"}},
		{"the test's action", sample{generatorKey: "g", testKey: "other", nogoKey: "n"}, sources, []string{"//p:a"}},
		{"a validation of what makes an input", sample{generatorKey: "g", testKey: "a", nogoKey: "other"}, sources, []string{"//p:a"}},
		{"a validation's input", base, with("out/nogo.cfg", "other"), []string{"//p:a"}},
		{"how inputs are nested", sample{generatorKey: "g", testKey: "a", nogoKey: "n", nested: true}, sources, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := keysOf(t, base, sources), keysOf(t, c.graph, c.contents)
			if got := slices.Sorted(maps.Keys(before)); !slices.Equal(got, []string{"//p:a", "//p:b"}) {
				t.Fatalf("tests are %q", got)
			}
			var changed []string
			for label, key := range after {
				if before[label] != key {
					changed = append(changed, label)
				}
			}
			slices.Sort(changed)
			if !slices.Equal(changed, c.want) {
				t.Errorf("changed keys are those of %q, want %q", changed, c.want)
			}
		})
	}
}

func TestKeysFailForAGraphThatIsNone(t *testing.T) {
	g, err := Read(sample{loop: true}.graph())
	if err != nil {
		t.Fatal(err)
	}
	content := func(string) (string, error) { return "", nil }
	if _, err := g.Keys(content); err == nil || !strings.Contains(err.Error(), "Genrule of //p:gen is an input of itself") {
		t.Errorf("a loop: error is %v", err)
	}
	g, err = Read(sample{}.graph())
	if err != nil {
		t.Fatal(err)
	}
	failing := func(path string) (string, error) { return "", fmt.Errorf("no %s", path) }
	if _, err := g.Keys(failing); err == nil || !strings.Contains(err.Error(), "input of ") {
		t.Errorf("a source that can't be read: error is %v", err)
	}
}

func TestReadRefusesWhatIsNoGraph(t *testing.T) {
	whole := sample{}.graph()
	if _, err := Read(whole[:len(whole)-4]); err == nil || !strings.Contains(err.Error(), "read Bazel's action graph") {
		t.Errorf("a graph that ends early: error is %v", err)
	}
	torn := message(containerDepSets, message(depSetTransitive, []byte{0x80}))
	if _, err := Read(torn); err == nil {
		t.Error("a number that ends early is read")
	}
	circle := message(containerFragments, message(fragmentID, 1, fragmentLabel, "a", fragmentParent, 2))
	circle = append(circle, message(containerFragments, message(fragmentID, 2, fragmentLabel, "b", fragmentParent, 1))...)
	if _, err := Read(circle); err == nil {
		t.Error("a path without an end is read")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample{}.graph())
	f.Add(sample{nested: true}.graph())
	f.Fuzz(func(t *testing.T, message []byte) {
		g, err := Read(message)
		if err != nil {
			return
		}
		_, _ = g.Keys(func(string) (string, error) { return "", nil })
	})
}

func TestFilesDigestContent(t *testing.T) {
	root, base := t.TempDir(), t.TempDir()
	write := func(dir, path, content string) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(root, "p/file", "one")
	write(root, "p/same", "one")
	write(root, "p/dir/sub/file", "one")
	write(base, "external/other/file", "one")
	write(base, "execroot/_main/bazel-out/stable-status.txt", "STABLE 1")
	if err := os.Symlink("file", filepath.Join(root, "p/link")); err != nil {
		t.Fatal(err)
	}
	files := &Files{Root: root, OutputBase: base, Status: true}
	digest := func(path string) string {
		t.Helper()
		d, err := files.Content(path)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	one := digest("p/file")
	for _, same := range []string{"p/same", "p/link", "external/other/file", "p/file"} {
		if got := digest(same); got != one {
			t.Errorf("%s has digest %s, want that of the same content, %s", same, got, one)
		}
	}
	paths := []string{"p/file", "p/link", "p/dir", "bazel-out/stable-status.txt", "bazel-out/volatile-status.txt"}
	before := map[string]string{}
	for _, path := range paths {
		before[path] = digest(path)
	}
	write(root, "p/file", "two")
	write(root, "p/dir/sub/file", "two")
	write(base, "execroot/_main/bazel-out/stable-status.txt", "STABLE 2")
	for _, path := range paths {
		changed := digest(path) != before[path]
		if want := path != "bazel-out/volatile-status.txt"; changed != want {
			t.Errorf("%s has another digest: %v, want %v", path, changed, want)
		}
	}
	if got := digest("p/absent"); got != "absent" {
		t.Errorf("a file that is not there has digest %q", got)
	}
	if _, err := files.Content("bazel-out/k8/bin/p/out"); err == nil || !strings.Contains(err.Error(), "made by no action") {
		t.Errorf("an output: error is %v", err)
	}
	files.Same = func(path string) bool { return path == "p/dir" }
	if digest("p/dir") == before["p/dir"] || digest("p/file") == digest("p/dir") {
		t.Error("what any content is good for has the digest of its content")
	}
	files.Status = false
	first := digest("bazel-out/stable-status.txt")
	write(base, "execroot/_main/bazel-out/stable-status.txt", "STABLE 3")
	if digest("bazel-out/stable-status.txt") != first {
		t.Error("without Status, the stable status has another digest after a change")
	}
}
