package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// script is a command of the shell's. There may be no program beside it, so cat is
// the shell's own, and sleep is this program.
func script(text string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", "-c", `cat() { while IFS= read -r line; do echo "$line"; done; }; sleep() { "$SELF"; }; `+text)
	cmd.Env = append(os.Environ(), fmt.Sprintf("SELF=/proc/%d/exe", os.Getpid()), roleVariable+"=sleep")
	return cmd
}

// within fails the test when a child does not end.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Promise: the output goes to where the command says, and how the child ended is known.
func TestOutputAndEnd(t *testing.T) {
	var tail Tail
	var lines []string
	cmd := script("echo one; echo two >&2; echo three; exit 3")
	cmd.Stdout = EachLine(func(line []byte) { lines = append(lines, string(line)) })
	cmd.Stderr = &tail
	c, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Wait(within(t))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || c.How() != "exit status 3" {
		t.Errorf("ended with %v (%s), want exit status 3", err, c.How())
	}
	if !slices.Equal(lines, []string{"one", "three"}) || !slices.Equal(tail.Lines(), []string{"two"}) {
		t.Errorf("output %q, log %q", lines, tail.Lines())
	}
	if err := c.Signal(os.Interrupt); err != nil {
		t.Errorf("signal to a child that has ended: %v", err)
	}
	if err := c.Kill(); err != nil {
		t.Errorf("kill of a child that has ended: %v", err)
	}
}

// Promise: a program that can't be started is named.
func TestStartFails(t *testing.T) {
	_, err := Start(exec.Command("/nowhere/server"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "start server") {
		t.Errorf("error %v", err)
	}
}

// Promise: the end of its input is the order to end.
func TestStop(t *testing.T) {
	c, err := Start(script("cat >/dev/null; exit 4"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(within(t), time.Minute); err != nil {
		t.Errorf("stop: %v", err)
	}
	if c.How() != "exit status 4" {
		t.Errorf("it ended with %s", c.How())
	}
	if err := c.Stop(within(t), 0); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

// Promise: a child without input reads its end at once, and has nothing to be closed.
func TestWithoutInput(t *testing.T) {
	c, err := Start(script("cat; exit 6"), WithoutInput())
	if err != nil {
		t.Fatal(err)
	}
	if c.Wait(within(t)); c.How() != "exit status 6" || c.Input != nil {
		t.Errorf("it ended with %s, input %v", c.How(), c.Input)
	}
}

// Promise: a child that does not obey is killed when its grace is over or the
// context ends, and the error says which; what it left behind does not hold up anybody.
func TestStubbornChild(t *testing.T) {
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the test is over"))
	for name, test := range map[string]struct {
		ctx   context.Context
		grace time.Duration
		want  string
	}{
		"grace":   {t.Context(), time.Millisecond, "sh did not end by itself within 1ms and was killed"},
		"context": {ended, time.Minute, "sh was killed, since no time was left to let it end by itself: the test is over"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := script("sleep 60 & while :; do sleep 60; done")
			cmd.Stdout = &bytes.Buffer{} // which the sleeping ones hold open
			c, err := Start(cmd, OwnGroup())
			if err != nil {
				t.Fatal(err)
			}
			err = c.Stop(test.ctx, test.grace)
			var killed *KilledError
			if !errors.As(err, &killed) || err.Error() != test.want {
				t.Errorf("stop: %v, want %s", err, test.want)
			}
			if c.How() != "signal: killed" {
				t.Errorf("it ended with %s", c.How())
			}
		})
	}
}

// Promise: a child that ended by itself was not killed, though what it left behind
// still holds its output when its grace is over.
func TestLeftBehindIsNotKilled(t *testing.T) {
	cmd := script("sleep 60 & exit 0")
	cmd.Stdout = &bytes.Buffer{}
	cmd.WaitDelay = 300 * time.Millisecond
	c, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	for !c.Exited() {
		time.Sleep(time.Millisecond)
	}
	if err := c.Stop(within(t), 0); err != nil {
		t.Errorf("stop: %v", err)
	}
	if c.How() != "exit status 0" {
		t.Errorf("it ended with %s", c.How())
	}
}

// Promise: a log that can't be written costs the log, not the child's output.
func TestDropping(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if n, err := Dropping(full).Write([]byte("line\n")); n != 5 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
}

// Promise: the wait for a child's end ends with the context, with its cause.
func TestWaitEndsWithContext(t *testing.T) {
	c, err := Start(script("cat"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	if err := c.Wait(ctx); !errors.Is(err, reason) {
		t.Errorf("wait: %v", err)
	}
	if err := c.Err(); err != nil {
		t.Errorf("a running child ended with %v", err)
	}
}

// Promise: the tail is the last lines however the output was cut into writes, and
// has no stack traces.
func TestTail(t *testing.T) {
	for name, test := range map[string]struct{ writes, want []string }{
		"nothing":         {nil, nil},
		"whole lines":     {[]string{"a\n", "b\n"}, []string{"a", "b"}},
		"cut line":        {[]string{"a", "b\nc", "\n"}, []string{"ab", "c"}},
		"unfinished line": {[]string{"a\nb"}, []string{"a", "b"}},
		"other ends":      {[]string{"a\r\nb\r\n"}, []string{"a", "b"}},
		"panic": {[]string{"panic: no space left\n\ngoroutine 1 gp=0xc000002380 m=0 [running]:\nmain.(*T).do(0x1?, {0x2, 0x3})\n\t/src/main.go:12 +0x54\n" +
			"go.uber.org/zap.(*Logger).Panic(...)\n\t/src/l.go:2\ncreated by main.main in goroutine 7\n\t/src/x.go:1\n\nI1123 goes on\n"},
			[]string{"panic: no space left", "", "I1123 goes on"}},
		"empty line": {[]string{"\n\na\n"}, []string{"", "", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var tail Tail
			for _, write := range test.writes {
				fmt.Fprint(&tail, write)
			}
			if got := tail.Lines(); !slices.Equal(got, test.want) {
				t.Errorf("tail = %q, want %q", got, test.want)
			}
		})
	}
}

// Promise: memory is bounded in lines and in the length of one.
func TestTailIsBounded(t *testing.T) {
	var tail Tail
	for i := range TailLines + 5 {
		fmt.Fprintln(&tail, i)
	}
	fmt.Fprintln(&tail, strings.Repeat("x", 3*TailLineBytes))
	lines := tail.Lines()
	if len(lines) != TailLines || lines[0] != "6" {
		t.Errorf("%d lines, the first is %q", len(lines), lines[0])
	}
	if last := lines[len(lines)-1]; len(last) != TailLineBytes {
		t.Errorf("a long line is kept with %d bytes", len(last))
	}
}

// Promise: lines are handed over whole however they were written, and one without
// an end costs no more than its own loss.
func TestEachLine(t *testing.T) {
	var got []string
	w := EachLine(func(line []byte) { got = append(got, string(line)) })
	for _, write := range []string{"a\nb", "c\n", "\n", strings.Repeat("x", maxLine), "yy\nd\ne"} {
		if n, err := w.Write([]byte(write)); n != len(write) || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if want := []string{"a", "bc", "", "d"}; !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
}

// Both outputs come, and a context that ends interrupts also what a script started.
func TestOutputs(t *testing.T) {
	stdout, both, err := Outputs(exec.CommandContext(within(t), "/bin/sh", "-c", "echo out; echo log >&2; exit 3"))
	if failure, ok := errors.AsType[*exec.ExitError](err); !ok || failure.ExitCode() != 3 || stdout != "out\n" || both != "log\nout\n" {
		t.Errorf("%q, %q, %v", stdout, both, err)
	}
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `/bin/sh -c 'echo begun >&3; read never'; :`)
	cmd.ExtraFiles = []*os.File{writer}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	go func() {
		_, _ = reader.Read(make([]byte, 1))
		cancel()
	}()
	_, _, err = Outputs(cmd)
	writer.Close()
	if rest, readErr := io.ReadAll(reader); err == nil || readErr != nil {
		t.Errorf("%v; after it %q, %v", err, rest, readErr)
	}
}
