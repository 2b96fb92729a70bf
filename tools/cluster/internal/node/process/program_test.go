package process

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// report is what a container's program says about itself.
type report struct {
	PID, PPID, UID, GID int
	Groups              []int
	Status              map[string]string // of /proc/self/status
	Hostname, Dir       string
	Env, Args           []string
	Descriptors         map[string]string // number to target
	Namespaces          map[string]string
	Session             int
}

// program is what the tests' containers run. Its first argument chooses what
// it does.
func program(args []string) int {
	mode, args := args[0], args[1:]
	run, found := programs[mode]
	if !found {
		fmt.Fprintf(os.Stderr, "unknown mode %q\n", mode)
		return 99
	}
	code, err := run(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

var programs = map[string]func(args []string) (int, error){
	// report prints a report.
	"report": func([]string) (int, error) { return 0, json.NewEncoder(os.Stdout).Encode(makeReport()) },
	// print writes its first argument to stdout, its second to stderr and
	// exits with its third.
	"print": func(args []string) (int, error) {
		fmt.Fprint(os.Stdout, args[0])
		fmt.Fprint(os.Stderr, args[1])
		return strconv.Atoi(args[2])
	},
	// wait says "ready", then the name of each signal it gets; SIGTERM and the
	// signals named in its arguments end it with status 0.
	"wait": func(args []string) (int, error) {
		signals := make(chan os.Signal, 8)
		signal.Notify(signals)
		fmt.Println("ready")
		for s := range signals {
			name := unix.SignalName(s.(unix.Signal))
			if name == "SIGURG" { // the Go runtime's own
				continue
			}
			fmt.Println(name)
			if name == "SIGTERM" && len(args) == 0 || len(args) > 0 && args[0] == name {
				return 0, nil
			}
		}
		return 1, nil
	},
	// orphan starts a child that outlives it and prints the child's id.
	"orphan": func(args []string) (int, error) {
		child := exec.Command(os.Args[0], programArg, "wait", "SIGUSR2")
		if len(args) > 0 { // keep the output open
			child.Stdout, child.Stderr = os.Stdout, os.Stderr
		}
		if err := child.Start(); err != nil {
			return 1, err
		}
		fmt.Println(child.Process.Pid)
		return 0, nil
	},
	// parent starts such a child and waits with it.
	"parent": func([]string) (int, error) {
		child := exec.Command(os.Args[0], programArg, "wait", "SIGUSR2")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			return 1, err
		}
		return 0, child.Wait()
	},
	// apart runs another mode in namespaces of its own, as a browser's sandbox does.
	"apart": func(args []string) (int, error) {
		child := exec.Command(os.Args[0], append([]string{programArg}, args...)...)
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		child.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		return 1, child.Run()
	},
	// listen serves an echo on an address after a delay in milliseconds.
	"listen": func(args []string) (int, error) {
		delay, err := strconv.Atoi(args[1])
		if err != nil {
			return 1, err
		}
		time.Sleep(time.Duration(delay) * time.Millisecond)
		l, err := net.Listen("tcp", args[0])
		if err != nil {
			return 1, err
		}
		for {
			conn, err := l.Accept()
			if err != nil {
				return 1, err
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	},
	// echo copies stdin to stdout until its end.
	"echo": func([]string) (int, error) {
		_, err := io.Copy(os.Stdout, os.Stdin)
		fmt.Println("end of input")
		return 0, err
	},
	// terminal describes its terminal, again at each change of its size, and
	// ends with a line that says "quit".
	"terminal": func([]string) (int, error) {
		changes := make(chan os.Signal, 8)
		signal.Notify(changes, unix.SIGWINCH)
		describe := func() {
			size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
			if err != nil {
				fmt.Println("no terminal:", err)
				return
			}
			name, _ := os.Readlink("/proc/self/fd/0")
			fmt.Printf("%s %dx%d TERM=%s\n", name, size.Col, size.Row, os.Getenv("TERM"))
		}
		describe()
		go func() {
			for range changes {
				describe()
			}
		}()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			fmt.Printf("got %q\n", lines.Text())
			if lines.Text() == "quit" {
				return 5, nil
			}
		}
		return 6, nil
	},
	// read prints files, or the error of one; a directory as its entries.
	"read": func(args []string) (int, error) {
		for _, path := range args {
			if entries, err := os.ReadDir(path); err == nil {
				for _, e := range entries {
					fmt.Println(path + "/" + e.Name())
				}
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return 1, err
			}
			fmt.Printf("%s", text)
		}
		return 0, nil
	},
	// write writes to existing or new files and prints what happened.
	"chmod": func(args []string) (int, error) {
		for _, path := range args {
			fmt.Printf("%s: %v\n", path, os.Chmod(path, 0o600))
		}
		return 0, nil
	},
	"write": func(args []string) (int, error) {
		for _, path := range args {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
			if err == nil {
				_, err = f.WriteString("written\n")
				f.Close()
			}
			fmt.Printf("%s: %v\n", path, err)
		}
		return 0, nil
	},
	// sizes prints the sizes of file systems.
	"sizes": func(args []string) (int, error) {
		for _, path := range args {
			var fs unix.Statfs_t
			if err := unix.Statfs(path, &fs); err != nil {
				return 1, err
			}
			fmt.Printf("%s %d MiB\n", path, fs.Blocks*uint64(fs.Bsize)>>20)
		}
		return 0, nil
	},
	// flood writes lines to stdout.
	"flood": func(args []string) (int, error) {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return 1, err
		}
		line := strings.Repeat("x", 99) + "\n"
		for range n {
			if _, err := io.WriteString(os.Stdout, line); err != nil {
				return 1, err
			}
		}
		return 0, nil
	},
	// hold touches some MiB of memory in each of some processes, says "holds"
	// and waits to be killed.
	"hold": func(args []string) (int, error) {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return 1, err
		}
		processes, err := strconv.Atoi(args[1])
		if err != nil {
			return 1, err
		}
		if processes > 1 {
			child := exec.Command(os.Args[0], programArg, "hold", args[0], strconv.Itoa(processes-1))
			child.Stdout = os.Stdout
			if err := child.Start(); err != nil {
				return 1, err
			}
		}
		block := make([]byte, n<<20)
		for i := 0; i < len(block); i += os.Getpagesize() {
			block[i] = 1
		}
		fmt.Println("holds")
		for {
			if err := unix.Pause(); err != unix.EINTR {
				return int(block[0]), err
			}
		}
	},
	// share touches some MiB of shared memory in two processes, says "holds" and
	// waits to be killed.
	"share": func(args []string) (int, error) {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return 1, err
		}
		child := len(args) > 1
		fd := 3
		if !child {
			if fd, err = unix.MemfdCreate("shared", 0); err != nil {
				return 1, err
			}
			if err := unix.Ftruncate(fd, int64(n)<<20); err != nil {
				return 1, err
			}
		}
		block, err := unix.Mmap(fd, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return 1, err
		}
		for i := 0; i < len(block); i += os.Getpagesize() {
			block[i] = 1
		}
		if !child {
			other := exec.Command(os.Args[0], programArg, "share", args[0], "child")
			other.Stdout, other.ExtraFiles = os.Stdout, []*os.File{os.NewFile(uintptr(fd), "shared")}
			return 1, other.Run()
		}
		fmt.Println("holds")
		for {
			if err := unix.Pause(); err != unix.EINTR {
				return 1, err
			}
		}
	},
	// burn uses some milliseconds of CPU time, then waits to be killed or,
	// with a second argument, ends.
	"burn": func(args []string) (int, error) {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return 1, err
		}
		var used unix.Rusage
		for used.Utime.Nano()+used.Stime.Nano() < int64(n)*1e6 {
			if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
				return 1, err
			}
		}
		if len(args) > 1 {
			return 0, nil
		}
		for {
			if err := unix.Pause(); err != unix.EINTR {
				return 1, err
			}
		}
	},
}

func makeReport() report {
	r := report{PID: os.Getpid(), PPID: os.Getppid(), UID: os.Getuid(), GID: os.Getgid(), Env: os.Environ(), Args: os.Args}
	r.Groups, _ = os.Getgroups()
	r.Hostname, _ = os.Hostname()
	r.Dir, _ = os.Getwd()
	r.Session, _ = unix.Getsid(0)
	r.Status = map[string]string{}
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		r.Status[name] = strings.TrimSpace(value)
	}
	r.Descriptors, r.Namespaces = links("/proc/self/fd"), links("/proc/self/ns")
	return r
}

func links(dir string) map[string]string {
	targets := map[string]string{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil {
			targets[e.Name()] = target
		}
	}
	return targets
}
