package gateway_test

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

//go:embed CONTRACT.md
var coverage string

var reference = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")

// testsBelow returns the tests and fuzz targets of all packages below this one, as
// package.Test. Under Bazel their sources are data.
func testsBelow(t *testing.T) map[string]bool {
	t.Helper()
	tests := make(map[string]bool)
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declaration := range parsed.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil {
				tests[path.Dir(file)+"."+function.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

// items returns the sections and deviations that must have a row.
func items() []string {
	all := []string{"1", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "2", "3", "3.1", "3.2", "3.3", "4.1", "4.2", "5.1", "5.2", "5.3", "5.4", "6", "7", "8", "9", "10"}
	for d := 1; d <= 28; d++ {
		all = append(all, fmt.Sprintf("D%d", d))
	}
	return all
}

// The table of what covers the contract is complete, and true as far as names go.
func TestCoverage(t *testing.T) {
	tests := testsBelow(t)
	if !tests["server.TestRoutes"] {
		t.Fatalf("only %d tests found: the sources of the packages' tests are not here", len(tests))
	}
	covered := make(map[string]bool)
	for line := range strings.Lines(coverage) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.Contains(line, "---") || strings.TrimSpace(cells[1]) == "item" {
			continue
		}
		item := strings.TrimSpace(cells[1])
		references := reference.FindAllStringSubmatch(cells[3], -1)
		if len(references) == 0 {
			t.Errorf("%s: no test", item)
		}
		covered[item] = true
		for _, r := range references {
			if !tests[r[1]+"."+r[2]] {
				t.Errorf("%s: %s.%s does not exist", item, r[1], r[2])
			}
		}
	}
	for _, item := range items() {
		if !covered[item] {
			t.Errorf("%s has no row", item)
		}
	}
}
