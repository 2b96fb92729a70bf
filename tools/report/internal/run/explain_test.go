package run

import "testing"

// Promise: a failure in a line says what is wrong, not only that something is.
func TestBeginning(t *testing.T) {
	for text, want := range map[string]string{
		"\nexit status 1\nmore\n": "exit status 1 more",
		"Timed out after 2 s.\nwanted each of 9 resources, once, but\n  missing: 3 of 9\nand more": "Timed out after 2 s. wanted each of 9 resources, once, but missing: 3 of 9",
		"apply objects:\nmanifest.yaml:\nline 3 is no YAML\nsee above":                             "apply objects: manifest.yaml: line 3 is no YAML",
		"a:\nb:\nc:\nd:\ne:\nf:\ng": "a: b: c: d: e:",
	} {
		if got := beginning(text, 2); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
