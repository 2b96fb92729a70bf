package boot

import (
	"os"
	"strings"
	"testing"

	"stormgate.internal/tools/cluster/internal/steps"
)

// Promise: sequence.md draws the boot as it is.
func TestSequenceIsDrawn(t *testing.T) {
	drawing := "```mermaid\n" + steps.Mermaid(new(sequence).table()) + "```\n"
	page, err := os.ReadFile("sequence.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), drawing) {
		t.Errorf("sequence.md draws another boot; replace its drawing by\n%s", drawing)
	}
}

// The report's readers know steps by these names.
func TestSequenceReportsTheSameSteps(t *testing.T) {
	named := map[string]bool{}
	for _, step := range new(sequence).table() {
		named[step.Name] = true
	}
	for _, name := range []string{
		"certificates", "etcd", "kube-apiserver", "node's role", "node", "node ready", "roles", "defaults",
		"kube-scheduler", "kube-apiserver complete", "kube-controller-manager",
	} {
		if !named[name] {
			t.Errorf("no step %q", name)
		}
	}
}
