package openapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestDocumentCanBeRead(t *testing.T) {
	d, err := Parse(Document)
	if err != nil {
		t.Fatal(err)
	}
	unseen := d.Unseen()
	for _, want := range []string{
		"reply: POST /api/v1/signals/prometheus 201", "reply: POST /api/v1/signals/kubernetes-event 503", "reply: GET /ready 200", "reply: x-other-paths 404",
		"ResultFields.metadata.Count", "ResultFields.status = duplicate", "ProblemFields.request_id", "Problem.results", "EventObject.namespace",
	} {
		if !slices.Contains(unseen, want) {
			t.Errorf("%s is not looked for", want)
		}
	}
}

const small = `
paths:
  /things:
    post:
      requestBody: {content: {application/json: {schema: {type: object, required: [size], properties: {size: {type: integer, minimum: 1}}}}}}
      responses:
        "200":
          headers: {X-Id: {required: true, schema: {pattern: "^[a-z]+$"}}}
          content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}
    x-other-methods: {"405": {content: {text/plain: {}}}}
x-other-paths: {"404": {content: {text/plain: {}}}}
components:
  schemas:
    Base: {type: object, required: [kind], properties: {kind: {enum: [round, square]}}}
    Thing:
      allOf: [{$ref: "#/components/schemas/Base"}]
      properties:
        at: {type: string, format: date-time}
        tags: {type: array, minItems: 1, items: {type: string, minLength: 1, maxLength: 2}}
        flag: {type: [boolean, "null"]}
        sizes: {type: object, additionalProperties: {type: number}}
      oneOf: [{properties: {kind: {const: round}}}, {properties: {kind: {const: square}}, required: [flag]}]
      unevaluatedProperties: false
`

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, change, problem string
	}{
		{"as described", "", ""},
		{"all members", `{"kind":"square","flag":null,"at":"2025-11-24T10:00:00Z","tags":["a","bb"],"sizes":{"x":1.5}}`, ""},
		{"member missing", `{}`, "kind is missing"},
		{"member of an alternative missing", `{"kind":"square"}`, "matches 0 of the alternatives"},
		{"member not described", `{"kind":"round","colour":"red"}`, "colour is not described"},
		{"value not described", `{"kind":"oval"}`, "none of"},
		{"no time", `{"kind":"round","at":"noon"}`, "noon"},
		{"too few", `{"kind":"round","tags":[]}`, "0 items"},
		{"too short", `{"kind":"round","tags":[""]}`, "shorter"},
		{"too long", `{"kind":"round","tags":["äöü"]}`, "longer"},
		{"wrong type", `{"kind":"round","flag":1}`, "not of type"},
		{"wrong type of any member", `{"kind":"round","sizes":{"x":"1"}}`, "not of type"},
		{"no object", `[]`, "not of type"},
		{"no JSON", `{`, "body"},
		{"status", "status 500", "500 is not described"},
		{"method", "method GET", "200 is not described"},
		{"path", "path /nothing", "200 is not described"},
		{"header missing", "header ", "X-Id is there 0 times"},
		{"header", "header 7", "does not match"},
		{"media type", "type text/html", "text/html is not described"},
		{"request", `request {"size":0}`, "request is not as described"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Parse([]byte(small))
			if err != nil {
				t.Fatal(err)
			}
			e := Exchange{
				Method: "POST", Path: "/things", Request: []byte(`{"size":1}`),
				Status: 200, Header: http.Header{"X-Id": {"abc"}, "Content-Type": {"application/json; charset=utf-8"}}, Body: []byte(`{"kind":"round"}`),
			}
			switch what, value, _ := strings.Cut(c.change, " "); what {
			case "":
			case "status":
				e.Status = 500
			case "method":
				e.Method = value
			case "path":
				e.Path = value
			case "header":
				e.Header.Del("X-Id")
				if value != "" {
					e.Header.Set("X-Id", value)
				}
			case "type":
				e.Header.Set("Content-Type", value)
			case "request":
				e.Request = []byte(value)
			default:
				e.Body = []byte(c.change)
			}
			err = d.Check(e)
			if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Errorf("error %v, want one that says %q", err, c.problem)
			}
		})
	}
}

func TestUnseen(t *testing.T) {
	d, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	json := http.Header{"X-Id": {"abc"}, "Content-Type": {"application/json"}}
	plain := http.Header{"Content-Type": {"text/plain"}}
	for _, e := range []Exchange{
		{Method: "POST", Path: "/things", Request: []byte(`{"size":1}`), Status: 200, Header: json, Body: []byte(`{"kind":"round","at":"2025-11-24T10:00:00Z","tags":["a"]}`)},
		{Method: "GET", Path: "/things", Status: 405, Header: plain},
	} {
		if err := d.Check(e); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"Base.kind = square", "Thing.flag", "Thing.sizes", "reply: x-other-paths 404"}
	if got := d.Unseen(); !slices.Equal(got, want) {
		t.Errorf("unseen %q, want %q", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for document, problem := range map[string]string{
		"paths: {":  "OpenAPI",
		"info: {}":  "no paths",
		"paths: {}": "no paths",
		strings.Replace(small, "minItems", "maxItems", 1):             "maxItems is not known",
		strings.Replace(small, "schemas/Base\"", "schemas/Bass\"", 1): "schemas/Bass",
		strings.Replace(small, "^[a-z]+$", "^[a-z", 1):                "missing closing ]",
		strings.Replace(small, "x-other-paths", "x-others", 1):        "x-other-paths: there are no replies",
	} {
		if _, err := Parse([]byte(document)); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("error %v, want one that says %q", err, problem)
		}
	}
}
