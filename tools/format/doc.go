// Package format holds the tests that keep the repository's files in shape.
// Go files are checked by nogo (tools/nogo/gofmt).
package format
