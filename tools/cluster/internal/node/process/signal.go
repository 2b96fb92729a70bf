package process

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The real-time signals as C programs see them: the C library keeps the first
// two of the kernel's.
const (
	sigRTMin = unix.Signal(34)
	sigRTMax = unix.Signal(64)
)

// stopSignal is the container's own, else the image's, else SIGTERM.
func stopSignal(own rt.Signal, ofImage string) (unix.Signal, error) {
	name := cmp.Or(ofImage, "SIGTERM")
	if own != rt.Signal_SIGNAL_RUNTIME_DEFAULT {
		name = strings.TrimPrefix(own.String(), "SIGNAL_")
	}
	return signalNumber(name)
}

func signalNumber(name string) (unix.Signal, error) {
	switch name {
	case "SIGCLD":
		return unix.SIGCHLD, nil
	case "SIGPOLL":
		return unix.SIGIO, nil
	case "SIGIOT":
		return unix.SIGABRT, nil
	}
	if s := unix.SignalNum(name); s != 0 {
		return s, nil
	}
	for prefix, base := range map[string]unix.Signal{"SIGRTMIN": sigRTMin, "SIGRTMAX": sigRTMax} {
		rest, found := strings.CutPrefix(name, prefix)
		if !found {
			continue
		}
		offset, err := strconv.Atoi(strings.NewReplacer("PLUS", "+", "MINUS", "-").Replace(cmp.Or(rest, "0")))
		if s := base + unix.Signal(offset); err == nil && s >= sigRTMin && s <= sigRTMax {
			return s, nil
		}
	}
	return 0, fmt.Errorf("unknown stop signal %q", name)
}
