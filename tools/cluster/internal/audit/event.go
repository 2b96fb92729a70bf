package audit

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"stormgate.internal/tools/cluster/api"
)

// Stages of a request. See k8s.io/apiserver/pkg/apis/audit.
const (
	stageReceived = "RequestReceived"
	stageStarted  = "ResponseStarted"
	stageComplete = "ResponseComplete"
	stagePanic    = "Panic"
)

// event is what this package reads of an Event of audit.k8s.io/v1.
type event struct {
	AuditID    string `json:"auditID"`
	Stage      string `json:"stage"`
	RequestURI string `json:"requestURI"`
	Verb       string `json:"verb"`
	// User is who was authenticated; whom they impersonate is another field.
	User struct {
		Username string              `json:"username"`
		Extra    map[string][]string `json:"extra"`
	} `json:"user"`
	UserAgent string `json:"userAgent"`
	ObjectRef *struct {
		Resource    string `json:"resource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		APIGroup    string `json:"apiGroup"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
	ResponseStatus *struct {
		Code int32 `json:"code"`
	} `json:"responseStatus"`
	StageTimestamp time.Time `json:"stageTimestamp"`
}

// isWrite reports whether the event tells that something was, or may have been, changed.
func (e *event) isWrite() bool {
	if e.Stage == stageReceived || e.ObjectRef == nil {
		return false
	}
	// An answer of 4xx is a refusal. After one of 5xx nobody knows.
	if e.ResponseStatus != nil && e.ResponseStatus.Code >= 400 && e.ResponseStatus.Code < 500 {
		return false
	}
	if e.ObjectRef.Resource == "nodes" && e.ObjectRef.Subresource == "proxy" {
		return e.entersPod()
	}
	return !e.isRehearsal()
}

// entersPod reports whether a request through a node's proxy is for one of the
// kubelet's paths that run something in a container.
func (e *event) entersPod() bool {
	_, path, _ := strings.Cut(e.RequestURI, "/proxy/")
	path, _, _ = strings.Cut(path, "?")
	name, _, _ := strings.Cut(strings.TrimLeft(path, "/"), "/")
	// A name that is written in another way is not recognised, and so counts.
	return slices.Contains([]string{"exec", "run", "attach", "checkpoint", "cri"}, name) || strings.Contains(path, "%") || strings.Contains(path, "..") || strings.Contains(path, "//")
}

// isRehearsal reports whether the request was a dry run. Only those are trusted to be
// one whose options are in the URL alone: a deletion's may also be in its body, and
// a subresource may have none.
func (e *event) isRehearsal() bool {
	if !slices.Contains([]string{"create", "update", "patch"}, e.Verb) || e.ObjectRef.Subresource != "" {
		return false
	}
	uri, err := url.ParseRequestURI(e.RequestURI)
	return err == nil && slices.Equal(uri.Query()["dryRun"], []string{"All"})
}

func (e *event) write(seq uint64) api.Write {
	write := api.Write{
		Seq: seq, Time: e.StageTimestamp, User: e.User.Username, UserAgent: e.UserAgent, Verb: e.Verb,
		Resource: e.ObjectRef.Resource, Subresource: e.ObjectRef.Subresource,
		Namespace: e.ObjectRef.Namespace, Name: e.ObjectRef.Name,
	}
	// The pod that the token was made for. See k8s.io/apiserver/pkg/authentication/serviceaccount.
	if pod := e.User.Extra["authentication.kubernetes.io/pod-name"]; len(pod) == 1 {
		write.Pod = pod[0]
	}
	if e.ObjectRef.APIGroup != "" {
		write.Resource += "." + e.ObjectRef.APIGroup
	}
	if e.ResponseStatus != nil {
		write.Code = e.ResponseStatus.Code
	}
	return write
}
