package faultproxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// request is what a rule can see of a request to a Kubernetes API server.
type request struct {
	method, path, query                                 string
	verb, group, namespace, resource, name, subresource string
}

// parse reads a request as the API server does: see "Kubernetes API Concepts".
// The parts that a path does not have are empty; group is empty for the core
// group too.
func parse(r *http.Request) request {
	parsed := request{method: r.Method, path: r.URL.Path, query: r.URL.RawQuery}
	if query, err := url.QueryUnescape(r.URL.RawQuery); err == nil {
		parsed.query = query
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parsed.group, parts = parts[1], parts[3:]
	default:
		// Such as /version: no resource. The verb is the method's, lower case.
		parsed.verb = strings.ToLower(r.Method)
		return parsed
	}
	// A namespace itself is a resource in the namespace of its name.
	if parts[0] == "namespaces" && len(parts) > 1 {
		parsed.namespace = parts[1]
		if len(parts) > 2 && !slices.Contains([]string{"status", "finalize"}, parts[2]) {
			parts = parts[2:]
		}
	}
	for i, field := range []*string{&parsed.resource, &parsed.name, &parsed.subresource} {
		if i < len(parts) {
			*field = parts[i]
		}
	}
	parsed.verb = verb(r, parsed.name != "")
	return parsed
}

func verb(r *http.Request, named bool) string {
	switch r.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if !named {
			return "deletecollection"
		}
		return "delete"
	}
	if watch := r.URL.Query().Get("watch"); watch == "true" || watch == "1" {
		return "watch"
	}
	if !named {
		return "list"
	}
	return "get"
}
