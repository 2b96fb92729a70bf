package controlplane_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stormgate.internal/tools/cluster/internal/controlplane"
)

func init() {
	roles["play-gated"] = func(args []string) {
		fmt.Println("loaded")
		if err := controlplane.AwaitGate(); err != nil {
			fmt.Println(err)
			os.Exit(9)
		}
		fmt.Println("released", os.Environ())
		if _, err := os.Stat(args[0]); err != nil {
			fmt.Println("too early")
		}
	}
}

// Promise: a held component loads and then waits for its release, of which its children see nothing.
func TestHeldComponentWaits(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "released")
	c := newComponent(t, "play-gated", mark)
	c.Env = []string{"A=1"}
	if err := c.Hold(); err != nil {
		t.Fatal(err)
	}
	start(t, c)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time is a no-op
		if err := c.Release(); err != nil {
			t.Fatal(err)
		}
	}
	<-c.Done()
	if got := strings.Join(c.Log.Tail(), "\n"); got != "loaded\nreleased [A=1]" {
		t.Errorf("component wrote %q", got)
	}
}

// Promise: a process that is not held does not wait.
func TestGateIsOpenForOthers(t *testing.T) {
	if err := controlplane.AwaitGate(); err != nil {
		t.Error(err)
	}
	if err := (&controlplane.Component{}).Release(); err != nil {
		t.Error(err)
	}
	t.Setenv("STORMGATE_GATE", "door")
	if err := controlplane.AwaitGate(); err == nil || !strings.Contains(err.Error(), "door") {
		t.Errorf("error = %v", err)
	}
}
