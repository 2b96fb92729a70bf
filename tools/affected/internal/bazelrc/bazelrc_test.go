package bazelrc

import (
	"strings"
	"testing"

	"stormgate.internal/tools/affected/internal/snapshot"
)

func TestParse(t *testing.T) {
	options := Parse(".bazelrc", []byte(`# a comment
build --jobs=4 --nokeep_going -c opt \
  --copt=-O2 # the rest
test:ci --test_env="A=b c" --cache_test_results=no
common --//x:flag
import %workspace%/more.bazelrc
`))
	var got []string
	for _, o := range options {
		got = append(got, o.Command+":"+o.Config+" "+o.Name+"="+o.Value)
	}
	want := "build: jobs=4, build: keep_going=0, build: compilation_mode=opt, build: copt=-O2, test:ci test_env=A=b c, test:ci cache_test_results=0, common: //x:flag=1, import: import=%workspace%/more.bazelrc"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("got %s\nwant %s", text, want)
	}
}

func effective(t *testing.T, files map[string]string, configs ...string) string {
	t.Helper()
	var all []string
	for _, o := range Effective(Read(t.Context(), snapshot.Of(files)), configs) {
		all = append(all, o.Name+"="+o.Value)
	}
	return strings.Join(all, " ")
}

// TestEffective: bazel test takes always, common, build and test, configs where they are
// named, and imports.
func TestEffective(t *testing.T) {
	files := map[string]string{
		".bazelrc":     "test --b=2\nbuild --a=1\nquery --q\nbuild:x --x=1\ntest:y --config=x --y=1\nbuild --config=z\nbuild:z --z=1\ntry-import %workspace%/more.bazelrc\ntry-import %workspace%/missing.bazelrc\n",
		"more.bazelrc": "common --more\nimport %workspace%/.bazelrc\n",
	}
	if got, want := effective(t, files), "more=1 a=1 z=1 b=2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := effective(t, files, "y"), "more=1 a=1 z=1 b=2 x=1 y=1"; got != want {
		t.Errorf("with a config: got %s, want %s", got, want)
	}
	if got := effective(t, map[string]string{".bazelrc": "build:a --config=b\nbuild:b --config=a\nbuild --config=a\n"}); got != "" {
		t.Errorf("configs that name each other: %s", got)
	}
}

// TestSystem: the config of the system that Bazel runs on counts, unless it is told not
// to.
func TestSystem(t *testing.T) {
	other := "windows"
	if system == other {
		other = "linux"
	}
	lines := "build:" + system + " --a=1\ntest:" + system + " --b=1\nbuild:" + other + " --c=1\n"
	for first, want := range map[string]string{
		"": "a=1 b=1",
		"common --enable_platform_specific_config\n":   "enable_platform_specific_config=1 a=1 b=1",
		"common --enable_platform_specific_config=t\n": "enable_platform_specific_config=t a=1 b=1",
		"build --noenable_platform_specific_config\n":  "enable_platform_specific_config=0",
	} {
		if got := effective(t, map[string]string{".bazelrc": first + lines}); got != want {
			t.Errorf("after %q: got %s, want %s", first, got, want)
		}
	}
}

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		base, head string
		want       Scope
		name       string
	}{
		{"build --jobs=4", "build --jobs=5", Nothing, "jobs"},
		{"build --copt=a", "build --copt=b", Everything, "copt"},
		{"build --copt=a --copt=b", "build --copt=b --copt=a", Everything, "copt"},
		{"build --frobnicate", "", Everything, "frobnicate"},
		{"test --test_env=A=1", "test --test_env=A=2", Tests, "test_env"},
		{"build --define=a=b", "build --define=a=c", Variables, "define"},
		{"build --stamp", "build --nostamp", Status, "stamp"},
		{"build --//a:b=1", "build --//a:b=2", Setting, "//a:b"},
		{"build --@rules_go//go/config:pure", "", Setting, "@rules_go//go/config:pure"},
		{"startup --host_jvm_args=-Xmx1g", "", Nothing, "startup host_jvm_args"},
		{"startup --digest_function=blake3", "", Everything, "startup digest_function"},
		{"build --sandbox_default_allow_network=false", "", Nothing, "sandbox_default_allow_network"},
		{"build --remote_default_exec_properties=a=b", "", Everything, "remote_default_exec_properties"},
	} {
		read := func(text string) []Option { return Effective(Parse(".bazelrc", []byte(text)), nil) }
		got := Diff(read(c.base), read(c.head))
		if len(got) != 1 || got[0].Scope != c.want || got[0].Name != c.name {
			t.Errorf("%q to %q: %+v, want %s with scope %d", c.base, c.head, got, c.name, c.want)
		}
	}
	if got := Diff(Parse("", []byte("build --a=1\nbuild --b=1")), Parse("", []byte("build --b=1 --a=true"))); len(got) != 0 {
		t.Errorf("another order and spelling: %+v", got)
	}
	// Of two spellings of one option the last counts.
	for _, c := range [][2]string{
		{"-c opt", "--compilation_mode=dbg"}, {"--compilation_mode=opt", "--compilation_mode dbg"}, {"--nofrob", "--frob=true"}, {"--nofrob", "--frob"},
		{"--//a/b=x", "--//a/b:b=y"}, {"--@//a=x", "--//a=y"}, {"--@a=x", "--@@a//:a=y"}, {"--flag_alias=f=//a --f=x", "--//a=y"}, {"--no//a", "--//a=yes"},
	} {
		read := func(a, b string) []Option {
			return Effective(Parse(".bazelrc", []byte("build "+a+"\nbuild "+b)), nil)
		}
		if got := Diff(read(c[0], c[1]), read(c[1], c[0])); len(got) != 1 {
			t.Errorf("%s and %s change places: %+v", c[0], c[1], got)
		}
	}
	if got := Diff(Parse("", []byte("build -c opt --nofrob")), Parse("", []byte("build --frob=false --compilation_mode opt"))); len(got) != 0 {
		t.Errorf("other spellings: %+v", got)
	}
}

// FuzzParse: no line panics, and what is read twice is the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte("build --a=b \\\n c"))
	f.Add([]byte("x 'a \"b' # c\nimport"))
	f.Fuzz(func(t *testing.T, data []byte) {
		options := Parse("f", data)
		if len(Diff(options, Parse("f", data))) != 0 {
			t.Error("the same text differs from itself")
		}
	})
}
