package child

import (
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// outputsGrace is how long a command that was interrupted may take to end.
const outputsGrace = 30 * time.Second

// Outputs runs a command of exec.CommandContext to its end. It returns standard output,
// and both outputs together. When the context ends, what the command started is
// interrupted as well, such as the program that a script leads to.
func Outputs(cmd *exec.Cmd) (stdout, both string, err error) {
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	attributes(cmd).Setpgid = true
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = outputsGrace
	err = cmd.Run()
	return out.String(), log.String() + out.String(), err
}
