package suite

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const duplicate = `{"status":"duplicate","message":"m","fingerprint":"f","duplicate":true,
	"metadata":{"Fingerprint":"f","Count":2,"RemediationRequestRef":"ns/rr-1","FirstSeen":"2026-01-02T03:04:05Z","LastSeen":"2026-01-02T03:04:06Z"}}`

// The scenarios are only as strict as this: Go's JSON would accept any spelling
// of a member, and a missing one.
func TestParseReply(t *testing.T) {
	const asJSON, asProblem = "application/json", "application/problem+json"
	problem := `{"type":"t","title":"Bad Request","detail":"d","status":400,"instance":"/x"}`
	for _, c := range []struct {
		name        string
		code        int
		contentType string
		body        string
		want        string // part of the error; empty: none
	}{
		{"success", 202, asJSON, duplicate, ""},
		{"problem", 400, asProblem, problem, ""},
		{"several alerts", 201, asJSON, `{"status":"created","message":"","fingerprint":"f","duplicate":false,"results":[` + duplicate + `]}`, ""},
		{"success as text", 202, "text/plain", duplicate, "must be application/json"},
		{"problem as JSON", 400, asJSON, problem, "must be application/problem+json"},
		{"problem of another code", 500, asProblem, problem, "status says 400"},
		{"problem without detail", 400, asProblem, `{"type":"t","title":"x","status":400,"instance":"/x"}`, `"detail" is missing`},
		{"no duplicate", 201, asJSON, `{"status":"created","message":"","fingerprint":"f"}`, `"duplicate" is missing`},
		{"unknown member", 201, asJSON, `{"status":"created","message":"","fingerprint":"f","duplicate":false,"extra":1}`, `"extra" is not in the contract`},
		{"small letters in metadata", 202, asJSON, strings.Replace(duplicate, `"Count"`, `"count"`, 1), `"metadata.count" is not in the contract`},
		{"wrong spelling in results", 201, asJSON, `{"status":"created","message":"","fingerprint":"f","duplicate":false,"results":[{"Status":"x"}]}`, `"results[0].Status"`},
		{"number for a string", 201, asJSON, `{"status":1,"message":"","fingerprint":"f","duplicate":false}`, "cannot unmarshal number"},
		{"no JSON", 201, asJSON, `created`, "invalid character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reply, err := parseReply(c.code, c.contentType, []byte(c.body))
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("error %v, want one with %q", err, c.want)
			case c.want == "" && reply.Code != c.code:
				t.Errorf("code %d, want %d", reply.Code, c.code)
			}
		})
	}
}

func TestSendPrometheus(t *testing.T) {
	var got webhook
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/signals/prometheus" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("request %s %s of type %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, duplicate)
	}))
	defer server.Close()
	one := Alert{Name: "High", Namespace: "ns", Pod: "a", Severity: "warning", Annotations: map[string]string{"summary": "s"}}
	reply, err := newGatewayClient(server.URL).send(context.Background(), one, one.OnPod("b"))
	if err != nil {
		t.Fatal(err)
	}
	if reply.Code != http.StatusAccepted || reply.Metadata.Count != 2 || reply.Metadata.LastSeen.Sub(reply.Metadata.FirstSeen) != time.Second {
		t.Errorf("reply %+v", reply)
	}
	if len(got.Alerts) != 2 || got.Alerts[1].Labels["pod"] != "b" || got.Alerts[0].Labels["pod"] != "a" || got.Alerts[0].StartsAt.IsZero() {
		t.Errorf("alerts %+v", got.Alerts)
	}
	// Labels that the alerts do not share are not common.
	if _, found := got.CommonLabels["pod"]; found || got.CommonLabels["namespace"] != "ns" || got.CommonAnnotations["summary"] != "s" {
		t.Errorf("common labels %v, annotations %v", got.CommonLabels, got.CommonAnnotations)
	}
}

func TestGatewayThatIsAway(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if _, err := newGatewayClient(server.URL).send(context.Background(), Alert{}); err == nil {
		t.Error("no error from a server that is gone")
	}
}

// The vector is the contract's.
func TestFingerprint(t *testing.T) {
	alert := Alert{Name: "HighMemoryUsage", Namespace: "prod-payment-service", Pod: "payment-api-789"}
	if got, want := alert.Fingerprint(), "8ac6f8bc4acc94d391b44e85621242bb042d3ffb137aa5fc0d10b00316f30751"; got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}

func TestNamespaceGivesNamesThatNobodyElseHas(t *testing.T) {
	one, other := &Namespace{Name: "tenant-a"}, &Namespace{Name: "tenant-b"}
	seen := map[string]bool{}
	for _, alert := range []Alert{one.NewAlert(), one.NewAlert(), other.NewAlert()} {
		if seen[alert.Name] {
			t.Errorf("alert name %s twice", alert.Name)
		}
		seen[alert.Name] = true
	}
}
