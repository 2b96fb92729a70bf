package suite

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/format"
	"github.com/onsi/gomega/types"

	remediationv1alpha1 "stormgate.internal/gateway/api/v1alpha1"
)

// BeCreatedFor matches the answer to the first signal of an incident: 201, with
// the name of a new RemediationRequest in the alert's namespace.
func BeCreatedFor(alert Alert) types.GomegaMatcher {
	return &matcher[Reply]{
		wanted: "201 created for " + alert.Name,
		check: func(r Reply) differences {
			d := answer(r, Reply{Code: http.StatusCreated, Status: "created"}, alert)
			d.match("remediationRequestName", r.RemediationRequestName, nameFor(alert))
			d.compare("has metadata", r.Metadata != nil, false)
			return d
		},
	}
}

// BeDuplicateOf matches the answer to a further signal of an incident: 202, with
// the incident's RemediationRequest and how often it was seen, this time
// included.
func BeDuplicateOf(alert Alert, remediationRequest string, count int) types.GomegaMatcher {
	return &matcher[Reply]{
		wanted: fmt.Sprintf("202 duplicate of %s, seen %d times", remediationRequest, count),
		check: func(r Reply) differences {
			d := answer(r, Reply{Code: http.StatusAccepted, Status: "duplicate", Duplicate: true}, alert)
			d.compare("remediationRequestName", r.RemediationRequestName, remediationRequest)
			d.compare("has metadata", r.Metadata != nil, true)
			if m := r.Metadata; m != nil {
				d.compare("metadata.Fingerprint", m.Fingerprint, alert.Fingerprint())
				d.compare("metadata.Count", m.Count, count)
				d.compare("metadata.RemediationRequestRef", m.RemediationRequestRef, alert.Namespace+"/"+remediationRequest)
			}
			return d
		},
	}
}

// answer compares what all answers about one alert have, with the code, the status
// and the flags that are wanted.
func answer(got, want Reply, alert Alert) differences {
	var d differences
	d.compare("code", got.Code, want.Code)
	if got.Problem != nil {
		d.add("problem", fmt.Sprintf("%s: %s", got.Problem.Title, got.Problem.Detail), "none")
		return d
	}
	d.compare("status", got.Status, want.Status)
	d.compare("fingerprint", got.Fingerprint, alert.Fingerprint())
	d.compare("duplicate", got.Duplicate, want.Duplicate)
	d.compare("isStorm", got.IsStorm, want.IsStorm)
	if want.IsStorm {
		d.compare("stormType", got.StormType, stormType)
		d.compare("has metadata", got.Metadata != nil, false)
	} else {
		d.compare("remediationRequestNamespace", got.RemediationRequestNamespace, alert.Namespace)
	}
	return d
}

// nameFor matches the name of a RemediationRequest that the alert has made.
func nameFor(alert Alert) *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf("^rr-%s-[0-9]+$", alert.Fingerprint()[:12]))
}

// BeRemediation matches the RemediationRequest of that name for the alert's
// incident, in that phase and after that many occurrences.
func BeRemediation(alert Alert, name, phase string, occurrences int) types.GomegaMatcher {
	return &matcher[remediationv1alpha1.RemediationRequest]{
		wanted: fmt.Sprintf("%s/%s of %s, phase %q, seen %d times", alert.Namespace, name, alert.Name, phase, occurrences),
		check: func(r remediationv1alpha1.RemediationRequest) differences {
			var d differences
			d.compare("name", r.Namespace+"/"+r.Name, alert.Namespace+"/"+name)
			d.compare("fingerprint", r.Spec.SignalFingerprint, alert.Fingerprint())
			d.compare("signalName", r.Spec.SignalName, alert.Name)
			d.compare("severity", r.Spec.Severity, alert.Severity)
			d.compare("occurrenceCount", r.Spec.Deduplication.OccurrenceCount, occurrences)
			d.compare("overallPhase", r.Status.OverallPhase, phase)
			return d
		},
	}
}

// BeTimestamp matches text in RFC 3339 for that second.
func BeTimestamp(want time.Time) types.GomegaMatcher {
	return gomega.WithTransform(func(text string) (time.Time, error) {
		return time.Parse(time.RFC3339, text)
	}, gomega.BeTemporally("~", want, time.Second))
}

// differences are lines of "what: got, want".
type differences []string

func (d *differences) add(what string, got, want any) {
	*d = append(*d, fmt.Sprintf("%s: %v, want %v", what, got, want))
}

func (d *differences) compare(what string, got, want any) {
	if !reflect.DeepEqual(got, want) {
		d.add(what, got, want)
	}
}

func (d *differences) match(what, got string, want *regexp.Regexp) {
	if !want.MatchString(got) {
		d.add(what, got, "a match of "+want.String())
	}
}

// matcher prints what is wrong in a few lines, since the digest of a failing log has
// room for few. Gomega's own matchers would print two large values.
type matcher[T any] struct {
	wanted string
	check  func(T) differences
	// brief leaves the value itself out of messages, which is large.
	brief bool
}

func (m *matcher[T]) Match(actual any) (bool, error) {
	value, ok := actual.(T)
	if !ok {
		return false, fmt.Errorf("a %T can't be %s", actual, m.wanted)
	}
	return len(m.check(value)) == 0, nil
}

func (m *matcher[T]) FailureMessage(actual any) string {
	value, _ := actual.(T)
	message := fmt.Sprintf("wanted %s, but\n  %s", m.wanted, strings.Join(m.check(value), "\n  "))
	if m.brief {
		return message
	}
	return fmt.Sprintf("%s\nof\n%s", message, format.Object(actual, 1))
}

func (m *matcher[T]) NegatedFailureMessage(actual any) string {
	if m.brief {
		return "wanted anything but " + m.wanted
	}
	return fmt.Sprintf("wanted anything but %s, got\n%s", m.wanted, format.Object(actual, 1))
}

// GomegaString is what ConsistOf and its like print.
func (m *matcher[T]) GomegaString() string { return m.wanted }

// printBriefly makes Gomega print RemediationRequests as one line each.
func printBriefly() {
	format.RegisterCustomFormatter(func(value any) (string, bool) {
		r, ok := value.(remediationv1alpha1.RemediationRequest)
		if !ok {
			return "", false
		}
		text := fmt.Sprintf("%s/%s of %s, phase %q, seen %d times", r.Namespace, r.Name, r.Spec.SignalName,
			r.Status.OverallPhase, r.Spec.Deduplication.OccurrenceCount)
		if r.Spec.IsStorm {
			text += fmt.Sprintf(", storm of %d: %s", r.Spec.StormAlertCount, strings.Join(r.Spec.AffectedResources, " "))
		}
		return text, true
	})
}
