package server

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
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
		Detail: redact(detail), Status: status,
		Instance: r.URL.Path, RequestID: requestIDOf(r),
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

const redacted = "[REDACTED]"

var (
	sensitiveMember = regexp.MustCompile(`"(?:password|token|api_key|annotations|generatorURL)"\s*:\s*`)
	// escapedMember is the same inside a quoted string, whose value ends with the
	// next quote.
	escapedMember = regexp.MustCompile(`(\\"(?:password|token|api_key|annotations|generatorURL)\\"\s*:\s*)(\\"[^"]*"|\{[^}]*\}?|[^\s,}]+)`)
)

// redact replaces the values of JSON members that may hold secrets.
func redact(text string) string {
	text = escapedMember.ReplaceAllString(text, `${1}`+redacted)
	var clean strings.Builder
	for {
		at := sensitiveMember.FindStringIndex(text)
		if at == nil {
			clean.WriteString(text)
			return clean.String()
		}
		clean.WriteString(text[:at[1]])
		clean.WriteString(`"` + redacted + `"`)
		text = text[at[1]:]
		decoder := json.NewDecoder(strings.NewReader(text))
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return clean.String() // cut short: nothing after it is known to be harmless
		}
		text = text[decoder.InputOffset():]
	}
}
