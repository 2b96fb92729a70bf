package containerinit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// standardDirectories exist in every container, whatever its image brings.
var standardDirectories = []string{"/dev", "/etc", "/proc", "/root", "/run", "/sys", "/tmp", "/var/run", "/var/tmp"}

// rootSize bounds what a container can write to its own root, so that a runaway
// program fills that and not the machine's memory. No image lies in it.
const rootSize = "1g"

// build makes the root, moves the process into it and lets go of the old one.
//
// Sources are opened as detached mounts before the move and put in place after
// it, so that symbolic links on the host's side are read by the host's rules
// and those on the container's side can never lead out of it.
func (r *Root) build() error {
	// Mounts of the host still arrive (for propagated volumes), ours stay here.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separate mounts from the host's: %w", err)
	}
	if err := unix.Mount("root", r.MountPoint, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size="+rootSize); err != nil {
		return fmt.Errorf("mount root on %s: %w", r.MountPoint, err)
	}
	for _, d := range standardDirectories {
		if err := os.MkdirAll(filepath.Join(r.MountPoint, d), 0o755); err != nil {
			return fmt.Errorf("make directory of root: %w", err)
		}
	}
	for _, d := range []string{"tmp", "var/tmp"} {
		if err := os.Chmod(filepath.Join(r.MountPoint, d), 0o1777); err != nil {
			return err
		}
	}
	for _, t := range r.Texts {
		if err := os.WriteFile(filepath.Join(r.MountPoint, t.Path), []byte(t.Content), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", t.Path, err)
		}
	}
	if err := r.mountKernelFiles(); err != nil {
		return err
	}
	binds := deviceBinds()
	if r.Shm != "" {
		binds = append(binds, Bind{Source: r.Shm, Target: "/dev/shm", Name: "shared memory"})
	}
	binds = append(binds, r.Binds...)
	trees := make([]int, len(binds))
	for i, b := range binds {
		var err error
		if trees[i], err = b.open(); err != nil {
			return err
		}
	}
	if err := enter(r.MountPoint); err != nil {
		return err
	}
	for i, b := range binds {
		if err := b.attach(trees[i]); err != nil {
			return err
		}
	}
	// Where it cannot be made in a read-only directory, entering it says so.
	if err := os.MkdirAll(r.WorkingDir, 0o755); err != nil && !errors.Is(err, unix.EROFS) {
		return fmt.Errorf("make working directory: %w", err)
	}
	return r.restrict()
}

// enter makes dir the root of this mount namespace and drops the old root.
func enter(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	// The old root ends up on top of the new one and is unmounted from there.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot to the container's root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's root: %w", err)
	}
	return os.Chdir("/")
}

// restrict applies what would have stood in the way of mounting.
func (r *Root) restrict() error {
	for _, p := range r.MaskedPaths {
		if err := mask(p); err != nil {
			return fmt.Errorf("mask %s: %w", p, err)
		}
	}
	for _, p := range r.ReadonlyPaths {
		b := Bind{Source: p, Target: p, Name: "read-only path", Readonly: true}
		tree, err := b.open()
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = b.attach(tree)
		}
		if err != nil {
			return err
		}
	}
	if !r.Readonly {
		return nil
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make root read-only: %w", err)
	}
	return nil
}

// mask hides a file behind /dev/null and a directory behind an empty one.
func mask(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return unix.Mount("mask", path, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=0")
	default:
		return unix.Mount("/dev/null", path, "", unix.MS_BIND, "")
	}
}

// open returns a detached copy of the bind's source with its attributes set.
// The descriptor is closed at exec.
func (b *Bind) open() (int, error) {
	const clone = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
	var tree int
	var err error
	if b.NoLinks {
		tree, err = openWithoutLinks(b.Source, clone)
	} else {
		tree, err = unix.OpenTree(unix.AT_FDCWD, b.Source, clone)
	}
	if err != nil {
		return -1, fmt.Errorf("%s: open %s for %s: %w", b.Name, b.Source, b.Target, err)
	}
	attr := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if b.Propagated {
		attr.Propagation = unix.MS_SLAVE
	}
	attr.Attr_set = b.Attributes
	if b.Readonly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return -1, fmt.Errorf("%s: set attributes of the mount for %s: %w", b.Name, b.Target, err)
	}
	return tree, nil
}

// openWithoutLinks is open_tree(2) with a path that may not contain symbolic links.
func openWithoutLinks(path string, flags uint) (int, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if errors.Is(err, unix.ELOOP) {
		return -1, fmt.Errorf("a symbolic link of the node's file system is in the way: %w", err)
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	return unix.OpenTree(fd, "", flags|unix.AT_EMPTY_PATH)
}

// attach mounts the tree on the bind's target, which is made when missing.
func (b *Bind) attach(tree int) error {
	var source, target unix.Stat_t
	if err := unix.Fstat(tree, &source); err != nil {
		return err
	}
	directory := source.Mode&unix.S_IFMT == unix.S_IFDIR
	if err := makeTarget(b.Target, directory); err != nil {
		if b.Replace {
			return nil
		}
		return fmt.Errorf("%s: make mount point %s: %w", b.Name, b.Target, explain(err))
	}
	if err := unix.Stat(b.Target, &target); err != nil {
		return fmt.Errorf("%s: mount point %s: %w", b.Name, b.Target, err)
	}
	if is := target.Mode&unix.S_IFMT == unix.S_IFDIR; is != directory {
		return fmt.Errorf("%s: cannot mount %s on %s: one is a directory, the other is not", b.Name, b.Source, b.Target)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, b.Target, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS); err != nil {
		return fmt.Errorf("%s: mount %s on %s: %w", b.Name, b.Source, b.Target, err)
	}
	return nil
}

func makeTarget(path string, directory bool) error {
	if directory {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY|unix.O_NOCTTY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// explain adds what a user can do about a read-only parent.
func explain(err error) error {
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w (it lies in a read-only directory of the image or a volume; create it there)", err)
	}
	return err
}
