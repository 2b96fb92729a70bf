package server

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"time"

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

// problemKinds are the ends of type, and the titles, that the contract has for
// statuses.
var problemKinds = map[int]struct{ kind, title string }{
	http.StatusBadRequest:            {"validation-error", "Bad Request"},
	http.StatusUnauthorized:          {"unauthorized", "Unauthorized"},
	http.StatusForbidden:             {"forbidden", "Forbidden"},
	http.StatusMethodNotAllowed:      {"method-not-allowed", "Method Not Allowed"},
	http.StatusRequestEntityTooLarge: {"payload-too-large", "Payload Too Large"},
	http.StatusUnsupportedMediaType:  {"unsupported-media-type", "Unsupported Media Type"},
	http.StatusInternalServerError:   {"internal-error", "Internal Server Error"},
	http.StatusServiceUnavailable:    {"service-unavailable", "Service Unavailable"},
}

func newProblem(r *http.Request, status int, detail string) problem {
	known := problemKinds[status]
	return problem{
		Type: problemPrefix + cmp.Or(known.kind, "unknown"), Title: cmp.Or(known.title, "Error"),
		Detail: redact.Text(detail), Status: status,
		Instance: r.URL.Path, RequestID: logging.RequestID(r.Context()),
	}
}

func writeProblem(w http.ResponseWriter, r *http.Request, status int, detail string) {
	newProblem(r, status, detail).write(w)
}

func (p problem) write(w http.ResponseWriter) {
	writeJSON(w, p.Status, "application/problem+json", p)
}

// setRetryAfter says in an answer of 503 when the sender may try again, in whole seconds.
func setRetryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
}
