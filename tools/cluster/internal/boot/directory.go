package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/api"
)

// paths are a cluster's directory with what lies in it for the cluster alone.
type paths struct {
	// Dir is the directory, absolute.
	Dir api.Dir
	// KeepLogs and Made say what remove leaves behind.
	KeepLogs bool
	// Made is set when the directory was absent and is ours to remove.
	Made bool
}

// data is a mount point: its content is seen by the cluster only.
func (p paths) data() string { return filepath.Join(string(p.Dir), "data") }

// nodeData is a second mount, so that pods that fill the node's disk do not
// take etcd down with it.
func (p paths) nodeData() string { return filepath.Join(p.data(), "node") }

// nodeControl has a name no longer than control.sock's, which the length check covers.
func (p paths) nodeControl() string { return filepath.Join(p.data(), "n.sock") }

// auditPolicy is kube-apiserver's.
func (p paths) auditPolicy() string { return filepath.Join(p.data(), "audit-policy.yaml") }

// remove deletes what a cluster makes in its directory, and the directory when
// it was made for it; what is gone already is no error.
func (p paths) remove() error {
	doomed := []string{
		p.Dir.APISocket(), p.Dir.ControlSocket(), p.Dir.Kubeconfig(), p.data(),
	}
	var errs []error
	for _, path := range doomed {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if p.KeepLogs {
		return errors.Join(errs...)
	}
	if err := os.Remove(p.Dir.BootReport()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	if err := os.RemoveAll(p.Dir.Logs()); err != nil {
		errs = append(errs, err)
	}
	if p.Made {
		// Files of others keep the directory alive; they are not ours to delete.
		if err := os.Remove(string(p.Dir)); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// directory is a cluster's directory, locked: one cluster at a time.
type directory struct {
	paths paths
	// lock is the open directory. Init inherits it, so that the lock is held
	// until the last of a cluster is gone, not merely its launcher.
	lock *os.File
}

// openDirectory makes or checks the directory, locks it and removes what a
// cluster that was killed together with its init left there.
func openDirectory(dir string) (*directory, error) {
	d := &directory{paths: paths{Dir: api.Dir(dir)}}
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return nil, fmt.Errorf("use cluster directory %q: it must be an absolute path without . or .. in it", dir)
	}
	if n := len(d.paths.Dir.ControlSocket()); n > api.MaxSocketPath {
		return nil, fmt.Errorf("use cluster directory %s: the path of its control.sock is %d bytes long and a unix socket allows %d: choose a shorter directory, such as one below /tmp", dir, n, api.MaxSocketPath)
	}
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		d.paths.Made = true
	case !errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("make cluster directory: %w", err)
	}
	// O_NOFOLLOW: another user's symbolic link in /tmp must not choose the place.
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open cluster directory %s: %w", dir, err)
	}
	d.lock = os.NewFile(uintptr(fd), dir)
	if err := d.check(); err != nil {
		d.lock.Close()
		return nil, err
	}
	return d, nil
}

// checkPrivate refuses a directory that another than user owns or may enter.
func checkPrivate(dir string, info fs.FileInfo, user int) error {
	if owner := int(info.Sys().(*syscall.Stat_t).Uid); owner != user {
		return fmt.Errorf("use cluster directory %s: it belongs to user %d and you are user %d: choose one of your own", dir, owner, user)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		return fmt.Errorf("use cluster directory %s: its mode is %#o and must be 0700, since sockets in it lead to the cluster, and a key may lie there: run chmod 700 %s, or choose another", dir, mode, dir)
	}
	return nil
}

func (d *directory) check() error {
	dir := string(d.paths.Dir)
	info, err := d.lock.Stat()
	if err != nil {
		return fmt.Errorf("check cluster directory: %w", err)
	}
	if err := checkPrivate(dir, info, os.Geteuid()); err != nil {
		return err
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("use cluster directory %s: another cluster runs in it: end it or choose another directory", dir)
		}
		return fmt.Errorf("lock cluster directory %s: %w", dir, err)
	}
	stale := d.paths
	stale.Made = false
	if err := stale.remove(); err != nil {
		return fmt.Errorf("clean cluster directory %s: %w", dir, err)
	}
	return nil
}

// close releases the lock.
func (d *directory) close() { d.lock.Close() }

// listen opens a unix socket that only the user can connect to.
func listen(path string) (*os.File, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	// The descriptor outlives this listener: the path must stay.
	listener.SetUnlinkOnClose(false)
	defer listener.Close()
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	file, err := listener.File()
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return file, nil
}
