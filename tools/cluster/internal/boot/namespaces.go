package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"

	"stormgate.internal/tools/internal/userns"
)

// cloning is one way to put init into namespaces of its own.
type cloning struct {
	// Name says which, for logs and errors.
	Name string
	// Attributes make the clone.
	Attributes *syscall.SysProcAttr
}

// clonings lists the ways that are open to a user, best first. The next one is
// tried only when the kernel refuses one.
//
// A user namespace has one id, which is the user's. Root could have more, and an
// ordinary user who has subordinate ids; a test in Bazel's sandbox never can. The
// same pod would then be another user, own other files and pass or fail by who
// runs the cluster. So that one description has one verdict, nobody has more
// (see the process runtime's security for what a pod's runAsUser means then).
func clonings(uid, gid int) []cloning {
	ways := []cloning{{Name: "user namespace with one id", Attributes: &syscall.SysProcAttr{
		Cloneflags:  userns.Flags | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}},
		Setsid:      true,
	}}}
	if uid == 0 {
		// Where user namespaces are barred. Pods have all ids of the machine there.
		ways = append(ways, cloning{Name: "no user namespace", Attributes: &syscall.SysProcAttr{
			Cloneflags: userns.Flags,
			Setsid:     true,
		}})
	}
	return ways
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
