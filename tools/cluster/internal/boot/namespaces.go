package boot

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/internal/userns"
)

// fullMap is how many ids a cluster gets when it can: all that images use.
const fullMap = 65536

// cloning is one way to put init into namespaces of its own.
type cloning struct {
	// Name says which, for logs and errors.
	Name string
	// Attributes make the clone.
	Attributes *syscall.SysProcAttr
}

// clonings lists the ways that are open to a user, best first. The next one is
// tried only when the kernel refuses one.
func clonings(uid, gid int, uidMap, gidMap []byte) []cloning {
	userNamespace := func(name string, uid, gid, size int) cloning {
		return cloning{Name: name, Attributes: &syscall.SysProcAttr{
			Cloneflags:  userns.Flags | unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: size}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: size}},
			// The kernel allows setgroups only where several ids are mapped by a
			// privileged writer.
			GidMappingsEnableSetgroups: size > 1,
			Setsid:                     true,
		}}
	}
	var ways []cloning
	if uid == 0 && maps(uidMap, fullMap) && maps(gidMap, fullMap) {
		ways = append(ways, userNamespace("user namespace with all ids", 0, 0, fullMap))
	}
	ways = append(ways, userNamespace("user namespace with one id", uid, gid, 1))
	if uid == 0 {
		ways = append(ways, cloning{Name: "no user namespace", Attributes: &syscall.SysProcAttr{
			Cloneflags: userns.Flags,
			Setsid:     true,
		}})
	}
	return ways
}

// maps reports whether a /proc/PID/uid_map maps ids 0 to n-1, in one range.
func maps(idMap []byte, n uint64) bool {
	lines := bufio.NewScanner(bytes.NewReader(idMap))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[0] != "0" {
			continue
		}
		if size, err := strconv.ParseUint(fields[2], 10, 64); err == nil && size >= n {
			return true
		}
	}
	return false
}

// refused reports whether the kernel's answer means "not allowed here", after
// which another way may work, rather than a fault of ours.
func refused(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSPC) ||
		errors.Is(err, unix.EUSERS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)
}

// explainRefusal turns a refusal of namespaces into an error that names what
// bars them and the way out. sysctls is /proc/sys.
func explainRefusal(cause error, sysctls fs.FS) error {
	return fmt.Errorf("make namespaces for the cluster: this machine does not let you make user namespaces, on which a cluster without root depends: %w; %s; or run as root",
		cause, userns.Advice(cause, sysctls))
}
