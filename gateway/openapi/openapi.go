// Package openapi holds the description of the gateway's HTTP interface, and
// checks replies against it.
//
// Check fails for what the gateway does and the description does not say; Unseen
// lists what the description says and the gateway was not seen to do. A test that
// demands both of them keeps the two the same.
package openapi

import (
	_ "embed" // for the description
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// Document is the description, OpenAPI 3.1 as YAML.
//
//go:embed openapi.yaml
var Document []byte

// Description is a parsed description. It must not be used concurrently.
type Description struct {
	root map[string]any
	// unseen holds the responses and the places in schemas that no reply had yet.
	unseen map[string]bool
	// surveyed holds the components that unseen has the places of.
	surveyed map[string]bool
}

// Parse reads a description. What Check does not understand is an error: nothing
// in it goes unchecked.
func Parse(document []byte) (*Description, error) {
	d := &Description{unseen: map[string]bool{}, surveyed: map[string]bool{}}
	if err := yaml.UnmarshalStrict(document, &d.root); err != nil {
		return nil, fmt.Errorf("read OpenAPI description: %w", err)
	}
	paths, _ := d.root["paths"].(map[string]any)
	if len(paths) == 0 {
		return nil, errors.New("OpenAPI description has no paths")
	}
	surveyed := d.surveyResponses(otherPaths, d.root[otherPaths])
	for path, item := range paths {
		item, _ := item.(map[string]any)
		for method, operation := range item {
			name := strings.ToUpper(method) + " " + path
			if method == otherMethods {
				surveyed = errors.Join(surveyed, d.surveyResponses(name, operation))
				continue
			}
			operation, _ := operation.(map[string]any)
			if operation["requestBody"] != nil {
				surveyed = errors.Join(surveyed, d.surveyContent(name, operation["requestBody"]))
			}
			surveyed = errors.Join(surveyed, d.surveyResponses(name, operation["responses"]))
		}
	}
	if surveyed != nil {
		return nil, fmt.Errorf("OpenAPI description: %w", surveyed)
	}
	return d, nil
}

// Extensions of ours, since OpenAPI describes only what exists.
const (
	otherPaths   = "x-other-paths"
	otherMethods = "x-other-methods"
)

func (d *Description) surveyResponses(operation string, responses any) error {
	byStatus, ok := responses.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: there are no replies", operation)
	}
	var failures error
	for status, response := range byStatus {
		name := operation + " " + status
		d.unseen["reply: "+name] = true
		failures = errors.Join(failures, d.surveyContent(name, response))
	}
	return failures
}

func (d *Description) surveyContent(name string, described any) error {
	body, ok := d.resolve(described)
	if !ok {
		return fmt.Errorf("%s: nothing is at %v", name, described)
	}
	headers, _ := body["headers"].(map[string]any)
	for header, described := range headers {
		described, _ := d.resolve(described)
		if err := d.survey(name+" header "+header, described["schema"]); err != nil {
			return err
		}
	}
	contents, _ := body["content"].(map[string]any)
	for mediaType, content := range contents {
		content, _ := content.(map[string]any)
		if schema := content["schema"]; schema != nil {
			if err := d.survey(place(described, name)+" "+mediaType, schema); err != nil {
				return err
			}
		}
	}
	return nil
}

// Exchange is a request and its reply.
type Exchange struct {
	Method, Path string
	// Request is the request's body, which is checked if it was accepted.
	Request []byte

	Status int
	Header http.Header
	// Body is the reply's.
	Body []byte
}

// Check returns how an exchange differs from what is described, or nil.
func (d *Description) Check(e Exchange) error {
	operation, responses, requestBody := d.operation(e)
	described, ok := responses[strconv.Itoa(e.Status)]
	if !ok {
		return fmt.Errorf("%s %s: status %d is not described", e.Method, e.Path, e.Status)
	}
	name := operation + " " + strconv.Itoa(e.Status)
	delete(d.unseen, "reply: "+name)
	response, _ := d.resolve(described)
	if err := d.headers(response, e.Header); err != nil {
		return fmt.Errorf("%s %s: %d: %w", e.Method, e.Path, e.Status, err)
	}
	if e.Method == http.MethodHead {
		return nil
	}
	if err := d.content(place(described, name), response, e.Header.Get("Content-Type"), e.Body); err != nil {
		return fmt.Errorf("%s %s: %d: %w", e.Method, e.Path, e.Status, err)
	}
	if body, ok := d.resolve(requestBody); ok && e.Status < http.StatusMultipleChoices {
		if err := d.content(operation, body, "application/json", e.Request); err != nil {
			return fmt.Errorf("%s %s: %d, though the request is not as described: %w", e.Method, e.Path, e.Status, err)
		}
	}
	return nil
}

// operation finds what is described for a method of a path.
func (d *Description) operation(e Exchange) (name string, responses map[string]any, requestBody any) {
	paths, _ := d.root["paths"].(map[string]any)
	item, ok := paths[e.Path].(map[string]any)
	if !ok {
		responses, _ = d.root[otherPaths].(map[string]any)
		return otherPaths, responses, nil
	}
	method := strings.ToLower(e.Method)
	if strings.ToUpper(method) != e.Method {
		method = "" // methods have a case
	}
	if e.Method == http.MethodHead && item["head"] == nil && item["get"] != nil {
		method = "get"
	}
	operation, ok := item[method].(map[string]any)
	if !ok {
		responses, _ = item[otherMethods].(map[string]any)
		return strings.ToUpper(otherMethods) + " " + e.Path, responses, nil
	}
	responses, _ = operation["responses"].(map[string]any)
	return strings.ToUpper(method) + " " + e.Path, responses, operation["requestBody"]
}

func (d *Description) headers(response map[string]any, header http.Header) error {
	described, _ := response["headers"].(map[string]any)
	for name, schema := range described {
		schema, _ := d.resolve(schema)
		switch values := header.Values(name); {
		case len(values) == 1:
			if _, err := d.validate("header "+name, "header "+name, schema["schema"], values[0]); err != nil {
				return err
			}
		case len(values) > 1 || schema["required"] == true:
			return fmt.Errorf("header %s is there %d times", name, len(values))
		}
	}
	return nil
}

// content checks a body against the media type that it has.
func (d *Description) content(met string, described map[string]any, contentType string, body []byte) error {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("Content-Type %q: %w", contentType, err)
	}
	contents, _ := described["content"].(map[string]any)
	content, ok := contents[mediaType].(map[string]any)
	if !ok {
		return fmt.Errorf("media type %s is not described", mediaType)
	}
	if content["schema"] == nil {
		return nil
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	_, err = d.validate("body", met+" "+mediaType, content["schema"], value)
	return err
}

// Unseen returns what is described and was in no exchange so far, sorted:
// responses, and members and values of replies.
func (d *Description) Unseen() []string { return slices.Sorted(maps.Keys(d.unseen)) }
