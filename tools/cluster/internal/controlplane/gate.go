package controlplane

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// gateEnv is set for a process that was started ahead of its time. Its value is
// the descriptor that closes when the time has come.
const gateEnv = "STORMGATE_GATE"

// gateDescriptor is the first that os/exec hands to a child.
const gateDescriptor = 3

// Hold makes Start start the process ahead of its time, so that one component
// loads while another's start is waited for. The process runs its packages'
// initialisation (60 ms of CPU time for a binary of this size) and what else its
// program does before AwaitGate. There it waits until Release. Only programs
// that call AwaitGate can be held.
func (c *Component) Hold() error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("hold %s: %w", c.Name, err)
	}
	c.gate, c.held = read, write
	return nil
}

// Release lets a held component go on; it is a no-op for any other.
func (c *Component) Release() error {
	if c.held == nil {
		return nil
	}
	if err := c.held.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("release %s: %w", c.Name, err)
	}
	return nil
}

// AwaitGate blocks the process of a held Component until Release, or until the
// process that holds it has ended. It returns at once in any other process.
func AwaitGate() error {
	value, held := os.LookupEnv(gateEnv)
	if !held {
		return nil
	}
	// The node's containers must neither see the variable nor wait.
	if err := os.Unsetenv(gateEnv); err != nil {
		return fmt.Errorf("await gate: %w", err)
	}
	descriptor, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("await gate: %s=%q is no descriptor", gateEnv, value)
	}
	gate := os.NewFile(uintptr(descriptor), "gate")
	defer gate.Close()
	if _, err := io.Copy(io.Discard, gate); err != nil {
		return fmt.Errorf("await gate: %w", err)
	}
	return nil
}
