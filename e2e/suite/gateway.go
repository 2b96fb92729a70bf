package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// requestTimeout bounds one request to the gateway, as AlertManager would.
const requestTimeout = 30 * time.Second

// PrometheusRoute is where AlertManager sends its notifications.
const PrometheusRoute = "/api/v1/signals/prometheus"

// bodyLimit is far above what the gateway answers, metrics included.
const bodyLimit = 16 << 20

// GatewayClient speaks to the gateway like its users do.
type GatewayClient struct {
	base string
	http *http.Client
}

// Gateway returns the client of the environment's gateway, or of the first of
// its replicas.
func Gateway() *GatewayClient { return here.gateways[0] }

func newGatewayClient(base string) *GatewayClient {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// As many as are ever sent at once, since a connection through a forward costs more
	// than the requests that are sent over it.
	transport.MaxIdleConnsPerHost = 64
	return &GatewayClient{base: base, http: &http.Client{Timeout: requestTimeout, Transport: transport}}
}

// SendPrometheus posts one AlertManager notification with these alerts and returns the
// gateway's answer, of any code. The spec fails if there is no answer, or if the answer
// does not have the form that the contract requires for its code.
func (g *GatewayClient) SendPrometheus(ctx context.Context, alerts ...Alert) Reply {
	ginkgo.GinkgoHelper()
	reply, err := g.send(ctx, alerts...)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return reply
}

// SendText is SendPrometheus with any text as the body.
func (g *GatewayClient) SendText(ctx context.Context, body string) Reply {
	ginkgo.GinkgoHelper()
	reply, err := g.post(ctx, PrometheusRoute, strings.NewReader(body))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return reply
}

// Health returns the status code of the gateway's liveness.
func (g *GatewayClient) Health(ctx context.Context) int {
	ginkgo.GinkgoHelper()
	code, _, _, err := g.do(ctx, http.MethodGet, "/health", nil)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return code
}

func (g *GatewayClient) send(ctx context.Context, alerts ...Alert) (Reply, error) {
	payload, err := json.Marshal(notification(alerts))
	if err != nil {
		return Reply{}, fmt.Errorf("POST %s: %w", PrometheusRoute, err)
	}
	return g.post(ctx, PrometheusRoute, bytes.NewReader(payload))
}

func (g *GatewayClient) post(ctx context.Context, path string, body io.Reader) (Reply, error) {
	code, contentType, answer, err := g.do(ctx, http.MethodPost, path, body)
	if err != nil {
		return Reply{}, err
	}
	reply, err := parseReply(code, contentType, answer)
	if err != nil {
		return Reply{}, fmt.Errorf("POST %s: answer %d of type %q: %w\n%s", path, code, contentType, err, answer)
	}
	return reply, nil
}

func (g *GatewayClient) do(ctx context.Context, method, path string, payload io.Reader) (code int, contentType string, body []byte, err error) {
	code, contentType, body, err = exchange(ctx, g.http, method, g.base+path, payload)
	if err != nil {
		return 0, "", nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return code, contentType, body, nil
}

// exchange sends one request, a POST as JSON, and reads the answer.
func exchange(ctx context.Context, client *http.Client, method, url string, payload io.Reader) (code int, contentType string, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		return 0, "", nil, err
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	if err != nil {
		return 0, "", nil, fmt.Errorf("read the answer: %w", err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), body, nil
}

// Reply is the gateway's answer to a signal.
type Reply struct {
	// Code is the HTTP status code.
	Code int `json:"-"`
	// Problem is the answer of any code from 400 on, and nil below; the other
	// fields are those of an answer below 400.
	Problem *Problem `json:"-"`

	Status                      string             `json:"status"`
	Message                     string             `json:"message"`
	Fingerprint                 string             `json:"fingerprint"`
	Duplicate                   bool               `json:"duplicate"`
	RemediationRequestName      string             `json:"remediationRequestName"`
	RemediationRequestNamespace string             `json:"remediationRequestNamespace"`
	Environment                 string             `json:"environment"`
	Priority                    string             `json:"priority"`
	RemediationPath             string             `json:"remediationPath"`
	Metadata                    *DuplicateMetadata `json:"metadata"`
	IsStorm                     bool               `json:"isStorm"`
	StormType                   string             `json:"stormType"`
	WindowID                    string             `json:"windowID"`
	Results                     []Reply            `json:"results"`
}

// DuplicateMetadata is what the gateway knows of the incident that a duplicate
// belongs to.
type DuplicateMetadata struct {
	Fingerprint           string
	Count                 int
	RemediationRequestRef string // namespace/name
	FirstSeen, LastSeen   time.Time
}

// Problem is an error of the gateway (RFC 7807).
type Problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Detail    string `json:"detail"`
	Status    int    `json:"status"`
	Instance  string `json:"instance"`
	RequestID string `json:"request_id"`
}

// parseReply reads an answer as strictly as the contract allows: the content
// type fits the code, names are spelled exactly, and what must be there is.
func parseReply(code int, contentType string, body []byte) (Reply, error) {
	reply := Reply{Code: code}
	if code >= http.StatusBadRequest {
		reply.Problem = &Problem{}
		if contentType != "application/problem+json" {
			return reply, errors.New("an error must be application/problem+json")
		}
		err := decodeExactly(body, reply.Problem, "type", "title", "detail", "status", "instance")
		if err == nil && reply.Problem.Status != code {
			err = fmt.Errorf("its member status says %d", reply.Problem.Status)
		}
		return reply, err
	}
	if contentType != "application/json" {
		return reply, errors.New("a success must be application/json")
	}
	err := decodeExactly(body, &reply, "status", "message", "fingerprint", "duplicate")
	return reply, err
}
