package faultproxy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rule is a fault and the requests that meet it.
type Rule struct {
	// ID names the rule. It is required, and part of a URL: no slashes.
	ID string `json:"id"`
	// Match selects the requests.
	Match Match `json:"match"`
	// Skip is how many matching requests pass before the first one meets the fault.
	Skip int `json:"skip,omitempty"`
	// Count is how many requests after those meet the fault. 0 means all.
	Count int `json:"count,omitempty"`
	// Fault is what they meet.
	Fault Fault `json:"fault"`
}

// Match selects requests: those that fit every field that is not empty.
//
// A rule must have a Namespace or a Query, so that it does not break other tests that
// run at the same time. A rule for the whole cluster must have Everywhere instead.
type Match struct {
	// Namespace is the one in the path; for a namespace itself its name.
	Namespace string `json:"namespace,omitempty"`
	// Query is contained in the query, unescaped: "labelSelector=app=web".
	Query string `json:"query,omitempty"`
	// Everywhere is required without Namespace and Query, and excluded with them.
	Everywhere bool `json:"everywhere,omitempty"`
	// Methods are those of HTTP, upper case.
	Methods []string `json:"methods,omitempty"`
	// Verbs are those of Kubernetes: get, list, watch, create, update, patch,
	// delete, deletecollection; for paths without a resource the method in lower case.
	Verbs []string `json:"verbs,omitempty"`
	// PathPrefix is the beginning of the path.
	PathPrefix string `json:"pathPrefix,omitempty"`
	// Resource is "plural", "plural.group" or either with "/subresource". A core
	// resource has no group. Without a subresource the resource itself is meant.
	Resource string `json:"resource,omitempty"`
	// Name is the object's.
	Name string `json:"name,omitempty"`
}

// Kind is what a fault does.
type Kind string

// Kinds of fault.
const (
	// Status answers with Fault.Code and a metav1.Status.
	Status Kind = "status"
	// Close ends the connection without an answer.
	Close Kind = "close"
	// Reset is Close with a TCP reset.
	Reset Kind = "reset"
	// Hold gives no answer until the rule is removed or replaced. Then the request goes
	// on, if its sender still waits. A server whose packets are lost looks the same.
	Hold Kind = "hold"
	// Delay only waits for Fault.Delay.
	Delay Kind = "delay"
)

// Fault is what happens to a request.
type Fault struct {
	// Kind is required.
	Kind Kind `json:"kind"`
	// Delay passes before anything else. Default none; required for kind Delay.
	Delay metav1.Duration `json:"delay,omitzero"`
	// Forward lets the request reach the API server first. What the request changes is
	// changed, and the answer is lost, replaced or held. Excluded with kind Delay.
	Forward bool `json:"forward,omitempty"`
	// Code is that of the answer, 400 to 599. Required for kind Status.
	Code int `json:"code,omitempty"`
	// RetryAfterSeconds is sent as Retry-After and in the body; default not sent.
	RetryAfterSeconds *int `json:"retryAfterSeconds,omitempty"`
	// Reason of the metav1.Status; default the usual one of the code.
	Reason metav1.StatusReason `json:"reason,omitempty"`
	// Message of the metav1.Status; default names the rule.
	Message string `json:"message,omitempty"`
}

// State is a rule and the requests that it has matched.
type State struct {
	Rule Rule `json:"rule"`
	// Matched counts the requests that fit, skipped ones included. It stops when Count
	// requests have met the fault.
	Matched int `json:"matched"`
	// Hits counts those that met the fault.
	Hits int `json:"hits"`
	// Held is how many are being held now.
	Held int `json:"held"`
}

// Validate returns every problem of the rule at once.
func (r *Rule) Validate() error {
	var problems []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	m, f := r.Match, r.Fault
	require(r.ID != "" && !strings.Contains(r.ID, "/"), "id %q must not be empty or have slashes", r.ID)
	scoped := m.Namespace != "" || m.Query != ""
	require(scoped || m.Everywhere, "match needs a namespace or a query, or everywhere")
	require(!scoped || !m.Everywhere, "match is everywhere and has a namespace or a query")
	require(r.Skip >= 0, "skip is negative: %d", r.Skip)
	require(r.Count >= 0, "count is negative: %d", r.Count)
	require(slices.Contains([]Kind{Status, Close, Reset, Hold, Delay}, f.Kind), "fault kind %q is unknown", f.Kind)
	require(f.Delay.Duration >= 0, "fault delay is negative: %s", f.Delay.Duration)
	require(f.Kind != Delay || f.Delay.Duration > 0, "fault kind delay needs a delay")
	require(f.Kind != Delay || !f.Forward, "fault kind delay always forwards")
	if f.Kind == Status {
		require(f.Code >= 400 && f.Code <= 599, "fault code is %d, want 400 to 599", f.Code)
		require(f.RetryAfterSeconds == nil || *f.RetryAfterSeconds >= 0, "fault retryAfterSeconds is negative")
	} else {
		require(f.Code == 0 && f.RetryAfterSeconds == nil && f.Reason == "" && f.Message == "", "fault kind %q has no answer to describe", f.Kind)
	}
	return errors.Join(problems...)
}

// matches reports whether the request fits.
func (m *Match) matches(r request) bool {
	if m.Namespace != "" && m.Namespace != r.namespace ||
		!strings.Contains(r.query, m.Query) ||
		!strings.HasPrefix(r.path, m.PathPrefix) ||
		m.Name != "" && m.Name != r.name ||
		len(m.Methods) > 0 && !slices.Contains(m.Methods, r.method) ||
		len(m.Verbs) > 0 && !slices.Contains(m.Verbs, r.verb) {
		return false
	}
	return m.Resource == "" || m.matchesResource(r)
}

func (m *Match) matchesResource(r request) bool {
	resource, subresource, _ := strings.Cut(m.Resource, "/")
	resource, group, grouped := strings.Cut(resource, ".")
	return resource == r.resource && subresource == r.subresource && (!grouped || group == r.group)
}

// answer makes the metav1.Status of a fault of kind Status.
func (r *Rule) answer() *metav1.Status {
	f := r.Fault
	status := &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure,
		Code:     int32(f.Code),
		Reason:   f.Reason,
		Message:  f.Message,
	}
	if status.Reason == "" {
		status.Reason = reasons[f.Code]
	}
	if status.Message == "" {
		status.Message = fmt.Sprintf("fault %q: %s", r.ID, http.StatusText(f.Code))
	}
	if f.RetryAfterSeconds != nil {
		status.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(*f.RetryAfterSeconds)}
	}
	return status
}

// reasons are what an API server sends with each code.
var reasons = map[int]metav1.StatusReason{
	http.StatusBadRequest:            metav1.StatusReasonBadRequest,
	http.StatusUnauthorized:          metav1.StatusReasonUnauthorized,
	http.StatusForbidden:             metav1.StatusReasonForbidden,
	http.StatusNotFound:              metav1.StatusReasonNotFound,
	http.StatusMethodNotAllowed:      metav1.StatusReasonMethodNotAllowed,
	http.StatusConflict:              metav1.StatusReasonConflict,
	http.StatusGone:                  metav1.StatusReasonGone,
	http.StatusRequestEntityTooLarge: metav1.StatusReasonRequestEntityTooLarge,
	http.StatusUnprocessableEntity:   metav1.StatusReasonInvalid,
	http.StatusTooManyRequests:       metav1.StatusReasonTooManyRequests,
	http.StatusInternalServerError:   metav1.StatusReasonInternalError,
	http.StatusServiceUnavailable:    metav1.StatusReasonServiceUnavailable,
	http.StatusGatewayTimeout:        metav1.StatusReasonTimeout,
}

// active is a rule in force.
type active struct {
	state State
	// released is closed when the rule is removed.
	released chan struct{}
}

// take counts a matching request and reports whether it meets the fault.
func (a *active) take() bool {
	rule := &a.state.Rule
	if rule.Count > 0 && a.state.Hits >= rule.Count {
		return false
	}
	a.state.Matched++
	if a.state.Matched <= rule.Skip {
		return false
	}
	a.state.Hits++
	return true
}

// sleep waits for d. It reports whether the client still waits.
func sleep(done <-chan struct{}, d time.Duration) bool {
	if d == 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-done:
		return false
	}
}
