package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
)

// Fingerprints returns the fingerprints of all incidents that the object stands
// for: its own first and, when it is a storm's, those of the affected resources,
// in their order.
func (r *RemediationRequest) Fingerprints() []string {
	fingerprints := make([]string, 0, 1+len(r.Spec.AffectedResources))
	fingerprints = append(fingerprints, r.Spec.SignalFingerprint)
	for member := range r.Members() {
		if member != r.Spec.SignalFingerprint {
			fingerprints = append(fingerprints, member)
		}
	}
	for _, member := range r.Spec.AffectedFingerprints {
		if member != r.Spec.SignalFingerprint {
			fingerprints = append(fingerprints, member)
		}
	}
	return fingerprints
}

// AddMember makes the storm stand for one more alert, given its fingerprint and the id
// of its resource, if it does not already.
func (s *RemediationRequestSpec) AddMember(fingerprint, resource string) {
	if !slices.Contains(s.AffectedResources, resource) {
		s.AffectedResources = append(s.AffectedResources, resource)
	}
	if !s.HasMember(fingerprint, resource) {
		s.AffectedFingerprints = append(s.AffectedFingerprints, fingerprint)
	}
}

// HasMember reports whether the storm stands for an alert, given its fingerprint and the
// id of its resource.
func (s *RemediationRequestSpec) HasMember(fingerprint, resource string) bool {
	if slices.Contains(s.AffectedFingerprints, fingerprint) {
		return true
	}
	return slices.Contains(s.AffectedResources, resource) && hexSum(s.memberPrefix()+resource) == fingerprint
}

// Members yields the affected resources of a storm, each after its fingerprint.
func (r *RemediationRequest) Members() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for resource, sum := range r.Spec.memberSums() {
			if !yield(hex.EncodeToString(sum[:]), resource) {
				return
			}
		}
	}
}

// StandsFor reports whether the fingerprint is one of Fingerprints.
func (r *RemediationRequest) StandsFor(fingerprint string) bool {
	if fingerprint == r.Spec.SignalFingerprint {
		return true
	}
	if len(r.Spec.AffectedResources) == 0 {
		return false
	}
	if slices.Contains(r.Spec.AffectedFingerprints, fingerprint) {
		return true
	}
	decoded, err := hex.DecodeString(fingerprint)
	if err != nil || len(decoded) != sha256.Size {
		return false
	}
	want := [sha256.Size]byte(decoded)
	for _, sum := range r.Spec.memberSums() {
		if sum == want {
			return true
		}
	}
	return false
}

// memberSums yields each affected resource with its fingerprint in bytes. A
// fingerprint is the hash of name:namespace:kind:resource, and a resource is
// namespace:kind:resource already, except that a cluster-scoped one lacks the
// empty part. Fingerprints that have more in them are AffectedFingerprints.
func (s *RemediationRequestSpec) memberSums() iter.Seq2[string, [sha256.Size]byte] {
	return func(yield func(string, [sha256.Size]byte) bool) {
		prefix := s.memberPrefix()
		var text []byte
		for _, resource := range s.AffectedResources {
			text = append(append(text[:0], prefix...), resource...)
			if !yield(resource, sha256.Sum256(text)) {
				return
			}
		}
	}
}

// memberPrefix is what precedes a resource in the text that is hashed. Whether
// resources are cluster-scoped does not show in them, since names may have colons.
// But a storm is of one namespace or of none, and the object's own fingerprint is
// that of one of its resources.
func (s *RemediationRequestSpec) memberPrefix() string {
	namespaced, clusterScoped := s.SignalName+":", s.SignalName+"::"
	for _, resource := range s.AffectedResources {
		switch s.SignalFingerprint {
		case hexSum(namespaced + resource):
			return namespaced
		case hexSum(clusterScoped + resource):
			return clusterScoped
		}
	}
	return namespaced
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
