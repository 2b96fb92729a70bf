package generate

import (
	"testing"

	"stormgate.internal/tools/affected/internal/analysis"
	"stormgate.internal/tools/affected/internal/snapshot"
)

// TestFiles: the repository evaluates without a failure or a doubt, and changes in it
// reach what they should. Else a benchmark would measure something else.
func TestFiles(t *testing.T) {
	const n = 40
	base := snapshot.Of(Files(n))
	for file, want := range map[string]int{
		Package(n-1) + "/a.go":       1,
		Package(n-1) + "/data/1.txt": 3,
		"rules/tool.sh":              2 * n,
		"rules/names.bzl":            0,
		"BUILD.bazel":                0,
	} {
		files := Files(n)
		files[file] += "# changed\n"
		answer, err := analysis.Compare(t.Context(), base, snapshot.Of(files), analysis.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.Tests) != want || len(answer.Widened) > 0 {
			t.Errorf("%s: %d tests, want %d; widened %v", file, len(answer.Tests), want, answer.Widened)
		}
		if total := answer.Total(false); total != 4*n {
			t.Errorf("%d tests in all, want %d", total, 4*n)
		}
	}
}
