package procstat

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// Promise: fields count as in the manual, whatever the program is called.
func TestFieldsCountFromTheLastParenthesis(t *testing.T) {
	for _, name := range []string{"init", "a b", "a) 1 (b", "((", ""} {
		stat, err := Parse([]byte("42 (" + name + ") S 7 8 9 10"))
		if err != nil {
			t.Fatal(err)
		}
		if parent, err := stat.Parent(); err != nil || parent != 7 {
			t.Errorf("parent of %q = %d, %v", name, parent, err)
		}
		if sum, err := stat.Sum(5, 7); err != nil || sum != 27 {
			t.Errorf("sum of fields 5 to 7 of %q = %d, %v", name, sum, err)
		}
		for _, field := range []int{-1, 2, 3, 8} {
			if n, err := stat.Int(field); err == nil {
				t.Errorf("field %d of %q = %d, want an error", field, name, n)
			}
		}
	}
	if _, err := Parse([]byte("no parenthesis")); err == nil {
		t.Error("text without a name was taken")
	}
}

// Promise: a process that has ended does not run, waited for or not.
func TestRunning(t *testing.T) {
	if !Running(os.Getpid()) {
		t.Error("this process does not run")
	}
	cmd := exec.Command("/bin/sh", "-c", "read line")
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !Running(cmd.Process.Pid) {
		t.Error("a child that waits for its input does not run")
	}
	input.Close()
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if Running(cmd.Process.Pid) {
		t.Error("a child that was not waited for runs")
	}
	cmd.Wait()
	if Running(cmd.Process.Pid) {
		t.Error("a child that was waited for runs")
	}
}

func TestRead(t *testing.T) {
	stat, err := Read("self")
	if err != nil {
		t.Fatal(err)
	}
	if parent, err := stat.Parent(); err != nil || parent != os.Getppid() {
		t.Errorf("parent = %d, %v, want %d", parent, err, os.Getppid())
	}
	if _, err := Read("0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v for a process that does not exist", err)
	}
}
