// Package busy keeps processors busy: a race that an idle machine never loses is lost
// beside others that want to run.
package busy

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"stormgate.internal/tools/internal/child"
)

// variable makes a program a busy process: see Main.
const variable = "STORMGATE_FLAKES_BUSY"

// Main is called first by the main function of a program that calls Start. In a process that Start
// started it is busy until it is killed, and does not return.
func Main() {
	if os.Getenv(variable) == "" {
		return
	}
	runtime.GOMAXPROCS(1)
	// Some of it misses the caches, as the work of others does.
	memory := make([]uint64, 1<<20)
	for state := uint64(1); ; {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		memory[state%uint64(len(memory))] += state
	}
}

// Load are busy processes.
type Load struct{ children []*child.Child }

// Start starts so many, each of which wants one processor. They die with this process,
// however it ends. The program of this process has to call Main.
func Start(n int) (*Load, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start busy processes: %w", err)
	}
	l := &Load{}
	for range n {
		cmd := exec.Command(program)
		cmd.Args = []string{"busy"}
		cmd.Env = append(os.Environ(), variable+"=1")
		c, err := child.Start(cmd, child.Tethered(syscall.SIGKILL), child.OwnGroup(), child.WithoutInput())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start busy processes: %w", err), l.Stop())
		}
		l.children = append(l.children, c)
	}
	return l, nil
}

// PIDs are those of the processes.
func (l *Load) PIDs() []int {
	var pids []int
	for _, c := range l.children {
		pids = append(pids, c.PID())
	}
	return pids
}

// Stop ends them all. The error says that some had ended before, so that there was less
// load than was asked for.
func (l *Load) Stop() error {
	gone := 0
	var problems []error
	for _, c := range l.children {
		if c.Exited() {
			gone++
		}
		problems = append(problems, c.Kill())
	}
	l.children = nil
	if gone > 0 {
		problems = append(problems, fmt.Errorf("%d busy processes had ended before: there was less load than was asked for", gone))
	}
	return errors.Join(problems...)
}
