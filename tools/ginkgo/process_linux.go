package ginkgo

import "syscall"

// attributesOfRunner give the runner a process group of its own, so that a
// signal to the supervisor's group reaches it once, by way of the supervisor,
// and let it die with the supervisor.
func attributesOfRunner() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
