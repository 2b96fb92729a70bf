package runfiles

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const variable = "STORMGATE_RUNFILES_TEST"

// runfile makes a runfiles directory with one file and returns both paths.
func runfile(t *testing.T) (root, file string) {
	t.Helper()
	root = t.TempDir()
	file = filepath.Join(root, "_main", "cluster")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return root, file
}

// outsideBazel takes away what Bazel says of the test's own runfiles.
func outsideBazel(t *testing.T) {
	t.Helper()
	for _, name := range variables {
		t.Setenv(name, "")
	}
}

// Promise: a file is found by absolute path and by runfile path, and an error names
// the variable that is wrong.
func TestNamedBy(t *testing.T) {
	root, path := runfile(t)
	for name, test := range map[string]struct{ value, runfilesDir, srcDir, wantError string }{
		"absolute":          {value: path},
		"runfiles":          {value: "_main/cluster", runfilesDir: root},
		"test sources":      {value: "_main/cluster", srcDir: root},
		"other runfiles":    {value: "_main/cluster", runfilesDir: filepath.Dir(root), srcDir: root},
		"unset":             {wantError: variable + " is not set"},
		"absent":            {value: path + ".absent", wantError: "cluster.absent"},
		"a directory":       {value: "_main", runfilesDir: root, wantError: variable + "=_main"},
		"no such runfile":   {value: "_main/other", runfilesDir: root, wantError: filepath.Join(root, "_main/other")},
		"nowhere to search": {value: "_main/cluster", wantError: "_main/cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variable, test.value)
			t.Setenv("RUNFILES_DIR", test.runfilesDir)
			t.Setenv("TEST_SRCDIR", test.srcDir)
			got, err := NamedBy(variable)
			if test.wantError == "" {
				if err != nil || got != path {
					t.Errorf("found %q, %v, want %s", got, err, path)
				}
			} else if err == nil || !strings.Contains(err.Error(), test.wantError) {
				t.Errorf("found %q, %v, want an error with %q", got, err, test.wantError)
			}
		})
	}
}

// "bazel run" names no directory. It starts programs in runfiles/_main.
func TestFileOfBazelRun(t *testing.T) {
	root, path := runfile(t)
	outsideBazel(t)
	t.Chdir(filepath.Join(root, "_main"))
	for _, name := range []string{"_main/cluster", "cluster"} {
		if got, err := File(name); err != nil || got != path {
			t.Errorf("%s: found %q, %v, want %s", name, got, err, path)
		}
	}
}

func TestProgram(t *testing.T) {
	root, path := runfile(t)
	outsideBazel(t)
	for name, test := range map[string]struct{ value, runfilesDir, path, program string }{
		"absolute":             {value: path, program: "nothing"},
		"runfile":              {value: "_main/cluster", runfilesDir: root, program: "nothing"},
		"named, on the PATH":   {value: "cluster", path: filepath.Dir(path), program: "nothing"},
		"unnamed, on the PATH": {path: filepath.Dir(path), program: "cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(variable, test.value)
			t.Setenv("RUNFILES_DIR", test.runfilesDir)
			t.Setenv("PATH", test.path)
			if got, err := Program(variable, test.program); err != nil || got != path {
				t.Errorf("found %q, %v, want %s", got, err, path)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		t.Setenv("PATH", root)
		got, err := Program(variable, "nothing")
		if err == nil || !strings.Contains(err.Error(), "set "+variable) || !strings.Contains(err.Error(), "find nothing") {
			t.Errorf("found %q, %v, want an error with the program and the variable", got, err)
		}
	})
}

// Promise: RUNFILES_DIR comes before TEST_SRCDIR, as Bazel's own libraries have it.
func TestRoot(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	outsideBazel(t)
	t.Setenv("TEST_SRCDIR", second)
	if got, err := Root(); err != nil || got != second {
		t.Errorf("TEST_SRCDIR alone: %q, %v", got, err)
	}
	t.Setenv("RUNFILES_DIR", first)
	if got, err := Root(); err != nil || got != first {
		t.Errorf("both: %q, %v", got, err)
	}
}

// Without a variable it is the directory beside the program, if Bazel has made
// one; else the error says what is missing.
func TestRootWithoutVariables(t *testing.T) {
	outsideBazel(t)
	got, err := Root()
	if err == nil && strings.HasSuffix(got, ".runfiles") {
		return
	}
	if err == nil || !strings.Contains(err.Error(), "RUNFILES_DIR") {
		t.Errorf("found %q, %v, want an error with RUNFILES_DIR", got, err)
	}
}
