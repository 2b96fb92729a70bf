package api

import "fmt"

// Kinds of Event.
const (
	// EventStep: a step of the boot is done; Step is set.
	EventStep = "step"
	// EventAPI: the API answers administrators; manifests may be applied.
	EventAPI = "api"
	// EventReady: the node is Ready, the controllers and the scheduler work, and
	// the default roles and priority classes exist.
	EventReady = "ready"
	// EventFailed: the cluster is ending; Failure is set. Always the last one.
	EventFailed = "failed"
)

// Event is one line of JSON on the program's standard output. Readers skip kinds
// that they do not know.
type Event struct {
	Kind string `json:"event"`
	*Step
	*Failure
}

// Failure says why a cluster did not come up, or ended.
type Failure struct {
	// Component is the part that failed: a component's name, "init" for the
	// process that supervises them, "launcher" for what is before it.
	Component string `json:"component"`
	// Message is the whole error, with the way out where there is one.
	Message string `json:"error"`
	// LogTail are the last lines of the component's log, oldest first.
	LogTail []string `json:"logTail,omitempty"`
}

var _ error = (*Failure)(nil)

// Error names the component and the cause. It leaves the log tail out.
func (f *Failure) Error() string {
	return fmt.Sprintf("cluster failed: %s: %s", f.Component, f.Message)
}
