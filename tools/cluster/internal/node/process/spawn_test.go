package process

import (
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that was killed before it could say a word is told as that.
func TestSilentEndIsExplained(t *testing.T) {
	killed := exec.Command("/bin/sh", "-c", "kill -9 $$")
	if err := killed.Run(); err == nil {
		t.Fatal("it was not killed")
	}
	done := make(chan struct{})
	close(done)
	p := &process{done: done, state: killed.ProcessState}
	reset := error(&net.OpError{Op: "read", Net: "unix", Err: unix.ECONNRESET})
	if err := p.explain(reset); !errors.Is(err, unix.ECONNRESET) || !strings.Contains(err.Error(), "container init ended: signal: killed") {
		t.Errorf("error %v", err)
	}
	said := errors.New("mount volume: no such file or directory")
	if err := p.explain(said); err != said {
		t.Errorf("error %v", err)
	}
}
