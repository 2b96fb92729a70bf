package server

import (
	"net/http"

	"stormgate.internal/gateway/logging"
	"stormgate.internal/gateway/redact"
)

const problemPrefix = "https://kubernaut.io/errors/"

// problem is an error as RFC 7807 describes it.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Detail    string `json:"detail"`
	Status    int    `json:"status"`
	Instance  string `json:"instance"`
	RequestID string `json:"request_id,omitempty"`
	// Results says what became of each alert of a request that has several.
	Results []result `json:"results,omitempty"`
}

func newProblem(r *http.Request, status int, detail string) problem {
	p := problem{
		Detail: redact.Text(detail), Status: status,
		Instance: r.URL.Path, RequestID: logging.RequestID(r.Context()),
	}
	kind := "unknown"
	p.Title = "Error"
	switch status {
	case http.StatusBadRequest:
		kind, p.Title = "validation-error", "Bad Request"
	case http.StatusMethodNotAllowed:
		kind, p.Title = "method-not-allowed", "Method Not Allowed"
	case http.StatusRequestEntityTooLarge:
		kind, p.Title = "payload-too-large", "Payload Too Large"
	case http.StatusUnsupportedMediaType:
		kind, p.Title = "unsupported-media-type", "Unsupported Media Type"
	case http.StatusTooManyRequests:
		kind, p.Title = "rate-limit-exceeded", "Too Many Requests"
	case http.StatusInternalServerError:
		kind, p.Title = "internal-error", "Internal Server Error"
	case http.StatusServiceUnavailable:
		kind, p.Title = "service-unavailable", "Service Unavailable"
	}
	p.Type = problemPrefix + kind
	return p
}

func writeProblem(w http.ResponseWriter, r *http.Request, status int, detail string) {
	newProblem(r, status, detail).write(w)
}

func (p problem) write(w http.ResponseWriter) {
	writeJSON(w, p.Status, "application/problem+json", p)
}
