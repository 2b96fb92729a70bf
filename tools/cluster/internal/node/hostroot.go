package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/volume"

	"stormgate.internal/tools/cluster/internal/image"
)

// machineFiles are all of the machine that pods see: its device files without
// state, in their containers and by hostPath, and nothing else. Time zones and
// certificate authorities belong into images: what a machine has of them would
// decide what a test finds.
var machineFiles = []string{"/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"}

// hostDirectories are there from the start, as on a node.
var hostDirectories = map[string]fs.FileMode{
	"dev": 0o755, "dev/shm": 0o777 | fs.ModeSticky, "etc": 0o755, "home": 0o755, "mnt": 0o755, "opt": 0o755, "root": 0o700, "run": 0o755,
	"srv": 0o755, "tmp": 0o777 | fs.ModeSticky, "usr": 0o755, "var": 0o755, "var/lib": 0o755, "var/log": 0o755, "var/tmp": 0o777 | fs.ModeSticky,
}

// hostRoots are what pods see as their node's file system, by hostPath: a root for each
// scope, so that no environment finds what another left there, and one for the pods that
// are in none. They lie among the node's files, which end with the cluster.
type hostRoots struct {
	// dir is free of links.
	dir    string
	images *image.Table

	mu   sync.Mutex
	made map[string]hostRoot // by the scope's name
}

func newHostRoots(dir string, images *image.Table) (*hostRoots, error) {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("make the node's roots for pods: %w", err)
	}
	return &hostRoots{dir: dir, images: images, made: map[string]hostRoot{}}, nil
}

// of returns the root of the pods in a namespace.
func (h *hostRoots) of(namespace string) (hostRoot, error) {
	scope := h.images.ScopeOf(namespace)
	h.mu.Lock()
	defer h.mu.Unlock()
	root, found := h.made[scope]
	if found {
		return root, nil
	}
	root, err := makeHostRoot(filepath.Join(h.dir, "scope-"+url.PathEscape(scope)))
	if err == nil {
		h.made[scope] = root
	}
	return root, err
}

// shm is the directory of shared memory of the pods in a namespace that have the node's.
func (h *hostRoots) shm(namespace string) (string, error) {
	root, err := h.of(namespace)
	return filepath.Join(root.dir, "dev/shm"), err
}

// remove removes the roots of the namespaces' scopes. Nothing may run in their
// pods.
func (h *hostRoots) remove(namespaces []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, namespace := range namespaces {
		scope := h.images.ScopeOf(namespace)
		root, found := h.made[scope]
		if !found || scope == "" {
			continue
		}
		if err := root.remove(); err != nil {
			return fmt.Errorf("remove what pods of scope %q left by hostPath: %w", scope, err)
		}
		delete(h.made, scope)
	}
	return nil
}

// hostRoot is the root of one scope.
type hostRoot struct{ dir string }

// remove removes the root. Device files are taken out of it before: they are the machine's.
func (h hostRoot) remove() error {
	for _, path := range machineFiles {
		err := unix.Unmount(filepath.Join(h.dir, path), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		// Pods can have removed or replaced what they see.
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
	return os.RemoveAll(h.dir)
}

// makeHostRoot makes the root at dir and returns it with its path free of links.
func makeHostRoot(dir string) (hostRoot, error) {
	fail := func(err error) (hostRoot, error) {
		return hostRoot{}, fmt.Errorf("make the node's root for pods: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fail(err)
	}
	names := make([]string, 0, len(hostDirectories))
	for name := range hostDirectories {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fail(err)
		}
		if err := os.Chmod(path, hostDirectories[name]); err != nil {
			return fail(err)
		}
	}
	for _, path := range machineFiles {
		target := filepath.Join(dir, path)
		if err := os.WriteFile(target, nil, 0o644); err != nil {
			return fail(err)
		}
		if err := unix.Mount(path, target, "", unix.MS_BIND, ""); err != nil {
			return fail(fmt.Errorf("bind %s: %w", path, err))
		}
		// A device is written to all the same. Its mode, owner and times are the machine's.
		if err := unix.MountSetattr(unix.AT_FDCWD, target, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fail(fmt.Errorf("make %s read-only: %w", path, err))
		}
	}
	return hostRoot{dir}, nil
}

// resolve returns where a path of the node's file system lies, free of links:
// those that pods made lead to where they would on a node and not out of the
// root. Of a path that does not exist, its end may be missing.
func (h hostRoot) resolve(path string) (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("find hostPath %s: %w", path, err) }
	root, err := unix.Open(h.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(root)
	missing := ""
	for existing := filepath.Clean("/" + path); ; existing = filepath.Dir(existing) {
		found, err := resolveIn(root, existing)
		if errors.Is(err, fs.ErrNotExist) && existing != "/" {
			missing = filepath.Join(filepath.Base(existing), missing)
			continue
		}
		if err != nil {
			return fail(err)
		}
		full := filepath.Join(found, missing)
		// What is made at a link without an aim would be made at its aim.
		if info, err := os.Lstat(full); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return fail(errors.New("it is a symbolic link that leads nowhere"))
		}
		return full, nil
	}
}

// resolveIn returns the path of an existing file below an open directory, which
// counts as the root.
func resolveIn(root int, path string) (string, error) {
	fd, err := unix.Openat2(root, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// rootedPlugin is the plugin for hostPath with other roots than the machine's.
type rootedPlugin struct {
	volume.VolumePlugin
	roots *hostRoots
}

func (p *rootedPlugin) NewMounter(spec *volume.Spec, pod *v1.Pod) (volume.Mounter, error) {
	root, err := p.roots.of(pod.Namespace)
	if err != nil {
		return nil, err
	}
	moved, err := root.move(spec)
	if err != nil {
		return nil, err
	}
	return p.VolumePlugin.NewMounter(moved, pod)
}

// move returns a copy of the volume with its path below the root.
func (h hostRoot) move(spec *volume.Spec) (*volume.Spec, error) {
	moved := *spec
	var source *v1.HostPathVolumeSource
	switch {
	case spec.Volume != nil && spec.Volume.HostPath != nil:
		moved.Volume = spec.Volume.DeepCopy()
		source = moved.Volume.HostPath
	case spec.PersistentVolume != nil && spec.PersistentVolume.Spec.HostPath != nil:
		moved.PersistentVolume = spec.PersistentVolume.DeepCopy()
		source = moved.PersistentVolume.Spec.HostPath
	default:
		return spec, nil // the plugin says what is wrong with it
	}
	// The plugin would have refused this, and no longer sees it.
	if slices.Contains(strings.Split(source.Path, "/"), "..") {
		return nil, fmt.Errorf("invalid hostPath %s: it must not contain \"..\"", source.Path)
	}
	var err error
	source.Path, err = h.resolve(source.Path)
	return &moved, err
}
