package amend

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"stormgate.internal/gateway/api/v1alpha1"
)

const (
	// maxRecent and maxRecentBytes bound what is remembered; bytes are estimated.
	maxRecent      = 2000
	maxRecentBytes = 16 << 20
	// maxSkip is how many changes of an object are at most made without remembering it,
	// because others change it as well.
	maxSkip = 64
)

// recent remembers objects as they were stored last, so that the next change need not
// read them. What it says may be old. An update that is based on it is then a conflict,
// which costs more than to have read the object. So objects that others change, too, such
// as those that several replicas count on, are left out for a while, each time for longer.
type recent struct {
	mu      sync.Mutex
	entries map[types.NamespacedName]*remembered
	bytes   int
}

type remembered struct {
	object *v1alpha1.RemediationRequest // nil while it is left out
	bytes  int
	// skip is how many more changes are made without it, and skipped how many were to be
	// when it was left out last.
	skip, skipped int
}

// take returns an object and forgets it, or returns nil.
func (r *recent) take(ref types.NamespacedName) *v1alpha1.RemediationRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[ref]
	if e == nil || e.object == nil {
		return nil
	}
	object := e.object
	r.bytes -= e.bytes
	e.object, e.bytes = nil, 0
	return object
}

// put remembers an object as stored.
func (r *recent) put(ref types.NamespacedName, object *v1alpha1.RemediationRequest) {
	bytes := sizeOf(object)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(ref)
	if e.skip > 0 {
		e.skip--
		return
	}
	r.bytes += bytes - e.bytes
	e.object, e.bytes = object, bytes
	r.evict(ref)
}

// outdated notes that what was remembered of an object was old.
func (r *recent) outdated(ref types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(ref)
	e.skipped = min(2*e.skipped+1, maxSkip)
	e.skip = e.skipped
	r.evict(ref)
}

func (r *recent) entry(ref types.NamespacedName) *remembered {
	e := r.entries[ref]
	if e == nil {
		if r.entries == nil {
			r.entries = make(map[types.NamespacedName]*remembered)
		}
		e = &remembered{}
		r.entries[ref] = e
	}
	return e
}

// evict forgets objects, any but one, until the rest is within the bounds.
func (r *recent) evict(but types.NamespacedName) {
	for ref, e := range r.entries {
		if len(r.entries) <= maxRecent && r.bytes <= maxRecentBytes {
			return
		}
		if ref != but {
			r.bytes -= e.bytes
			delete(r.entries, ref)
		}
	}
	if e := r.entries[but]; r.bytes > maxRecentBytes {
		r.bytes -= e.bytes
		delete(r.entries, but)
	}
}

// sizeOf estimates how many bytes of memory an object takes.
func sizeOf(object *v1alpha1.RemediationRequest) int {
	const fixed, each = 2048, 32
	n := fixed + len(object.Spec.OriginalPayload) + len(object.Spec.ProviderData)
	for _, m := range []map[string]string{object.Labels, object.Annotations, object.Spec.SignalLabels, object.Spec.SignalAnnotations} {
		for key, value := range m {
			n += len(key) + len(value) + each
		}
	}
	for _, list := range [][]string{object.Spec.AffectedResources, object.Spec.AffectedFingerprints} {
		for _, text := range list {
			n += len(text) + each
		}
	}
	for i := range object.ManagedFields {
		if fields := object.ManagedFields[i].FieldsV1; fields != nil {
			n += len(fields.Raw) + each
		}
	}
	return n
}
