// Package remediation makes and reads RemediationRequest objects: it builds them
// from signals, finds the namespace and a free name for them, creates them with
// bounded retries, and looks up those that exist.
package remediation

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

// Labels and annotations of the objects.
const (
	LabelManagedBy       = "app.kubernetes.io/managed-by"
	LabelComponent       = "app.kubernetes.io/component"
	LabelSignalType      = "kubernaut.io/signal-type"
	LabelSeverity        = "kubernaut.io/severity"
	LabelEnvironment     = "kubernaut.io/environment"
	LabelPriority        = "kubernaut.io/priority"
	LabelFingerprint     = "kubernaut.io/signal-fingerprint"
	LabelStorm           = "kubernaut.io/storm"
	LabelOriginNamespace = "kubernaut.io/origin-namespace"
	LabelClusterScoped   = "kubernaut.io/cluster-scoped"
	LabelBuffered        = "kubernaut.io/buffered"
	AnnotationCreatedAt  = "kubernaut.io/created-at"
	// AnnotationTruncated is how many alerts the sender left out of the request that the
	// object was made from.
	AnnotationTruncated = "kubernaut.io/truncated-alerts"
	// AnnotationBatch names the batch of alerts that the object was made from.
	AnnotationBatch = "kubernaut.io/storm-batch"
)

const (
	maxLabelLength      = 63      // Kubernetes' limit for label values
	maxEnvironment      = 63      // the schema's limit
	maxSignalLabel      = 63      // bytes, by contract
	maxSignalAnnotation = 262_000 // bytes, by contract
)

// Draft is what a new object is made from.
type Draft struct {
	Signal *signal.Signal
	// Environment and Priority are the classification.
	Environment, Priority string
	// Name is reserved for the object; see Name.
	Name string
	// Batch names the batch of alerts that the object is made from, or is empty. No
	// second object is made from a batch under the same name, even after the first
	// was finished. An object of a batch that is no storm's is labelled buffered.
	Batch string
	// Storm is set if the object is to stand for all alerts of the batch. The signal
	// then gives what they have in common.
	Storm *Storm
}

// Storm describes the alerts of a storm.
type Storm struct {
	// Type is how it was detected: rate or pattern.
	Type string
	// Resources are the affected resources' ids, one for each alert.
	Resources []string
	// Fingerprints are those of the alerts, in the same order. If there are none, they
	// follow from the resources.
	Fingerprints []string
	// LastSeen is when the latest of the alerts was received.
	LastSeen time.Time
}

// window returns the time over which storms of the type are detected.
func (s *Storm) window() string {
	if s.Type == "pattern" {
		return "2m"
	}
	return "1m"
}

// Name returns the name of an object of the incident that is made at a time.
func Name(fingerprint string, at time.Time) string {
	return fmt.Sprintf("rr-%.12s-%d", fingerprint, at.Unix())
}

// FingerprintLabel returns the part of a fingerprint that fits in a label.
func FingerprintLabel(fingerprint string) string {
	return fingerprint[:min(len(fingerprint), maxLabelLength)]
}

// build makes the object of a draft, without a namespace.
func build(d Draft, now time.Time) (*v1alpha1.RemediationRequest, error) {
	s := d.Signal
	environment := cut(d.Environment, maxEnvironment)
	fitting := fit(s)
	providerData, err := json.Marshal(providerData{
		Namespace: s.Namespace,
		Resource:  providerResource{Kind: s.Resource.Kind, Name: s.Resource.Name, Namespace: s.Resource.Namespace},
		Labels:    fitting.providerLabels,
	})
	if err != nil {
		return nil, fmt.Errorf("encode provider data: %w", err)
	}
	received, firing := metav1.NewTime(s.ReceivedTime), metav1.NewTime(s.FiringTime)
	if firing.IsZero() {
		firing = received
	}
	object := &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{
			Name: d.Name,
			Labels: map[string]string{
				LabelManagedBy:   "gateway-service",
				LabelComponent:   "remediation",
				LabelSignalType:  labelValue(s.Type),
				LabelSeverity:    labelValue(s.Severity),
				LabelEnvironment: labelValue(environment),
				LabelPriority:    labelValue(d.Priority),
				LabelFingerprint: FingerprintLabel(s.Fingerprint),
			},
			Annotations: map[string]string{AnnotationCreatedAt: now.UTC().Format(time.RFC3339)},
		},
		Spec: v1alpha1.RemediationRequestSpec{
			SignalFingerprint: s.Fingerprint,
			SignalName:        s.Name,
			Severity:          s.Severity,
			Environment:       environment,
			Priority:          d.Priority,
			SignalType:        s.Type,
			SignalSource:      s.Source,
			TargetType:        "kubernetes",
			FiringTime:        firing,
			ReceivedTime:      received,
			Deduplication:     v1alpha1.DeduplicationInfo{FirstSeen: received, LastSeen: received, OccurrenceCount: 1},
			SignalLabels:      fitting.labels,
			SignalAnnotations: fitting.annotations,
			ProviderData:      providerData,
			OriginalPayload:   fitting.payload,
		},
	}
	noteCut(object, fitting.cut)
	if d.Batch != "" {
		object.Annotations[AnnotationBatch] = d.Batch
	}
	if s.Truncated > 0 {
		object.Annotations[AnnotationTruncated] = strconv.Itoa(s.Truncated)
	}
	if storm := d.Storm; storm != nil {
		object.Labels[LabelStorm] = "true"
		object.Spec.IsStorm, object.Spec.StormType, object.Spec.StormWindow = true, storm.Type, storm.window()
		object.Spec.AffectedResources = distinct(storm.Resources)
		object.Spec.StormAlertCount = len(object.Spec.AffectedResources)
		for n, fingerprint := range storm.Fingerprints {
			object.Spec.AddMember(fingerprint, storm.Resources[n])
		}
		if storm.LastSeen.After(received.Time) {
			object.Spec.Deduplication.LastSeen = metav1.NewTime(storm.LastSeen)
		}
	} else if d.Batch != "" {
		object.Labels[LabelBuffered] = "true"
	}
	return object, nil
}

// distinct returns the texts in their order, each once.
func distinct(texts []string) []string {
	seen := make(map[string]bool, len(texts))
	kept := make([]string, 0, len(texts))
	for _, text := range texts {
		if !seen[text] {
			seen[text] = true
			kept = append(kept, text)
		}
	}
	return kept
}

// providerData locates the resource for the controllers.
type providerData struct {
	Namespace string            `json:"namespace"`
	Resource  providerResource  `json:"resource"`
	Labels    map[string]string `json:"labels"`
}

type providerResource struct {
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// Placement decides in which namespace an incident's objects are.
type Placement struct {
	// Fallback is for signals whose own namespace can't hold an object. Required.
	Fallback string
}

// Namespace returns where the object of a signal from namespace is to be tried
// first, and whether that is the fallback already.
func (p Placement) Namespace(namespace string) (target string, fallback bool) {
	if len(validation.IsDNS1123Label(namespace)) != 0 {
		return p.Fallback, true
	}
	return namespace, false
}

// moveToFallback puts the object into the fallback namespace, labelled with where
// its signal came from.
func (p Placement) moveToFallback(object *v1alpha1.RemediationRequest, origin string) {
	object.Namespace = p.Fallback
	object.Labels[LabelOriginNamespace] = labelValue(origin)
	object.Labels[LabelClusterScoped] = "true"
}

// belongs reports whether an object is of an incident in the namespace, rather
// than of one with the same fingerprint that fell back from another.
func (p Placement) belongs(object *v1alpha1.RemediationRequest, namespace string) bool {
	origin, ok := p.origin(object)
	return ok && origin == labelValue(namespace)
}

// origin returns the namespace of the object's signals as a label value, or false
// if the object was moved to what is not the fallback namespace.
func (p Placement) origin(object *v1alpha1.RemediationRequest) (string, bool) {
	if object.Labels[LabelClusterScoped] == "true" {
		origin, ok := object.Labels[LabelOriginNamespace]
		return origin, ok && object.Namespace == p.Fallback
	}
	return object.Namespace, true
}

// labelValue turns any text into a valid label value: what is not allowed becomes
// a dash, and the result is cut to 63 characters that begin and end
// alphanumerically. It may be empty.
func labelValue(text string) string {
	mapped := strings.Map(func(r rune) rune {
		if isAlphanumeric(r) || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '-'
	}, text)
	notAlphanumeric := func(r rune) bool { return !isAlphanumeric(r) }
	mapped = strings.TrimLeftFunc(mapped, notAlphanumeric)
	return strings.TrimRightFunc(cut(mapped, maxLabelLength), notAlphanumeric)
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// cut returns the longest prefix of text that has at most limit bytes and does
// not split a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

func cutValues(values map[string]string, limit int) map[string]string {
	if len(values) == 0 {
		return nil
	}
	result := make(map[string]string, len(values))
	for key, value := range values {
		result[key] = cut(value, limit)
	}
	return result
}
