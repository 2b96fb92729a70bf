package format

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bazelbuild/buildtools/build"
	"github.com/bazelbuild/buildtools/warn"
)

// TestStarlarkFilesAreFormatted fails for every BUILD, MODULE.bazel and .bzl
// file of the repository that buildifier would change or warns of.
func TestStarlarkFilesAreFormatted(t *testing.T) {
	root := workspaceRoot(t)
	checked := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (strings.HasPrefix(name, "bazel-") || name == ".git" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || !isStarlark(name) {
			return nil
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		checked++
		check(t, path, relative)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked == 0 {
		t.Fatalf("no Starlark file under %s: the workspace was not found", root)
	}
}

func check(t *testing.T, path, relative string) {
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := build.Parse(relative, source)
	if err != nil {
		t.Errorf("%s does not parse: %v", relative, err)
		return
	}
	file.Pkg = filepath.Dir(relative)
	file.Label = filepath.Base(relative)
	for _, finding := range warn.FileWarnings(file, warn.DefaultWarnings, nil, warn.ModeWarn, nil) {
		t.Errorf("%s:%d: %s [%s]", relative, finding.Start.Line, finding.Message, finding.Category)
	}
	if !bytes.Equal(source, build.Format(file)) {
		t.Errorf("%s is not formatted: run buildifier (tools/bazel run @com_github_bazelbuild_buildtools//buildifier -- %s)", relative, path)
	}
}

func isStarlark(name string) bool {
	switch name {
	case "BUILD", "BUILD.bazel", "MODULE.bazel", "WORKSPACE.bazel":
		return true
	}
	return strings.HasSuffix(name, ".bzl")
}

// workspaceRoot returns the source tree. The test runs in its own package's folder,
// in the tree itself or among runfiles. A runfile is a link, or a chain of links,
// into the tree.
func workspaceRoot(t *testing.T) string {
	real, err := filepath.EvalSymlinks("../../MODULE.bazel")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(real)
}
