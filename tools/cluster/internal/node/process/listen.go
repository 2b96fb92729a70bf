package process

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// portsAnnotation is where the kubelet keeps a container's declared ports.
	portsAnnotation = "io.kubernetes.container.ports"
	// listenPatience is how long awaitListening waits at most.
	listenPatience = 500 * time.Millisecond
	listenInterval = 3 * time.Millisecond
)

// awaitListening waits until the container listens on all the TCP ports that
// it declares. It gives up after longest, or when the container or ctx ends.
//
// The kubelet probes the instant StartContainer returns and, when that fails,
// not before the probe's whole period (at least a second) has gone by. Most
// programs listen within milliseconds, so a short wait saves that second.
func awaitListening(ctx context.Context, c *container, longest time.Duration) {
	missing := declaredPorts(c)
	if len(missing) == 0 {
		return
	}
	patience := time.NewTimer(longest)
	defer patience.Stop()
	poll := time.NewTicker(listenInterval)
	defer poll.Stop()
	for {
		for port := range listeningPorts(c.process.os.Pid) {
			delete(missing, port)
		}
		if len(missing) == 0 {
			return
		}
		select {
		case <-poll.C:
		case <-patience.C:
			return
		case <-c.process.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// declaredPorts returns the container's TCP ports: those of the kubelet's
// annotation. Without one none are known: the sandbox's port mappings do
// not say which of the pod's containers means to listen.
func declaredPorts(c *container) map[int]bool {
	var declared []struct {
		ContainerPort int
		Protocol      string
	}
	if err := json.Unmarshal([]byte(c.config.GetAnnotations()[portsAnnotation]), &declared); err != nil {
		return nil
	}
	ports := map[int]bool{}
	for _, p := range declared {
		if p.Protocol == "" || p.Protocol == rt.Protocol_TCP.String() {
			ports[p.ContainerPort] = true
		}
	}
	return ports
}

// listeningPorts returns the TCP ports with a listener in the network
// namespace of a process. An ended process has none.
func listeningPorts(pid int) map[int]bool {
	ports := map[int]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			// "0: 0100007F:1F90 00000000:0000 0A ...": local, remote, state.
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[3] != "0A" {
				continue
			}
			_, hex, _ := strings.Cut(fields[1], ":")
			if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
				ports[int(port)] = true
			}
		}
	}
	return ports
}
