package process

import (
	"time"

	"stormgate.internal/tools/cluster/api"
)

// livesKept is of how many beginnings and ends Lives knows: those of some hundred
// deployments of a hundred containers. One takes about 400 bytes.
const livesKept = 20_000

// Lives returns the beginnings and ends of containers after number seq, as far as
// they are kept. An end is recorded when the last process of the container is gone,
// before any call that waits for it returns.
func (r *Runtime) Lives(seq uint64) api.Lives {
	lives, first, last := r.lives.After(seq)
	return api.Lives{First: first, Last: last, Lives: lives}
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
