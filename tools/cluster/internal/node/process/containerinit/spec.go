// Package containerinit is the part of the process runtime that runs inside a
// container's namespaces, between the clone that makes them and the exec of
// the container's program.
//
// The runtime starts its own executable with the argument Command and one end
// of a socket pair as descriptor ControlFD. Through it come a Spec and, on the
// way back, the terminal's master if one was asked for, then either a line of
// text (what went wrong) or nothing: the socket closes by itself at the exec.
//
// An exec in a running container needs no process in between: the runtime
// starts the command from a thread that has joined the container's namespaces,
// with the help of the exported functions.
package containerinit

// Command is the first argument with which an executable has to call Main.
const Command = "container-init"

// ControlFD is the descriptor of the control socket. The descriptors named by
// Spec.Namespaces follow it.
const ControlFD = 3

// Spec is all that a container's first process needs.
type Spec struct {
	// Namespaces are joined in this order before anything else.
	Namespaces []Namespace
	// Root is built in the process's own, fresh mount namespace.
	Root    Root
	Process Process
}

// Namespace is one namespace to join.
type Namespace struct {
	// FD is a descriptor the process inherits, Type one of the CLONE_NEW
	// flags of clone(2).
	FD, Type int
}

// Root describes a container's file system: an empty tmpfs of at most rootSize
// with the binds on it, /dev, /proc and (where the kernel allows it) /sys.
type Root struct {
	// MountPoint is any directory; the root is mounted on it, out of sight of
	// other mount namespaces.
	MountPoint string
	// Readonly makes the root itself read-only, not what is mounted on it.
	Readonly bool
	// WorkingDir is made when missing, with mode 0755.
	WorkingDir string
	// Texts are small files made before the binds, which may cover them.
	Texts []Text
	// Binds are mounted in the given order.
	Binds []Bind
	// Shm is the host directory that becomes /dev/shm; empty for a fresh tmpfs.
	Shm string
	// MaskedPaths become empty and ReadonlyPaths read-only where they exist.
	MaskedPaths, ReadonlyPaths []string
	// WritableSys leaves /sys writable.
	WritableSys bool
}

// Text is a file with mode 0644 and the given content.
type Text struct{ Path, Content string }

// Bind shows a host file or directory at a container path.
type Bind struct {
	Source, Target string
	// Name says whose bind it is in errors: an image's or a volume's.
	Name string
	// Readonly holds for everything mounted below Source, too.
	Readonly bool
	// Attributes are further MOUNT_ATTR flags of mount_setattr(2), recursive.
	Attributes uint64
	// Propagated lets later mounts below Source appear in the container.
	Propagated bool
	// NoLinks refuses a source to which a symbolic link leads.
	NoLinks bool
	// Replace skips the bind when the target is missing and cannot be made,
	// instead of failing: used for files that an image may already bring.
	Replace bool
}

// Process is the program and who runs it.
type Process struct {
	// Pause makes it the first process of a process namespace that a pod's
	// containers share: it runs no program, reaps and waits to be killed. The
	// other fields do not matter then.
	Pause bool
	Args  []string
	// Env is the whole environment. PATH in it finds Args[0].
	Env []string
	// Dir is the working directory.
	Dir         string
	Credentials Credentials
	// Terminal asks for a pseudo terminal as standard input, output and error.
	Terminal bool
}

// Credentials are taken just before the exec.
type Credentials struct {
	UID, GID uint32
	Groups   []uint32
	// Capabilities is the bounding set as bits (1 << CAP_CHOWN and so on).
	// User 0 gets all of them, any other user none, as after a login.
	Capabilities uint64
	// KeepGroups leaves the supplementary groups alone because setgroups(2)
	// is barred in this user namespace.
	KeepGroups bool
	NoNewPrivs bool
}
