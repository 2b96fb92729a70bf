package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Promise: the node mounts what it must and lists the rest; a kind that it can't
// mount is refused and not forgotten.
func TestMounterListsWhatNeedsNoMount(t *testing.T) {
	m := newMounter()
	token := filepath.Join(t.TempDir(), "volumes/kubernetes.io~projected/token")
	if err := os.MkdirAll(token, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := m.MountSensitiveWithoutSystemd("tmpfs", token, "tmpfs", []string{"size=4096"}, nil); err != nil {
		t.Fatal(err)
	}
	if is, err := m.IsMountPoint(token); err != nil || !is {
		t.Errorf("a token's mount is listed: %v, %v", is, err)
	}
	// Only a file system of its own would refuse this.
	if err := os.WriteFile(filepath.Join(token, "f"), make([]byte, 1<<16), 0o600); err != nil {
		t.Errorf("a token's directory is bounded: %v", err)
	}
	if err := m.Unmount(token); err != nil {
		t.Error(err)
	}
	if is, err := m.IsMountPoint(token); err != nil || is {
		t.Errorf("an unmounted token's mount is listed: %v, %v", is, err)
	}
	if err := m.Mount("nodev", token, "hugetlbfs", nil); err == nil || !strings.Contains(err.Error(), "hugetlbfs") {
		t.Errorf("mounting huge pages: %v", err)
	}
}
