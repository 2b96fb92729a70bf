package node

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/mount-utils"
)

// emptyDirDirectory is in the path of each emptyDir and of no other volume.
const emptyDirDirectory = "/volumes/kubernetes.io~empty-dir/"

// mounter mounts what makes a difference: an emptyDir in memory, which is so
// large and no larger, and the subPaths of volumes. It needs no program mount. Of
// the other mounts that the kubelet asks for (a file system in memory for each
// Secret and token) it only keeps the list: all of the node's files are in memory,
// and every mount makes every container's start slower.
//
// Nobody else mounts in the node's namespace, so the list is the truth.
type mounter struct{ *mount.FakeMounter }

var _ mount.Interface = mounter{}

func newMounter() mounter {
	list := mount.NewFakeMounter(nil)
	list.UnmountFunc = func(path string) error {
		// Lazily: a container that just starts has all mounts for a moment.
		if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
		return nil // EINVAL: it was only listed
	}
	return mounter{list}
}

// Mount implements mount.Interface.
func (m mounter) Mount(source, target, kind string, options []string) error {
	switch {
	case slices.Contains(options, "bind"):
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s to %s: %w", source, target, err)
		}
	case kind == "tmpfs" && strings.Contains(target, emptyDirDirectory):
		if err := unix.Mount(source, target, kind, unix.MS_NOSUID|unix.MS_NODEV, strings.Join(options, ",")); err != nil {
			return fmt.Errorf("mount file system in memory on %s: %w", target, err)
		}
	case kind != "tmpfs":
		return fmt.Errorf("mount %s on %s: a volume of kind %q is not supported", source, target, kind)
	}
	return m.FakeMounter.Mount(source, target, kind, options)
}

// MountSensitive implements mount.Interface. No volume of ours has secret options.
func (m mounter) MountSensitive(source, target, kind string, options, _ []string) error {
	return m.Mount(source, target, kind, options)
}

// MountSensitiveWithoutSystemd implements mount.Interface.
func (m mounter) MountSensitiveWithoutSystemd(source, target, kind string, options, _ []string) error {
	return m.Mount(source, target, kind, options)
}

// MountSensitiveWithoutSystemdWithMountFlags implements mount.Interface. The
// flags are those of the program mount.
func (m mounter) MountSensitiveWithoutSystemdWithMountFlags(source, target, kind string, options, _, _ []string) error {
	return m.Mount(source, target, kind, options)
}
