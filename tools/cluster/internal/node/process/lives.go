package process

import (
	"context"
	"fmt"
	"time"

	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/internal/procstat"
)

// livesKept is of how many beginnings and ends Lives knows: those of some hundred
// deployments of a hundred containers. One takes about 400 bytes.
const livesKept = 20_000

// Lives returns the beginnings and ends of containers after number seq, as far as
// they are kept. An end is recorded when the last process of the container is gone,
// before any call that waits for it returns. The end of what has ended already, or holds
// more memory than it may, is waited for: the record would be behind what a test has
// seen. The error is the cause of ctx's end.
func (r *Runtime) Lives(ctx context.Context, seq uint64) (api.Lives, error) {
	if err := r.checkMemory(ctx); err != nil {
		return api.Lives{}, fmt.Errorf("look at the memory of containers: %w", err)
	}
	for _, c := range r.ending() {
		select {
		case <-c.exited:
		case <-ctx.Done():
			return api.Lives{}, fmt.Errorf("wait for the end of container %s: %w", c.name(), context.Cause(ctx))
		}
	}
	lives, first, last := r.lives.After(seq)
	return api.Lives{First: first, Last: last, Lives: lives}, nil
}

// ending are the containers whose first process has ended or was killed for its memory, and
// whose end is not recorded yet.
func (r *Runtime) ending() []*container {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*container
	for _, c := range r.containers {
		if c.state != rt.ContainerState_CONTAINER_EXITED && c.hasProcess() && (c.memory.excess != "" || !procstat.Running(c.process.os.Pid)) {
			list = append(list, c)
		}
	}
	return list
}

// recordStart is called when the container's program runs.
func (r *Runtime) recordStart(c *container) {
	r.lives.Add(c.life)
}

// recordEnd is called with the container's state set to its end. A container whose
// program could not be started has an end alone. The caller holds Runtime.mu.
func (r *Runtime) recordEnd(c *container) {
	r.lives.Add(func(seq uint64) api.Life {
		life := c.life(seq)
		life.Ended, life.Ordered = true, c.ordered
		life.ExitCode, life.Reason = c.exitCode, c.reason
		return life
	})
}

func (c *container) life(seq uint64) api.Life {
	pod := c.sandbox.config.GetMetadata()
	return api.Life{
		Seq: seq, Time: time.Now(), Namespace: pod.GetNamespace(), Pod: pod.GetName(), PodUID: pod.GetUid(),
		Container: c.config.GetMetadata().GetName(), ID: c.id, Image: c.reference(),
	}
}
