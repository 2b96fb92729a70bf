package remediation

import (
	"fmt"
	"time"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/signal"
)

// AnnotationRaised says how an object's severity and priority have risen, and when.
const AnnotationRaised = "kubernaut.io/severity-raised"

// AnnotationResolved is when the alert of an object in progress was resolved. It is
// removed when the alert fires again.
const AnnotationResolved = "kubernaut.io/resolved-at"

var severityRanks = map[string]int{signal.SeverityInfo: 1, signal.SeverityWarning: 2, signal.SeverityCritical: 3}

// SeverityRank returns a number from 1 that is higher for what is more severe; 0 for no
// severity.
func SeverityRank(severity string) int { return severityRanks[severity] }

// IsMoreSevere reports whether one severity is above another.
func IsMoreSevere(severity, than string) bool { return severityRanks[severity] > severityRanks[than] }

// Raise makes an object as severe as a repeat of its incident is, and as urgent as that
// makes it. It never lowers either. It returns the former severity, or "" if nothing
// had to change. The priority is asked for only if something has.
func Raise(object *v1alpha1.RemediationRequest, severity string, priority func(environment string) string, at time.Time) (from string) {
	spec := &object.Spec
	if !IsMoreSevere(severity, spec.Severity) {
		return ""
	}
	from, before := spec.Severity, spec.Priority
	spec.Severity = severity
	// P0 is the most urgent.
	if p := priority(spec.Environment); p < spec.Priority {
		spec.Priority = p
	}
	if object.Labels == nil {
		object.Labels = make(map[string]string)
	}
	if object.Annotations == nil {
		object.Annotations = make(map[string]string)
	}
	object.Labels[LabelSeverity], object.Labels[LabelPriority] = labelValue(spec.Severity), labelValue(spec.Priority)
	object.Annotations[AnnotationRaised] = fmt.Sprintf("from %s %s to %s %s at %s", from, before, spec.Severity, spec.Priority, at.UTC().Format(time.RFC3339))
	return from
}
