package agreement

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bazelbuild/buildtools/build"
)

// root is the source tree: the test's inputs are links into it.
func root(t *testing.T) string {
	t.Helper()
	module, err := filepath.EvalSymlinks("../../../MODULE.bazel")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(module)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// module is what MODULE.bazel says.
type module struct {
	// versions are those of the modules that it depends on, by name; dev are the modules
	// and repositories that only this repository has when it is the root.
	versions map[string]string
	repos    map[string]bool
	dev      map[string]bool
	patches  []string // of rules_go
}

func parseModule(t *testing.T) module {
	t.Helper()
	file, err := build.ParseModule("MODULE.bazel", read(t, "MODULE.bazel"))
	if err != nil {
		t.Fatal(err)
	}
	m := module{versions: map[string]string{}, repos: map[string]bool{}, dev: map[string]bool{}}
	for _, rule := range file.Rules("") {
		switch rule.Kind() {
		case "module":
			m.repos[rule.Name()] = true
		case "bazel_dep":
			m.versions[rule.Name()] = rule.AttrString("version")
			name := rule.Name()
			if as := rule.AttrString("repo_name"); as != "" {
				name = as
			}
			m.repos[name] = true
			if rule.AttrLiteral("dev_dependency") == "True" {
				m.dev[name] = true
			}
		case "single_version_override":
			if rule.AttrString("module_name") == "rules_go" {
				m.patches = rule.AttrStrings("patches")
			}
		}
	}
	for _, statement := range file.Stmt {
		call, ok := statement.(*build.CallExpr)
		if !ok {
			continue
		}
		if name, ok := call.X.(*build.Ident); !ok || name.Name != "use_repo" {
			continue
		}
		for _, argument := range call.List[1:] {
			switch a := argument.(type) {
			case *build.StringExpr:
				m.repos[a.Value] = true
			case *build.AssignExpr:
				m.repos[a.LHS.(*build.Ident).Name] = true
			}
		}
	}
	if len(m.versions) < 4 || len(m.repos) < 20 {
		t.Fatalf("MODULE.bazel was not understood: %+v", m)
	}
	return m
}

// The offline root has the rules_go and gazelle that MODULE.bazel names, with the same
// patches, and the Bazel of .bazelversion's series.
func TestVersions(t *testing.T) {
	m, setup := parseModule(t), string(read(t, "tools/offline/setup.sh"))
	for name, variable := range map[string]string{"rules_go": "offline_rules_go", "gazelle": "offline_gazelle"} {
		if want := variable + "=v" + m.versions[name] + "\n"; !strings.Contains(setup, want) {
			t.Errorf("setup.sh has no line %q, and MODULE.bazel has %s %s", want, name, m.versions[name])
		}
	}
	var want []string
	for _, patch := range m.patches {
		want = append(want, strings.NewReplacer("//", "", ":", "/").Replace(patch))
	}
	var got []string
	for _, found := range regexp.MustCompile(`apply "\$workspace/(\S+\.patch)"`).FindAllStringSubmatch(setup, -1) {
		got = append(got, found[1])
	}
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("setup.sh applies %q to rules_go, MODULE.bazel %q", got, want)
	}
	for _, patch := range want {
		if strings.Count(setup, patch) < 2 {
			t.Errorf("setup.sh does not make its modules anew when %s changes", patch)
		}
	}
	// The overrides have names that Bazel 7 makes.
	if version := string(read(t, ".bazelversion")); !strings.HasPrefix(version, "7.") {
		t.Errorf(".bazelversion is %q: Debian's Bazel is 7, and the names of repositories in setup.sh are that one's", version)
	}
}

// The repository that stands for the Go SDK is the one that MODULE.bazel makes.
func TestGoSDK(t *testing.T) {
	found := regexp.MustCompile(`go_sdk\.from_file\(\s*name = "([^"]+)"`).FindSubmatch(read(t, "MODULE.bazel"))
	if found == nil {
		t.Fatal("MODULE.bazel has no go_sdk.from_file with a name")
	}
	if want := "rules_go~~go_sdk~" + string(found[1]) + "="; !strings.Contains(string(read(t, "tools/offline/setup.sh")), want) {
		t.Errorf("setup.sh does not override %s", want)
	}
}

// apparent is a repository in a label.
var apparent = regexp.MustCompile(`^@([A-Za-z0-9_.-]+)(//|$)`)

// Every repository that a BUILD or .bzl file names is one that MODULE.bazel declares; and
// one that another repository's build may load (tools, without what only this repository
// runs) is no dev dependency, which it would not have. Where all modules are overridden,
// as offline, the second mistake shows nowhere.
func TestRepositoriesAreDeclared(t *testing.T) {
	m, top := parseModule(t), root(t)
	builtIn := []string{"bazel_tools", "local_config_platform"}
	checked := 0
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if strings.HasPrefix(entry.Name(), "bazel-") || entry.Name() == ".git" || slices.Contains(others, relative) {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || (entry.Name() != "BUILD.bazel" && filepath.Ext(path) != ".bzl") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := build.Parse(relative, source)
		if err != nil {
			return err
		}
		checked++
		for repo := range repositories(file) {
			switch {
			case slices.Contains(builtIn, repo):
			case !m.repos[repo]:
				t.Errorf("%s names @%s, which MODULE.bazel does not declare (bazel_dep or use_repo)", relative, repo)
			case m.dev[repo] && strings.HasPrefix(relative, "tools/") && filepath.Ext(path) == ".bzl":
				t.Errorf("%s names @%s, a dev dependency of MODULE.bazel: a repository that loads this file does not have it", relative, repo)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 50 {
		t.Fatalf("%d files under %s: the source tree was not found", checked, top)
	}
}

// others are repositories of their own.
var others = []string{"tools/offline/modules", "tools/fixture/tests/consumer", "tools/fixture/tests/liars/workspace", "tools/fixture/tests/caching/workspace", "tools/fixture/tests/queries/workspace"}

// repositories are those in the strings of a file that are labels.
func repositories(file *build.File) map[string]bool {
	found := map[string]bool{}
	build.Walk(file, func(x build.Expr, _ []build.Expr) {
		if s, ok := x.(*build.StringExpr); ok && !s.TripleQuote {
			if match := apparent.FindStringSubmatch(s.Value); match != nil {
				found[match[1]] = true
			}
		}
	})
	return found
}
