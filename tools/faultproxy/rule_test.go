package faultproxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestParseReadsRequestsAsTheAPIServerDoes(t *testing.T) {
	cases := []struct {
		method, target string
		want           request
	}{
		{"GET", "/version", request{verb: "get"}},
		{"GET", "/apis/example.io/v1", request{verb: "get"}},
		{"GET", "/api/v1/pods", request{verb: "list", resource: "pods"}},
		{"GET", "/api/v1/pods?watch=true", request{verb: "watch", resource: "pods"}},
		{"GET", "/api/v1/pods?watch=1", request{verb: "watch", resource: "pods"}},
		{"GET", "/api/v1/pods?watch=false", request{verb: "list", resource: "pods"}},
		{"GET", "/api/v1/namespaces", request{verb: "list", resource: "namespaces"}},
		{"GET", "/api/v1/namespaces/a", request{verb: "get", namespace: "a", resource: "namespaces", name: "a"}},
		{"PUT", "/api/v1/namespaces/a/finalize", request{verb: "update", namespace: "a", resource: "namespaces", name: "a", subresource: "finalize"}},
		{"GET", "/api/v1/namespaces/a/pods/p/log", request{verb: "get", namespace: "a", resource: "pods", name: "p", subresource: "log"}},
		{"POST", "/apis/example.io/v1/namespaces/a/things", request{verb: "create", group: "example.io", namespace: "a", resource: "things"}},
		{"PATCH", "/apis/example.io/v1/namespaces/a/things/t/status", request{verb: "patch", group: "example.io", namespace: "a", resource: "things", name: "t", subresource: "status"}},
		{"DELETE", "/apis/example.io/v1/namespaces/a/things/t", request{verb: "delete", group: "example.io", namespace: "a", resource: "things", name: "t"}},
		{"DELETE", "/apis/example.io/v1/namespaces/a/things", request{verb: "deletecollection", group: "example.io", namespace: "a", resource: "things"}},
	}
	for _, c := range cases {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			got := parse(httptest.NewRequest(c.method, c.target, nil))
			path, query, _ := strings.Cut(c.target, "?")
			c.want.method, c.want.path, c.want.query = c.method, path, query
			if got != c.want {
				t.Errorf("parse = %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	create := request{
		method: "POST", path: "/apis/example.io/v1/namespaces/a/things", verb: "create",
		group: "example.io", namespace: "a", resource: "things",
	}
	status := create
	status.method, status.verb, status.name, status.subresource = "PUT", "update", "t", "status"
	list := request{method: "GET", path: "/apis/example.io/v1/things", query: "labelSelector=app=web&limit=5", verb: "list", group: "example.io", resource: "things"}
	cases := []struct {
		name  string
		match Match
		r     request
		want  bool
	}{
		{"namespace", Match{Namespace: "a"}, create, true},
		{"other namespace", Match{Namespace: "b"}, create, false},
		{"namespace of a list of all", Match{Namespace: "a"}, list, false},
		{"everywhere", Match{Everywhere: true}, list, true},
		{"query", Match{Query: "labelSelector=app=web"}, list, true},
		{"other query", Match{Query: "labelSelector=app=db"}, list, false},
		{"verb", Match{Namespace: "a", Verbs: []string{"get", "create"}}, create, true},
		{"other verb", Match{Namespace: "a", Verbs: []string{"get"}}, create, false},
		{"method", Match{Namespace: "a", Methods: []string{"POST"}}, create, true},
		{"other method", Match{Namespace: "a", Methods: []string{"PUT"}}, create, false},
		{"path", Match{Namespace: "a", PathPrefix: "/apis/example.io/"}, create, true},
		{"other path", Match{Namespace: "a", PathPrefix: "/api/"}, create, false},
		{"resource", Match{Namespace: "a", Resource: "things"}, create, true},
		{"resource and group", Match{Namespace: "a", Resource: "things.example.io"}, create, true},
		{"other group", Match{Namespace: "a", Resource: "things.example.com"}, create, false},
		{"other resource", Match{Namespace: "a", Resource: "others"}, create, false},
		{"subresource", Match{Namespace: "a", Resource: "things.example.io/status"}, status, true},
		{"subresource is not the resource", Match{Namespace: "a", Resource: "things"}, status, false},
		{"name", Match{Namespace: "a", Name: "t"}, status, true},
		{"other name", Match{Namespace: "a", Name: "u"}, status, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.match.matches(c.r); got != c.want {
				t.Errorf("matches = %t, want %t", got, c.want)
			}
		})
	}
}

func TestValidateNamesEachProblem(t *testing.T) {
	valid := Rule{ID: "r", Match: Match{Namespace: "a"}, Fault: Fault{Kind: Status, Code: http.StatusTooManyRequests}}
	if err := valid.Validate(); err != nil {
		t.Errorf("Validate = %v", err)
	}
	minus := -1
	cases := []struct {
		name   string
		change func(*Rule)
		want   string
	}{
		{"no id", func(r *Rule) { r.ID = "" }, "id"},
		{"id with slash", func(r *Rule) { r.ID = "a/b" }, "id"},
		{"no scope", func(r *Rule) { r.Match = Match{Verbs: []string{"create"}} }, "namespace or a query"},
		{"everywhere in a namespace", func(r *Rule) { r.Match.Everywhere = true }, "everywhere"},
		{"negative skip", func(r *Rule) { r.Skip = -1 }, "skip"},
		{"negative count", func(r *Rule) { r.Count = -1 }, "count"},
		{"no kind", func(r *Rule) { r.Fault = Fault{} }, "kind"},
		{"negative delay", func(r *Rule) { r.Fault.Delay.Duration = -1 }, "delay"},
		{"no delay", func(r *Rule) { r.Fault = Fault{Kind: Delay} }, "delay"},
		{"delay that forwards", func(r *Rule) {
			r.Fault = Fault{Kind: Delay, Forward: true, Delay: metav1.Duration{Duration: time.Second}}
		}, "always forwards"},
		{"no code", func(r *Rule) { r.Fault.Code = 0 }, "code"},
		{"code of success", func(r *Rule) { r.Fault.Code = 200 }, "code"},
		{"negative retry", func(r *Rule) { r.Fault.RetryAfterSeconds = &minus }, "retryAfterSeconds"},
		{"code of a closed connection", func(r *Rule) { r.Fault.Kind = Close }, "no answer"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rule := valid
			c.change(&rule)
			err := rule.Validate()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Validate = %v, want mention of %q", err, c.want)
			}
		})
	}
}
