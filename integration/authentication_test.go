package integration_test

import (
	"crypto/tls"
	"net/http"
	"testing"

	"stormgate.internal/gateway/certificatetest"
	"stormgate.internal/gateway/config"
	"stormgate.internal/integration/system"
	"stormgate.internal/integration/testbed"
	"stormgate.internal/tools/faultproxy"
)

// A real API server says whose tokens are, and who may send. While it does not, the
// sender is told to send again, and is stored then.
func TestSendersShowTokens(t *testing.T) {
	dir := t.TempDir()
	authority := certificatetest.NewAuthority(t, dir, "authority")
	certFile, keyFile := authority.Leaf(t, dir, "gateway")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority.Pool()}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	s := system.New(t, system.Options{
		Replicas: 1, Identity: "gateway", HTTP: &http.Client{Transport: transport},
		Adjust: func(c *config.Config) {
			c.Server.TLS.CertFile, c.Server.TLS.KeyFile = certFile, keyFile
			c.Middleware.Authentication.Tokens.Enabled = true
			c.Middleware.RateLimit = config.RateLimit{RequestsPerMinute: 1, Burst: 1, ExemptGroups: config.Strings{"system:serviceaccounts:identities"}}
		},
	})
	alert := testbed.Alert{Name: "Guarded", Namespace: s.Namespace, Pod: "pod"}
	send := func(token string) int {
		t.Helper()
		client := testbed.Client{HTTP: &http.Client{Transport: withToken{token, transport}}}
		code, _, err := client.Post(t.Context(), s.Gateways[0].URL(), testbed.Notification(alert))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	for name, c := range map[string]struct {
		token string
		want  int
	}{
		"no token":                          {"", 401},
		"no token that the API server made": {"eyJhbGciOiJub25lIn0.e30.", 401},
		"a token without the right":         {s.Token("stranger"), 403},
	} {
		if got := send(c.token); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	token := s.Token("alertmanager")
	for _, resource := range []string{"tokenreviews.authentication.k8s.io", "subjectaccessreviews.authorization.k8s.io"} {
		end := s.Fault(faultproxy.Rule{ID: resource, Match: faultproxy.Match{Everywhere: true, Resource: resource}, Fault: faultproxy.Fault{Kind: faultproxy.Status, Code: 500}})
		if got := send(token); got != http.StatusServiceUnavailable {
			t.Errorf("while %s fail: %d", resource, got)
		}
		if end().Hits == 0 {
			t.Errorf("%s were not asked for", resource)
		}
	}
	if n := len(s.Objects()); n != 0 {
		t.Fatalf("%d objects of senders that were refused", n)
	}
	if got := send(token); got != http.StatusCreated {
		t.Errorf("a token with the right: %d", got)
	}
	// The answer is kept, and the group has no rate limit.
	end := s.Fault(faultproxy.Rule{ID: "reviews", Match: faultproxy.Match{Everywhere: true, Resource: "tokenreviews.authentication.k8s.io"}, Fault: faultproxy.Fault{Kind: faultproxy.Status, Code: 500}})
	for range 3 {
		if got := send(token); got != http.StatusAccepted {
			t.Errorf("again: %d", got)
		}
	}
	if hits := end().Hits; hits != 0 {
		t.Errorf("%d reviews of a token that is known", hits)
	}
	if objects := s.Objects(); len(objects) != 1 || objects[0].Spec.Deduplication.OccurrenceCount != 4 {
		t.Errorf("objects %+v", objects)
	}
}

// withToken sends a token with each request.
type withToken struct {
	token string
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	return w.next.RoundTrip(r)
}
