package main

import (
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// repository is where this package's directory is, both for go test and in the
// runfiles of Bazel, which have the gateway's sources (go_sources) and the
// scenarios.
const repository = "../.."

// Keeps the catalog up to date: a change of a line that a mutant is made of fails here,
// and not in a run of the tool months later.
func TestMutantsFitTheGateway(t *testing.T) {
	for _, m := range catalog() {
		t.Run(m.name, func(t *testing.T) {
			root := t.TempDir()
			before := map[string]string{}
			for _, e := range m.edits {
				if !strings.HasPrefix(e.file, "gateway/") {
					t.Fatalf("edits %s, which is not the gateway's", e.file)
				}
				content, err := os.ReadFile(filepath.Join(repository, e.file))
				if err != nil {
					t.Fatal(err)
				}
				before[e.file] = string(content)
				write(t, root, e.file, string(content))
			}
			restore, err := m.apply(root)
			if err != nil {
				t.Fatal(err)
			}
			for file, content := range before {
				mutated := read(t, root, file)
				if mutated == content {
					t.Errorf("%s is as before", file)
				}
				if strings.HasSuffix(file, ".go") {
					if _, err := format.Source([]byte(mutated)); err != nil {
						t.Errorf("%s is no Go: %v", file, err)
					}
				}
			}
			if err := restore(); err != nil {
				t.Fatal(err)
			}
			for file, content := range before {
				if read(t, root, file) != content {
					t.Errorf("%s is not restored", file)
				}
			}
		})
	}
}

func TestCatalogIsComplete(t *testing.T) {
	names, covered := map[string]bool{}, map[string]bool{}
	for _, m := range catalog() {
		if !regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString(m.name) {
			t.Errorf("%q is no name", m.name)
		}
		if names[m.name] {
			t.Errorf("%s is there twice", m.name)
		}
		names[m.name] = true
		if m.scenario != "" {
			covered[m.scenario] = true
		}
		if (m.scenario == "") == (m.test == "") || m.test != "" && !strings.HasPrefix(m.test, "//gateway/") {
			t.Errorf("%s is noticed by scenario %q and test %q, and must be by one of the two", m.name, m.scenario, m.test)
		}
		if m.promise == "" || m.specs == "" || len(m.edits) == 0 {
			t.Errorf("%s says not what it breaks, who notices or how it is made", m.name)
		}
		if _, err := regexp.Compile(m.specs); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(repository, "e2e", "[0-9]*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	var scenarios []string
	for _, file := range files {
		scenario := strings.TrimSuffix(filepath.Base(file), "_test.go")
		scenarios = append(scenarios, scenario)
		if !covered[scenario] {
			t.Errorf("no mutant breaks a promise of scenario %s", scenario)
		}
	}
	for scenario := range covered {
		if !slices.Contains(scenarios, scenario) {
			t.Errorf("there is no scenario %s", scenario)
		}
	}
}

func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		name  string
		edits []edit
		want  string
	}{
		{"text that is gone", []edit{{"a.go", "three", "3"}}, "0 times"},
		{"text that is there twice", []edit{{"a.go", "two", "2"}}, "2 times"},
		{"second edit that does not fit", []edit{{"a.go", "one", "1"}, {"a.go", "three", "3"}}, "0 times"},
		{"file that is gone", []edit{{"b.go", "one", "1"}}, "b.go"},
		{"no change", []edit{{"a.go", "one", "one"}}, "stays as it is"},
		{"no text", []edit{{"a.go", "", "one"}}, "stays as it is"},
		{"edits of the same text", []edit{{"a.go", "one", "1"}, {"a.go", "one two", "3"}}, "overlap"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, "a.go", "one two two")
			_, err := mutant{name: "broken", edits: c.edits}.apply(root)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "broken") {
				t.Errorf("error %v, want one that names the mutant and says %q", err, c.want)
			}
			if got := read(t, root, "a.go"); got != "one two two" {
				t.Errorf("the file is now %q", got)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	all := []mutant{{name: "storm-a"}, {name: "b"}}
	chosen, err := choose(all, "^storm-")
	if err != nil || len(chosen) != 1 || chosen[0].name != "storm-a" {
		t.Errorf("chosen %v, %v", chosen, err)
	}
	if chosen, err := choose(all, ""); err != nil || len(chosen) != 2 {
		t.Errorf("without --only: %v, %v", chosen, err)
	}
	for _, only := range []string{"(", "nothing"} {
		if chosen, err := choose(all, only); err == nil {
			t.Errorf("--only=%s chooses %v", only, chosen)
		}
	}
}

func write(t *testing.T, root, file, content string) {
	t.Helper()
	path := filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, root, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
