package dedup

import (
	"context"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

// Claim is the right to create the object of an incident. It must be ended, by one
// of Created, Release and Discard.
type Claim struct {
	// Name is reserved for the object.
	Name string

	d         *Deduplicator
	incident  incident
	sig       *signal.Signal
	token     string
	certainty certainty
	flight    *flight
}

func (d *Deduplicator) claim(i incident, sig *signal.Signal, token string, start begun) *Claim {
	return &Claim{Name: start.name, d: d, incident: i, sig: sig, token: token, certainty: start.certainty, flight: d.flights.start(i.lock())}
}

// avoid moves on from names that finished objects have. Whoever takes the claim
// over will find those objects, and the same name.
func (c *Claim) avoid(finished []v1alpha1.RemediationRequest) {
	taken := make([]string, len(finished))
	for n := range finished {
		taken[n] = finished[n].Name
	}
	reserved := timeOf(c.Name)
	if at := after(reserved, taken...); at != reserved {
		c.Name = c.d.Name(c.sig.Fingerprint, at)
	}
}

// Created ends the claim: the object, new or not, now stands for the incident. That
// Redis does not take this is only logged, since the object exists: what remains is
// the reservation, and whoever meets that looks in the cluster.
func (c *Claim) Created(ctx context.Context, object *v1alpha1.RemediationRequest) {
	defer c.d.flights.end(c.flight)
	rec := recordOf(c.sig, object, object.Spec.Deduplication.OccurrenceCount)
	other, err := c.d.index.settle(detach(ctx), c.incident, c.token, rec)
	switch {
	case err != nil:
		c.d.Logger.Warn("object exists, the index does not have it", "object", rec.ref.String(), "error", err)
	case other != "":
		c.d.Logger.Error("incident has another object, made since Redis lost the reservation", "object", rec.ref.String(), "other", other)
	}
}

// Release ends the claim after creating the object was tried and failed. Whoever
// claims the incident next gets the same name, as the object may yet appear.
func (c *Claim) Release(ctx context.Context) { c.end(ctx, false) }

// Discard ends the claim when creating the object was not even tried.
func (c *Claim) Discard(ctx context.Context) {
	// Somebody who held the claim before may have tried.
	c.end(ctx, c.certainty != left)
}

func (c *Claim) end(ctx context.Context, discard bool) {
	defer c.d.flights.end(c.flight)
	if err := c.d.index.release(detach(ctx), c.incident, c.token, discard); err != nil {
		c.d.Logger.Warn("lock is not given back, it expires by itself", "name", c.Name, "error", err)
	}
}

// registerBatch bounds how many incidents one script call handles, and thus for how
// long Redis serves nobody else.
const registerBatch = 100

// Register makes the object stand for all its fingerprints, for signals to come.
// Those that another object in progress stands for are left to that one. Errors of
// Redis are *redisclient.UnavailableError; some of the fingerprints may then be registered.
//
// A new object of a single signal is registered by Claim.Created already.
func (d *Deduplicator) Register(ctx context.Context, object *v1alpha1.RemediationRequest) error {
	place, ok := d.Objects.PlaceOf(object)
	if !ok {
		return nil
	}
	resources := maps.Collect(object.Members())
	for fingerprints := range slices.Chunk(object.Fingerprints(), registerBatch) {
		entries := make([]entry, len(fingerprints))
		records := make([]record, len(fingerprints))
		for n, fingerprint := range fingerprints {
			member := &signal.Signal{
				Fingerprint: fingerprint, Name: object.Spec.SignalName, Namespace: place,
				Resource: signal.Resource{Name: resourceName(resources[fingerprint], place)},
			}
			entries[n] = entry{incident{fingerprint, place}, refOf(object)}
			records[n] = recordOf(member, object, object.Spec.Deduplication.OccurrenceCount)
		}
		conflicts, err := d.index.register(ctx, entries, records)
		if err != nil {
			return err
		}
		if err := d.resolve(ctx, entries, conflicts); err != nil {
			return err
		}
	}
	return nil
}

// resolve gives incidents that are another object's to the entries' objects, unless
// that other one stands for them.
func (d *Deduplicator) resolve(ctx context.Context, entries []entry, conflicts []conflict) error {
	for _, c := range conflicts {
		e := entries[c.position]
		other, err := d.Objects.Get(ctx, c.object)
		switch {
		case err == nil && other.InProgress() && other.StandsFor(e.incident.fingerprint):
			continue
		case err != nil && !apierrors.IsNotFound(err):
			return err
		}
		if err := d.index.forget(ctx, e.incident, c.object, e.object); err != nil {
			return err
		}
	}
	return nil
}

// resourceName returns the name in a resource id, whose namespace has the place.
func resourceName(id, place string) string {
	kindAndName := strings.TrimPrefix(id, place+":")
	_, name, _ := strings.Cut(kindAndName, ":")
	return name
}
