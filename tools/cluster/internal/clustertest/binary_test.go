package clustertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Promise: the binary is found by absolute path and by runfile, and a wrong variable is named.
func TestBinary(t *testing.T) {
	runfiles := t.TempDir()
	path := filepath.Join(runfiles, "_main", "cluster")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ value, runfilesDir, srcDir, wantError string }{
		"absolute":          {value: path},
		"runfiles":          {value: "_main/cluster", runfilesDir: runfiles},
		"test sources":      {value: "_main/cluster", srcDir: runfiles},
		"unset":             {wantError: BinaryEnv},
		"absent":            {value: path + ".absent", wantError: "cluster.absent"},
		"no such runfile":   {value: "_main/other", runfilesDir: runfiles, wantError: "_main/other"},
		"nowhere to search": {value: "_main/cluster", wantError: "_main/cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(BinaryEnv, test.value)
			t.Setenv("RUNFILES_DIR", test.runfilesDir)
			t.Setenv("TEST_SRCDIR", test.srcDir)
			got, err := Binary()
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
