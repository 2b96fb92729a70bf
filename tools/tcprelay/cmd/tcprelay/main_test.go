package main

import (
	"strings"
	"testing"
)

// Promise: a relay to nowhere is refused at the start, with the flag's name.
func TestTargetIsRequired(t *testing.T) {
	for _, args := range [][]string{nil, {"--target=gateway"}} {
		cmd := command()
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "--target") {
			t.Errorf("%v: error %v, want one that names --target", args, err)
		}
	}
}
