package module

import (
	"strings"
	"testing"
)

// TestCompatible: only what is certain is taken to be allowed.
func TestCompatible(t *testing.T) {
	for _, c := range []struct {
		bazel, constraints string
		want               bool
	}{
		{"7.7.1", "", true},
		{"7.7.1", ">=7.0.0", true},
		{"7.7.1", ">=7.7.1", true},
		{"7.7.1", ">7.7.1", false},
		{"7.7.1", "<=7.7.1", true},
		{"7.7.1", "<7.7.1", false},
		{"7.7.1", ">=7.10.0", false},
		{"10.0.0", ">=9.0.0", true},
		{"7.7.1", "-7.7.1", false},
		{"7.7.1", "-7.7.2", true},
		{"7.7.1", ">=7.0.0 <8.0.0", true},
		{"8.0.0", ">=7.0.0 <8.0.0", false},
		{"8.0.0rc1", ">=7.0.0", false},
		{"latest", ">=7.0.0", false},
		{"7.x", ">=7.0.0", false},
		{"7.7.1", ">=7", false},
		{"7.7.1", "7.7.1", false},
		{"7.7.1", "new", false},
	} {
		if got := Compatible(c.bazel, strings.Fields(c.constraints)); got != c.want {
			t.Errorf("Bazel %s with %q: %t, want %t", c.bazel, c.constraints, got, c.want)
		}
	}
}

// FuzzCompatible: no version and no constraint may panic, and a version that excludes itself
// is never allowed.
func FuzzCompatible(f *testing.F) {
	f.Add("7.7.1", ">=7.0.0")
	f.Add("8.0.0rc1", "-8.0.0")
	f.Fuzz(func(t *testing.T, bazel, constraint string) {
		_ = Compatible(bazel, []string{constraint})
		if Compatible(bazel, []string{constraint, "-" + bazel}) {
			t.Errorf("Bazel %q is allowed although it is left out", bazel)
		}
	})
}
