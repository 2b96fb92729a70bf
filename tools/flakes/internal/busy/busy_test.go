package busy

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stormgate.internal/tools/internal/procstat"
)

// parentVariable makes the test's process one that starts busy ones and waits to be killed.
const parentVariable = "BUSY_TEST_PARENT"

func TestMain(m *testing.M) {
	Main()
	if os.Getenv(parentVariable) != "" {
		load, err := Start(2)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		for _, pid := range load.PIDs() {
			fmt.Println(pid)
		}
		select {}
	}
	os.Exit(m.Run())
}

// ended waits until no such process is there, or is one that nobody has waited for.
func ended(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if !procstat.Running(pid) {
			return
		}
	}
	t.Errorf("process %d is still there", pid)
}

// Promise: they use processors, and none is left.
func TestStart(t *testing.T) {
	load, err := Start(2)
	if err != nil {
		t.Fatal(err)
	}
	pids := load.PIDs()
	if len(pids) != 2 {
		t.Fatalf("processes %v", pids)
	}
	for _, pid := range pids {
		used := int64(0) // user time, in ticks
		for end := time.Now().Add(20 * time.Second); used < 3 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			stat, err := procstat.Read(strconv.Itoa(pid))
			if err == nil {
				used, err = stat.Int(14)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if used < 3 {
			t.Errorf("process %d used %d ticks", pid, used)
		}
	}
	if err := load.Stop(); err != nil {
		t.Error(err)
	}
	for _, pid := range pids {
		ended(t, pid)
	}
	if err := load.Stop(); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

// Promise: a process that was killed by somebody else is noticed.
func TestStopNotices(t *testing.T) {
	load, err := Start(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(load.PIDs()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for !load.children[0].Exited() {
		time.Sleep(time.Millisecond)
	}
	if err := load.Stop(); err == nil || !strings.Contains(err.Error(), "less load") {
		t.Errorf("stop: %v", err)
	}
}

// Promise: they die with the process that started them, also by SIGKILL.
func TestParentKilled(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(program)
	parent.Env = append(os.Environ(), parentVariable+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for lines := bufio.NewScanner(out); len(pids) < 2 && lines.Scan(); {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(lines.Text())
		}
		pids = append(pids, pid)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	for _, pid := range pids {
		ended(t, pid)
	}
}
