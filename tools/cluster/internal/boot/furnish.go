package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// furnish fits out the new namespaces: mounts that stay inside, a /proc of the
// new processes, file systems in memory for data, and the node's address.
func furnish(p paths, dataLimit int64) error {
	// Without this, as root and without a user namespace, our mounts would show
	// up in the host's mount table.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	options := fmt.Sprintf("mode=0700,size=%d", dataLimit)
	for _, dir := range []string{p.data(), p.nodeData()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
			return fmt.Errorf("mount file system in memory on %s: %w", dir, err)
		}
	}
	if err := unix.Sethostname([]byte(NodeName)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	return addressNode()
}

// addressNode brings lo up and gives it the node's address, at which the API
// server has to listen before there is a node. A dummy link would be the usual
// place; many kernels have none.
func addressNode() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(NodeIP).To4(), Mask: net.CIDRMask(32, 32)}}
	if err := netlink.AddrReplace(lo, address); err != nil {
		return fmt.Errorf("add %s to lo: %w", NodeIP, err)
	}
	return nil
}

// explainMountRefusal adds the likely cause where the namespaces could be made
// but give no power, as under Ubuntu's AppArmor rules.
func explainMountRefusal(err error, sysctls fs.FS) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return explainRefusal(err, sysctls)
	}
	return err
}
