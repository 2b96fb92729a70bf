package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/volume"
)

// Promise: a hostPath lies among the node's files and never among the machine's,
// whatever links pods have made.
func TestHostPathStaysInTheNodesRoot(t *testing.T) {
	host := hostRoot{t.TempDir()}
	for link, to := range map[string]string{"out": "/etc", "up": "../../../../etc", "nowhere": "/absent", "in": "data"} {
		if err := os.Symlink(to, filepath.Join(host.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"data", "etc"} {
		if err := os.Mkdir(filepath.Join(host.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/":             "",
		"/data":         "data",
		"/data/new/dir": "data/new/dir",
		"/in/new":       "data/new",
		"/out/passwd":   "etc/passwd",
		"/up/passwd":    "etc/passwd",
		"/new":          "new",
	} {
		got, err := host.resolve(path)
		if err != nil || got != filepath.Join(host.dir, want) {
			t.Errorf("%s lies at %s, %v, want %s", path, got, err, filepath.Join(host.dir, want))
		}
	}
	if got, err := host.resolve("/nowhere"); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("a link without an aim lies at %s, %v", got, err)
	}
}

// Promise: a hostPath is moved into the node's root in both of its forms, and the
// object that it came from is left alone.
func TestHostPathIsMoved(t *testing.T) {
	host := hostRoot{t.TempDir()}
	source := func() *v1.HostPathVolumeSource { return &v1.HostPathVolumeSource{Path: "/data"} }
	for name, spec := range map[string]*volume.Spec{
		"volume": {Volume: &v1.Volume{VolumeSource: v1.VolumeSource{HostPath: source()}}},
		"persistent volume": {PersistentVolume: &v1.PersistentVolume{Spec: v1.PersistentVolumeSpec{
			PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: source()},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			path := func(s *volume.Spec) *string {
				if s.Volume != nil {
					return &s.Volume.HostPath.Path
				}
				return &s.PersistentVolume.Spec.HostPath.Path
			}
			moved, err := host.move(spec)
			if err != nil {
				t.Fatal(err)
			}
			if *path(moved) != filepath.Join(host.dir, "data") || *path(spec) != "/data" {
				t.Errorf("moved to %s, and the original is %s", *path(moved), *path(spec))
			}
			*path(spec) = "/data/../../../etc"
			if _, err := host.move(spec); err == nil || !strings.Contains(err.Error(), "..") {
				t.Errorf("moving %s: %v", *path(spec), err)
			}
		})
	}
}
