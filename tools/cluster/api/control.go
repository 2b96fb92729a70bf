package api

import (
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Paths of the control interface beside [BootPath] and [ImagesPath].
const (
	// ScopesPath followed by a name takes PUT of a Scope, which replaces the scope of
	// that name as a whole, and DELETE. PUT is all or nothing. It answers 409 if a
	// namespace belongs to another scope, and names that.
	ScopesPath = "/scopes/"
	// EndPath takes POST of an End. It answers 204 when the last process of the
	// namespaces' pods is gone. The pods that the node knows by then never start
	// again; those that are made later are not concerned. Delete them before, or
	// after: until then the kubelet reports them as pods without a sandbox.
	EndPath = "/end"
	// LivesPath answers GET with Lives. Its parameter "after" is the Seq of the last
	// one known; 0 or absent means all that is kept.
	LivesPath = "/lives"
	// WritesPath answers GET with Writes; "after" is as with LivesPath. All writes
	// that the API server had received when the request came are in the answer, which
	// waits for those that it has not answered yet. It is 503 with the reason, as
	// text, where that takes too long, and 500 where a part of the record is lost.
	WritesPath = "/writes"
)

// BuiltInNamespaces are those that Kubernetes makes in each cluster.
var BuiltInNamespaces = []string{"default", "kube-node-lease", "kube-public", "kube-system"}

// Scope is what an environment is to the node: pods in its namespaces find images
// by reference among its own, and nowhere else. Pods of namespaces without a scope
// find those of [ImagesPath].
type Scope struct {
	// Namespaces belong to this scope alone.
	Namespaces []string `json:"namespaces"`
	Images     []Image  `json:"images"`
}

// End asks the node to kill all that runs in the pods of some namespaces.
type End struct {
	Namespaces []string `json:"namespaces"`
	// HostFiles means that what pods of their scopes wrote by hostPath is removed as well:
	// to be set where all of a scope's pods end.
	HostFiles bool `json:"hostFiles,omitempty"`
	// Version is a resource version: of pods that have this or an earlier one the node
	// tells no more events. 0 means that it tells all.
	Version uint64 `json:"version,omitempty"`
}

// ParseAfter reads the parameter "after" of a request.
func ParseAfter(u *url.URL) (uint64, error) {
	text := u.Query().Get("after")
	if text == "" {
		return 0, nil
	}
	after, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read parameter after=%q: it must be a number, that of the last entry known", text)
	}
	return after, nil
}

// Lives are the beginnings and ends of containers, oldest first.
type Lives struct {
	// First is the Seq of the oldest one that is kept: if it is above the Seq after
	// which was asked plus one, some are missing. It is 1 before any.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"` // of the newest, also if it is not listed; 0 before any
	Lives []Life `json:"lives"`
}

// Life is the beginning or the end of a container. One whose program could not be
// started has an end alone, with the reason "StartError".
type Life struct {
	Seq       uint64    `json:"seq"`
	Time      time.Time `json:"time"`
	Namespace string    `json:"namespace"`
	Pod       string    `json:"pod"`
	PodUID    string    `json:"podUID"`
	Container string    `json:"container"`
	// ID is the container's, a new one with each restart.
	ID string `json:"id"`
	// Image is the reference that the pod names.
	Image string `json:"image"`
	// Ended is false for a beginning, for which the fields below are zero.
	Ended bool `json:"ended"`
	// Ordered means that the kubelet or an End asked for the end. Else the program
	// ended by itself, as a job does, or was killed from elsewhere. A container that
	// fails its liveness probe ends in order, and begins anew.
	Ordered  bool   `json:"ordered,omitempty"`
	ExitCode int32  `json:"exitCode,omitempty"`
	Reason   string `json:"reason,omitempty"` // as in the container's status, such as "OOMKilled"
}

// Writes are what was changed through the API server, oldest first. Changes by
// the cluster's own components are not among them, and refused ones neither.
type Writes struct {
	// First and Last are as in Lives.
	First  uint64  `json:"first"`
	Last   uint64  `json:"last"`
	Writes []Write `json:"writes"`
	// Unanswered are requests that were received before this was asked for, oldest first,
	// and that the API server has not answered: what they come to is told later, if it
	// is a change. Their Time is when they were received; Seq and Code are 0.
	Unanswered []Write `json:"unanswered,omitempty"`
}

// Write is one request that changed something, or that got into a pod (exec,
// attach, and ephemeral containers), or that was given a token of a service account.
type Write struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// User is who asked, also where they impersonated another.
	User string `json:"user"`
	// Pod is the pod whose token was used, if it was a pod's.
	Pod string `json:"pod,omitempty"`
	// UserAgent helps a person to see which program it was.
	UserAgent string `json:"userAgent,omitempty"`
	Verb      string `json:"verb"` // create, update, patch, delete, deletecollection, get (of exec and attach)
	// Resource is "pods" or, outside the core group, "deployments.apps".
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	// Name is empty for deletecollection, and where the API server chose the name.
	Name string `json:"name,omitempty"`
	// Code is that of the answer: 101 or 2xx, or 5xx, of which nobody can say whether
	// something was changed.
	Code int32 `json:"code"`
}
