package app_test

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/logging"
	"stormgate.internal/gateway/openapi"
	"stormgate.internal/gateway/redistest"
)

// reply is what came back for a malformed request.
type reply struct {
	code   int
	header http.Header
	body   []byte
}

func (m malformed) send(t *testing.T, g *gateway) reply {
	t.Helper()
	var response *http.Response
	var err error
	if m.wire != "" {
		response, err = sendWire(g, m.wire)
	} else {
		var request *http.Request
		body := io.Reader(strings.NewReader(m.body))
		if m.headers["Transfer-Encoding"] != "" {
			body = io.MultiReader(body) // which the client does not know the length of
		}
		if request, err = http.NewRequest(m.method, g.url+m.path, body); err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		for name, value := range m.headers {
			request.Header.Set(name, value)
		}
		response, err = http.DefaultClient.Do(request)
	}
	if err != nil {
		t.Fatalf("%s %s, %s: %v", m.method, m.path, m.name, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, content}
}

// sendWire sends bytes, says that there are no more, and reads the reply.
func sendWire(g *gateway, wire string) (*http.Response, error) {
	connection, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(connection, wire); err != nil {
		return nil, err
	}
	if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{response.Body, connection}
	return response, nil
}

var problemTypes = map[int][2]string{
	400: {"validation-error", "Bad Request"},
	405: {"method-not-allowed", "Method Not Allowed"},
	413: {"payload-too-large", "Payload Too Large"},
	415: {"unsupported-media-type", "Unsupported Media Type"},
}

func (m malformed) check(t *testing.T, got reply) {
	t.Helper()
	complain := func(format string, args ...any) {
		t.Errorf("%s %s, %s: "+format, append([]any{m.method, m.path, m.name}, args...)...)
	}
	if m.code == accepted && (got.code == http.StatusCreated || got.code == http.StatusAccepted) {
		return
	}
	if got.code != m.code {
		complain("%d %.300s, want %d", got.code, got.body, m.code)
	}
	if got.code < 400 || got.code == 404 || m.method == "HEAD" {
		return
	}
	var p struct {
		Type, Title, Detail, Instance string
		Status                        int
		RequestID                     string `json:"request_id"`
	}
	if err := json.Unmarshal(got.body, &p); err != nil || got.header.Get("Content-Type") != "application/problem+json" {
		complain("Content-Type %s, body %q: %v", got.header.Get("Content-Type"), got.body, err)
		return
	}
	want := problemTypes[m.code]
	if p.Type != "https://kubernaut.io/errors/"+want[0] || p.Title != want[1] || p.Status != m.code || p.Instance != m.path || p.Detail == "" {
		complain("problem %+v", p)
	}
	// By contract the errors about the content type carry no id.
	id := got.header.Get("X-Request-ID")
	if aboutType := strings.HasPrefix(m.name, "content type"); id == "" || (p.RequestID == id) == aboutType {
		complain("id %q of request %q", p.RequestID, id)
	}
}

// Whatever is sent, the answer is the right refusal in the right form, nothing
// panics, and nothing comes of it.
func TestMalformedRequests(t *testing.T) {
	c := newCluster(t, "shop")
	var log strings.Builder
	g := start(t, redistest.Start(t).Addr, c, func(cfg *config.Config, o *app.Options) {
		o.Logger = logging.New(&log, slog.LevelError)
		o.Now = func() time.Time { return time.Date(2025, 11, 24, 10, 1, 0, 0, time.UTC) }     // soon after the events
		cfg.Processing.Storm.RateThreshold, cfg.Processing.Storm.PatternThreshold = 1000, 1000 // odd ones are no storm
	})
	description, err := openapi.Parse(openapi.Document)
	if err != nil {
		t.Fatal(err)
	}
	refused, created := 0, 0
	requests := corpus(t)
	for _, m := range requests {
		if m.method == "" {
			m.method = http.MethodPost
		}
		if m.path == "" {
			m.path = prometheusRoute
		}
		got := m.send(t, g)
		m.check(t, got)
		if got.code == http.StatusCreated {
			created++
		}
		if got.code < 400 {
			continue
		}
		refused++
		if err := description.Check(openapi.Exchange{Method: m.method, Path: m.path, Status: got.code, Header: got.header, Body: got.body}); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	t.Logf("%d requests, %d of them refused", len(requests), refused)
	if refused < 200 {
		t.Errorf("only %d requests were refused", refused)
	}
	if n := len(c.objects(t)); n != created {
		t.Errorf("%d objects of %d created", n, created)
	}
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("errors in the log:\n%s", log.String())
	}
}
