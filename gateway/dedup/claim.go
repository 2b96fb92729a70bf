package dedup

import (
	"context"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

// Claim is the right to create the object of an incident. The caller ends it with
// one of Created, Release and Discard, or else with Close. Until then nobody else in this
// process handles a signal of the incident.
type Claim struct {
	// Name is reserved for the object.
	Name string

	*flight
	d   *Deduplicator
	sig *signal.Signal
	// tried says that an earlier holder of the claim may have tried to create it.
	tried bool
}

func (d *Deduplicator) claim(sig *signal.Signal, start begun, f *flight) *Claim {
	return &Claim{Name: start.name, flight: f, d: d, sig: sig, tried: start.standing == left}
}

// Guard is what a script needs to refuse to work for a claim that has been lost meanwhile.
type Guard struct {
	// Incident and Lock are keys. Unless the value of the latter is the token, or if that of
	// the former begins with "=", the claim is lost. All are empty if the script can't know.
	Incident, Lock, Token string
}

// Guard returns what a script about the incident's storm needs. That can't know in a Redis
// Cluster, where the storm may be on another server than the incident.
func (c *Claim) Guard() Guard {
	if c.incident.partition != "" {
		return Guard{}
	}
	token := c.token
	if !c.unbroken() {
		token = "lost" // whoever has the lock
	}
	return Guard{c.incident.key(), c.incident.lock(), token}
}

// avoid moves on from names that finished objects have. The next holder of the claim
// will find those objects, and the same name.
func (c *Claim) avoid(finished []v1alpha1.RemediationRequest) {
	taken := make([]string, len(finished))
	for n := range finished {
		taken[n] = finished[n].Name
	}
	reserved := timeOf(c.Name)
	if at := after(reserved, taken...); at != reserved {
		c.Name = c.d.name(c.sig.Fingerprint, at)
	}
}

// Created ends the claim: the object, new or not, now stands for the incident. A
// failure of Redis is only logged, since the object exists. Redis then still has the
// reservation, and the next signal that meets it looks in the cluster.
func (c *Claim) Created(ctx context.Context, object *v1alpha1.RemediationRequest) {
	defer c.d.flights.end(c.flight)
	c.ending.Store(true)
	rec := recordOf(c.sig, object, object.Spec.Deduplication.OccurrenceCount)
	other, err := c.d.index.settle(detach(ctx), c.incident, c.token, rec)
	switch {
	case err != nil:
		c.d.logger.Warn("object was created, but is not in the index of incidents; the next signal finds it in the cluster", "object", rec.ref.String(), "error", err)
	case other.Name != "":
		c.d.logger.Error("incident has a second object: Redis had lost the reservation of the first", "object", rec.ref.String(), "other", other.String())
	}
}

// Release ends the claim after creating the object was tried and failed. The next
// holder of the claim gets the same name, since the object may yet appear.
func (c *Claim) Release(ctx context.Context) { c.end(ctx, false) }

// Discard ends the claim when creating the object was not even tried. It gives up the
// reservation, unless an earlier holder of the claim may have tried.
func (c *Claim) Discard(ctx context.Context) { c.end(ctx, !c.tried) }

// Close ends a claim that nothing else has ended, as after a panic. The caller defers it.
func (c *Claim) Close(ctx context.Context) {
	select {
	case <-c.over:
	default:
		c.Release(ctx)
	}
}

func (c *Claim) end(ctx context.Context, discard bool) {
	defer c.d.flights.end(c.flight)
	c.ending.Store(true)
	if err := c.d.index.release(detach(ctx), c.incident, c.token, discard); err != nil {
		c.d.logger.Warn("lock of an incident is not given back, it expires by itself", "name", c.Name, "error", err)
	}
}
