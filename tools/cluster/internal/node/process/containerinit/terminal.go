package containerinit

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// OpenTerminal opens a pseudo terminal of the container's own /dev/pts, whose
// mount namespace the calling thread is in, for a user. Both descriptors are
// closed at exec.
func OpenTerminal(user uint32) (master, terminal int, err error) {
	master, err = unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("open terminal: /dev/ptmx: %w", err)
	}
	terminal, err = openSlave(master, user)
	if err != nil {
		unix.Close(master)
		return -1, -1, fmt.Errorf("open terminal: %w", err)
	}
	return master, terminal, nil
}

func openSlave(master int, user uint32) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, fmt.Errorf("unlock: %w", err)
	}
	number, err := unix.IoctlGetUint32(master, unix.TIOCGPTN)
	if err != nil {
		return -1, fmt.Errorf("find number: %w", err)
	}
	name := fmt.Sprintf("/dev/pts/%d", number)
	terminal, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", name, err)
	}
	if err := unix.Fchown(terminal, int(user), -1); err != nil {
		unix.Close(terminal)
		return -1, fmt.Errorf("hand %s to user %d: %w", name, user, err)
	}
	return terminal, nil
}

// useTerminal makes a new terminal the controlling one and the standard
// streams, and sends its master to the runtime. The process leads a session
// already.
func (p *Process) useTerminal() error {
	master, terminal, err := OpenTerminal(p.Credentials.UID)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetInt(terminal, unix.TIOCSCTTY, 0); err != nil {
		return fmt.Errorf("make the terminal the controlling one: %w", err)
	}
	for fd := range 3 {
		if err := unix.Dup3(terminal, fd, 0); err != nil {
			return fmt.Errorf("use the terminal as descriptor %d: %w", fd, err)
		}
	}
	// One byte carries the descriptor; errors follow it as text.
	if err := unix.Sendmsg(ControlFD, []byte{0}, unix.UnixRights(master), nil, 0); err != nil {
		return fmt.Errorf("send the terminal to the runtime: %w", err)
	}
	return nil
}
