package suite

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
)

// Load is what clients send to the gateway while something else happens.
type Load struct {
	stop context.CancelFunc
	sent sync.WaitGroup

	mu       sync.Mutex
	accepted []string
	failures []string
}

// StartLoad makes that many clients send to Gateway until Stop, each an alert every
// interval, over connections that they keep. Every other alert begins an incident, and
// the ones between are one storm. Each is about a pod of its own.
func StartLoad(ctx context.Context, n *Namespace, clients int, interval time.Duration) *Load {
	ginkgo.GinkgoHelper()
	sending, stop := context.WithCancel(ctx)
	l := &Load{stop: stop}
	ginkgo.DeferCleanup(func() {
		stop()
		l.sent.Wait()
	})
	incident, storm := n.NewAlert(), n.NewAlert()
	for client := range clients {
		l.sent.Go(func() {
			for i := 0; sending.Err() == nil; i++ {
				alert := storm
				if i%2 == 0 {
					alert = incident
					alert.Name = fmt.Sprintf("%s-%d-%d", incident.Name, client, i)
				}
				began := time.Now()
				// An alert that was begun is sent to its end.
				l.send(ctx, alert.OnPod(fmt.Sprintf("%s-%d-%d", alert.Pod, client, i)))
				sleepUntil(sending, began.Add(interval))
			}
		})
	}
	return l
}

func (l *Load) send(ctx context.Context, alert Alert) {
	reply, err := Gateway().send(ctx, alert)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failures = append(l.failures, fmt.Sprintf("%s: %v", alert.OnWhat(), err))
	case reply.Code >= http.StatusBadRequest:
		l.failures = append(l.failures, fmt.Sprintf("%s: answer %d, %s", alert.OnWhat(), reply.Code, reply.Problem.Detail))
	default:
		l.accepted = append(l.accepted, alert.ResourceID())
	}
}

// Accepted is how many alerts were accepted so far.
func (l *Load) Accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

// Stop ends the load. It returns the resources of the alerts that were accepted, and what
// clients saw of the others.
func (l *Load) Stop() (accepted, failures []string) {
	l.stop()
	l.sent.Wait()
	return l.accepted, l.failures
}
