package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/app"
	"stormgate.internal/gateway/certificatetest"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/redistest"
)

// reviewer is a cluster that knows tokens by the names of their users, of which
// alertmanager and prometheus may send.
type reviewer struct {
	*cluster
	away atomic.Bool
}

// Create answers reviews, and makes everything else.
func (r *reviewer) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	if r.away.Load() {
		return errors.New("the API server is away")
	}
	switch review := object.(type) {
	case *authenticationv1.TokenReview:
		review.Status.Authenticated = review.Spec.Token != "nobody"
		review.Status.User = authenticationv1.UserInfo{Username: review.Spec.Token, Groups: []string{"system:authenticated"}}
		return nil
	case *authorizationv1.SubjectAccessReview:
		a := review.Spec.NonResourceAttributes
		review.Status.Allowed = strings.Contains("alertmanager prometheus", review.Spec.User) && a.Verb == "post" && a.Path == prometheusRoute
		return nil
	}
	return r.cluster.Create(ctx, object, options...)
}

// A gateway whose connections are encrypted, and which asks for credentials: what each
// sender is answered, that nothing of strangers is stored, and who has no rate limit.
func TestSenders(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := certificatetest.NewAuthority(t, dir, "ours"), certificatetest.NewAuthority(t, dir, "theirs")
	certFile, keyFile := ours.Leaf(t, dir, "server")
	reviews := &reviewer{cluster: newCluster(t, "prod-a")}
	g := start(t, redistest.Start(t).Addr, reviews.cluster, func(c *config.Config, o *app.Options) {
		o.Kubernetes = reviews
		c.Server.TLS.CertFile, c.Server.TLS.KeyFile, c.Server.TLS.ClientCAFile = certFile, keyFile, ours.File
		c.Middleware.Authentication.Tokens.Enabled = true
		c.Middleware.Authentication.Certificates = config.Certificates{Enabled: true, AllowedNames: config.Strings{"sender"}}
		c.Middleware.RateLimit = config.RateLimit{RequestsPerMinute: 1, Burst: 2, ExemptUsers: config.Strings{"prometheus"}, ExemptGroups: config.Strings{"unlimited"}}
	})
	// send sends a new alert with a token, or a certificate of the authority, or neither.
	send := func(token string, by *certificatetest.Authority, name string, adjust ...func(*x509.Certificate)) (int, string) {
		t.Helper()
		cfg := &tls.Config{RootCAs: ours.Pool()}
		if by != nil {
			pair, err := tls.LoadX509KeyPair(by.Leaf(t, dir, name, adjust...))
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{pair}
		}
		transport := &http.Transport{TLSClientConfig: cfg}
		defer transport.CloseIdleConnections()
		request, err := http.NewRequest(http.MethodPost, strings.Replace(g.url, "http:", "https:", 1)+prometheusRoute, strings.NewReader(alert("A", "prod-a", "p")))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode, response.Header.Get("Retry-After")
	}
	for name, c := range map[string]struct {
		token string
		by    *certificatetest.Authority
		name  string
		want  int
	}{
		"nothing":                      {want: 401},
		"a bad token":                  {token: "nobody", want: 401},
		"a token without rights":       {token: "mallory", want: 403},
		"a certificate of strangers":   {by: theirs, name: "sender", want: 401},
		"a certificate of another":     {by: ours, name: "mallory", want: 403},
		"another's, and a token's too": {token: "mallory", by: ours, name: "mallory", want: 403},
	} {
		if code, _ := send(c.token, c.by, c.name); code != c.want {
			t.Errorf("%s: %d, want %d", name, code, c.want)
		}
	}
	if n := len(reviews.objects(t)); n != 0 {
		t.Fatalf("%d objects of strangers", n)
	}
	reviews.away.Store(true)
	if code, after := send("alertmanager", nil, ""); code != 503 || after == "" {
		t.Errorf("while the API is away: %d, Retry-After %q", code, after)
	}
	reviews.away.Store(false)
	if code, _ := send("alertmanager", nil, ""); code != 201 {
		t.Errorf("a token with rights: %d", code)
	}
	if code, _ := send("", ours, "sender"); code != 202 {
		t.Errorf("a certificate: %d", code)
	}
	// That was the burst of this address. Those that are listed go on.
	if code, after := send("alertmanager", nil, ""); code != 503 || after == "" {
		t.Errorf("over the limit: %d, Retry-After %q", code, after)
	}
	for range 3 {
		if code, _ := send("prometheus", nil, ""); code != 202 {
			t.Errorf("a user without a limit: %d", code)
		}
		if code, _ := send("", ours, "sender", func(c *x509.Certificate) { c.Subject.Organization = []string{"unlimited"} }); code != 202 {
			t.Errorf("a certificate without a limit: %d", code)
		}
	}
	if n := len(reviews.objects(t)); n != 1 {
		t.Errorf("%d objects", n)
	}
}

// Files that can't be used are an error of the start.
func TestSenderFilesMustBeReadable(t *testing.T) {
	cfg := config.Default()
	cfg.Server.TLS.CertFile, cfg.Server.TLS.KeyFile = "none.crt", "none.key"
	cfg.Infrastructure.Redis.Addr = "127.0.0.1:1"
	cfg.Processing.Priority.PolicyPath = policyFile(t)
	if _, err := app.New(t.Context(), cfg, app.Options{Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "server.tls.cert_file") {
		t.Errorf("error %v", err)
	}
}
