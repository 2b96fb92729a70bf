package dedup

import (
	"context"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redisclient"
	"stormgate.internal/gateway/signal"
)

// registerBatch bounds how many incidents one script call handles. Redis serves
// nobody else meanwhile.
const registerBatch = 100

// Register makes the object stand for all its fingerprints, for signals to come.
// Those that another object in progress stands for are left to that one. Errors of
// Redis are *redisclient.UnavailableError. After an error some of the fingerprints may
// be registered.
//
// A new object of a single signal is registered by Claim.Created already.
func (d *Deduplicator) Register(ctx context.Context, object *v1alpha1.RemediationRequest) error {
	place, ok := d.objects.PlaceOf(object)
	if !ok {
		return nil
	}
	resources := maps.Collect(object.Members())
	byPartition := make(map[redisclient.Partition][]string)
	for _, fingerprint := range object.Fingerprints() {
		p := d.index.partitions.Of(fingerprint)
		byPartition[p] = append(byPartition[p], fingerprint)
	}
	for _, all := range byPartition {
		for fingerprints := range slices.Chunk(all, registerBatch) {
			if err := d.registerSome(ctx, object, place, fingerprints, resources); err != nil {
				return err
			}
		}
	}
	return nil
}

// registerSome registers fingerprints of one partition.
func (d *Deduplicator) registerSome(ctx context.Context, object *v1alpha1.RemediationRequest, place string, fingerprints []string, resources map[string]string) error {
	entries := make([]entry, len(fingerprints))
	records := make([]record, len(fingerprints))
	for n, fingerprint := range fingerprints {
		member := &signal.Signal{
			Fingerprint: fingerprint, Name: object.Spec.SignalName, Namespace: place,
			Resource: signal.Resource{Name: resourceName(resources[fingerprint], place)},
		}
		entries[n] = entry{d.index.incident(fingerprint, place), refOf(object)}
		records[n] = recordOf(member, object, object.Spec.Deduplication.OccurrenceCount)
	}
	conflicts, err := d.index.register(ctx, entries, records)
	if err != nil {
		return err
	}
	return d.resolve(ctx, entries, conflicts)
}

// resolve gives incidents that are another object's to the entries' objects, unless
// that other one stands for them.
func (d *Deduplicator) resolve(ctx context.Context, entries []entry, conflicts []conflict) error {
	for _, c := range conflicts {
		e := entries[c.position]
		stands, err := d.standsFor(ctx, c.object, e.incident.fingerprint)
		if err != nil {
			return err
		}
		if stands {
			continue
		}
		if err := d.index.forget(ctx, e.incident, c.object, e.object); err != nil {
			return err
		}
	}
	return nil
}

// standsFor asks the cluster whether an object is in progress and stands for the
// incident of the fingerprint.
func (d *Deduplicator) standsFor(ctx context.Context, ref types.NamespacedName, fingerprint string) (bool, error) {
	object, err := d.objects.Get(ctx, ref)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil && d.stands(object) && object.StandsFor(fingerprint), err
}

// resourceName returns the name in a resource id, whose namespace has the place.
func resourceName(id, place string) string {
	kindAndName := strings.TrimPrefix(id, place+":")
	_, name, _ := strings.Cut(kindAndName, ":")
	return name
}
