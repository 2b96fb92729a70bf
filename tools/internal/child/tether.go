package child

import (
	"os/exec"
	"runtime"
	"sync"
)

var (
	once  sync.Once
	forks = make(chan func())
)

// The kernel can send a child a signal when its parent dies, but "parent" means
// the thread that forked it, and Go ends threads when it likes. So every tethered
// child is forked by one thread that stays for as long as the process does.
func startTethered(cmd *exec.Cmd) error {
	once.Do(func() { go fork() })
	result := make(chan error)
	forks <- func() { result <- cmd.Start() }
	return <-result
}

func fork() {
	runtime.LockOSThread() // and never unlocked
	for start := range forks {
		start()
	}
}
