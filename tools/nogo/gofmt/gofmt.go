// Package gofmt is an analyzer that reports Go files that gofmt would change.
// As part of nogo it checks exactly the files that are built, needs no copy of
// the source tree and is cached like any other action.
package gofmt

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"os"

	"golang.org/x/tools/go/analysis"
)

// Analyzer reports files that are not formatted as gofmt does.
var Analyzer = &analysis.Analyzer{
	Name: "gofmt",
	Doc:  "reports files that gofmt would change",
	Run:  run,
}

func run(pass *analysis.Pass) (any, error) {
	for _, file := range pass.Files {
		if ast.IsGenerated(file) {
			continue
		}
		name := pass.Fset.PositionFor(file.Package, false).Filename
		source, err := readFile(pass, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		formatted, err := format.Source(source)
		if err != nil {
			return nil, fmt.Errorf("format %s: %w", name, err)
		}
		if line := firstDifference(source, formatted); line > 0 {
			// Beyond the last line when only the end of the file differs.
			line = min(line, pass.Fset.File(file.Package).LineCount())
			pass.Reportf(pass.Fset.File(file.Package).LineStart(line), "not formatted: run gofmt -w %s", name)
		}
	}
	return nil, nil
}

// readFile reads through the driver where it offers that; nogo doesn't.
func readFile(pass *analysis.Pass, name string) ([]byte, error) {
	if pass.ReadFile != nil {
		return pass.ReadFile(name)
	}
	return os.ReadFile(name)
}

// firstDifference returns the number, from 1, of the first line that differs; 0 if none does.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return bytes.Count(a[:n], []byte("\n")) + 1
}
