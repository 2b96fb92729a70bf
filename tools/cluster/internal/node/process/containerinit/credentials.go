package containerinit

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Limit lets the calling thread, and what it will start or exec, never have
// more capabilities than c says. What the thread has, it keeps. Ids stay too.
func (c *Credentials) Limit() error {
	for capability := 0; capability <= unix.CAP_LAST_CAP; capability++ {
		if c.Capabilities&(1<<capability) != 0 {
			continue
		}
		// EINVAL: a capability that this kernel does not have yet.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("clear inheritable capabilities: %w", err)
	}
	if c.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("set no_new_privs: %w", err)
		}
	}
	return nil
}

// take gives up what the program must not have. Like Limit it acts on the
// calling thread alone, which is the one that execs.
func (c *Credentials) take() error {
	if err := c.Limit(); err != nil {
		return err
	}
	if err := c.setIDs(); err != nil {
		return err
	}
	permitted := c.Capabilities
	if c.UID != 0 {
		permitted = 0
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{
		{Permitted: uint32(permitted), Effective: uint32(permitted)},
		{Permitted: uint32(permitted >> 32), Effective: uint32(permitted >> 32)},
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	return nil
}

// setIDs uses raw system calls: those of package syscall change all threads.
func (c *Credentials) setIDs() error {
	if !c.KeepGroups {
		var first unsafe.Pointer
		if len(c.Groups) > 0 {
			first = unsafe.Pointer(&c.Groups[0])
		}
		if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(c.Groups)), uintptr(first), 0); errno != 0 {
			return fmt.Errorf("set supplementary groups %v: %w", c.Groups, errno)
		}
	}
	gid, uid := uintptr(c.GID), uintptr(c.UID)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return fmt.Errorf("become group %d: %w", c.GID, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return fmt.Errorf("become user %d: %w", c.UID, errno)
	}
	return nil
}
