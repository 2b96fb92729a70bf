package authentication

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/certificatetest"
	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
)

// api answers reviews; its other methods are not called.
type api struct {
	client.Client
	token  func(*authenticationv1.TokenReview) error
	access func(*authorizationv1.SubjectAccessReview) error
	asked  atomic.Int64
}

// Create implements client.Client.
func (a *api) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	a.asked.Add(1)
	switch review := object.(type) {
	case *authenticationv1.TokenReview:
		return a.token(review)
	case *authorizationv1.SubjectAccessReview:
		return a.access(review)
	}
	return errors.New("neither review")
}

// admitting returns an API that knows the token "good" and allows its user everything.
func admitting() *api {
	return &api{
		token: func(r *authenticationv1.TokenReview) error {
			if r.Status.Authenticated = r.Spec.Token == "good"; r.Status.Authenticated {
				r.Status.User = authenticationv1.UserInfo{Username: "sender", UID: "7", Groups: []string{"senders"}, Extra: map[string]authenticationv1.ExtraValue{"pod": {"a", "b"}}}
				r.Status.Audiences = r.Spec.Audiences
			}
			return nil
		},
		access: func(r *authorizationv1.SubjectAccessReview) error {
			r.Status.Allowed = true
			return nil
		},
	}
}

func tokens() config.Authentication {
	settings := config.Default().Middleware.Authentication
	settings.Tokens.Enabled = true
	return settings
}

const route = "/api/v1/signals/prometheus"

func request(authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, route, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

// purse is a budget of so many questions.
type purse struct {
	mu            sync.Mutex
	left, bad, ok int
}

// Begin implements Budget.
func (p *purse) Begin() (end func(bad bool), wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return nil, time.Second
	}
	p.left--
	return func(bad bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if bad {
			p.bad++
		} else {
			p.ok++
		}
	}, 0
}

// decide does what the server does.
func decide(t *testing.T, a *Authenticator, r *http.Request) Decision {
	t.Helper()
	d, known := a.Known(r)
	if !known {
		var err error
		if d, err = a.Review(r, &purse{left: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestTokens(t *testing.T) {
	a := New(Options{Settings: tokens(), Kubernetes: admitting()})
	for authorization, want := range map[string]struct {
		outcome metrics.AuthenticationOutcome
		method  string
	}{
		"Bearer good":     {metrics.Admitted, Token},
		"bearer  good ":   {metrics.Admitted, Token},
		"Bearer bad":      {metrics.Unauthenticated, Token},
		"Bearer good bad": {metrics.Unauthenticated, Token},
		"Bearer " + strings.Repeat("x", maxToken+1): {metrics.Unauthenticated, Token},
		"":           {metrics.Unauthenticated, None},
		"good":       {metrics.Unauthenticated, None},
		"Bearer":     {metrics.Unauthenticated, None},
		"Bearer ":    {metrics.Unauthenticated, None},
		"Basic good": {metrics.Unauthenticated, None},
	} {
		d := decide(t, a, request(authorization))
		if d.Outcome != want.outcome || d.Method != want.method {
			t.Errorf("%.30q: %+v", authorization, d)
		}
		if (d.Reason == "") != (d.Outcome == metrics.Admitted) {
			t.Errorf("%.30q: reason %q", authorization, d.Reason)
		}
		if d.Outcome == metrics.Admitted && (!d.Identity.Is([]string{"sender"}, nil) || !d.Identity.Is(nil, []string{"senders"}) || d.Identity.Is([]string{"senders"}, []string{"sender"})) {
			t.Errorf("%.30q: identity %+v", authorization, d.Identity)
		}
	}
}

// The API server is asked about all that it knows of the user, and about what the
// request does.
func TestAccessReview(t *testing.T) {
	kubernetes := admitting()
	var asked authorizationv1.SubjectAccessReviewSpec
	kubernetes.access = func(r *authorizationv1.SubjectAccessReview) error {
		asked, r.Status.Reason = r.Spec, "no role"
		return nil
	}
	a := New(Options{Settings: tokens(), Kubernetes: kubernetes})
	d := decide(t, a, request("Bearer good"))
	if d.Outcome != metrics.Forbidden || !strings.Contains(d.Reason, "no role") || !strings.Contains(d.Reason, `"sender"`) || d.Identity.String() != "sender" {
		t.Errorf("decision %+v", d)
	}
	want := authorizationv1.SubjectAccessReviewSpec{
		User: "sender", UID: "7", Groups: []string{"senders"}, Extra: map[string]authorizationv1.ExtraValue{"pod": {"a", "b"}},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: route, Verb: "post"},
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	// What one path allows says nothing about another.
	kubernetes.access = func(r *authorizationv1.SubjectAccessReview) error {
		r.Status.Allowed = r.Spec.NonResourceAttributes.Path == "/metrics" && r.Spec.NonResourceAttributes.Verb == "get"
		return nil
	}
	scrape := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	scrape.Header.Set("Authorization", "Bearer good")
	if d := decide(t, a, scrape); d.Outcome != metrics.Admitted {
		t.Errorf("scrape: %+v", d)
	}
	if d := decide(t, a, request("Bearer good")); d.Outcome != metrics.Forbidden {
		t.Errorf("signal: %+v", d)
	}
}

// A token for somebody else is none for this gateway, and an authenticator that knows
// no audiences has not looked.
func TestAudiences(t *testing.T) {
	settings := tokens()
	settings.Tokens.Audiences = config.Strings{"stormgate", "gateway"}
	for name, c := range map[string]struct {
		audiences []string
		want      metrics.AuthenticationOutcome
	}{
		"one of them": {[]string{"x", "gateway"}, metrics.Admitted},
		"another":     {[]string{"x"}, metrics.Unauthenticated},
		"none":        {nil, metrics.Unauthenticated},
	} {
		kubernetes := admitting()
		known := kubernetes.token
		kubernetes.token = func(r *authenticationv1.TokenReview) error {
			if !slices.Equal(r.Spec.Audiences, settings.Tokens.Audiences) {
				t.Errorf("asked for %q", r.Spec.Audiences)
			}
			err := known(r)
			r.Status.Audiences = c.audiences
			return err
		}
		if d := decide(t, New(Options{Settings: settings, Kubernetes: kubernetes}), request("Bearer good")); d.Outcome != c.want {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// Answers are kept for their time, those about bad tokens for a shorter one, and only so
// many.
func TestAnswersAreKept(t *testing.T) {
	kubernetes := admitting()
	settings := tokens()
	settings.Tokens.CacheSize = 2
	now := time.Date(2025, 11, 24, 10, 0, 0, 0, time.UTC)
	a := New(Options{Settings: settings, Kubernetes: kubernetes, Now: func() time.Time { return now }})
	ask := func(token string, questions int64) {
		t.Helper()
		kubernetes.asked.Store(0)
		decide(t, a, request("Bearer "+token))
		if n := kubernetes.asked.Load(); n != questions {
			t.Errorf("%s: %d questions, want %d", token, n, questions)
		}
	}
	ask("good", 2)
	ask("good", 0)
	ask("bad", 1)
	ask("bad", 0)
	now = now.Add(settings.Tokens.RefusedTTL.Std() + time.Second)
	ask("good", 0)
	ask("bad", 1)
	now = now.Add(settings.Tokens.CacheTTL.Std())
	ask("good", 2)
	ask("worse", 1)
	ask("worst", 1) // there is room for two
	ask("good", 2)
}

// An API that does not answer says nothing about the sender. Nothing of that is kept,
// and no token gets out.
func TestNoAnswer(t *testing.T) {
	for _, of := range []string{"token", "access"} {
		kubernetes := admitting()
		refuse := errors.New(`connection refused: {"token":"good"}`)
		switch of {
		case "token":
			kubernetes.token = func(*authenticationv1.TokenReview) error { return refuse }
		case "access":
			kubernetes.access = func(*authorizationv1.SubjectAccessReview) error { return refuse }
		}
		a := New(Options{Settings: tokens(), Kubernetes: kubernetes})
		for range 2 {
			if _, known := a.Known(request("Bearer good")); known {
				t.Fatalf("%s: a failure was kept", of)
			}
			if _, err := a.Review(request("Bearer good"), &purse{left: 1000}); err == nil || strings.Contains(err.Error(), "good") || !strings.Contains(err.Error(), "connection refused") {
				t.Errorf("%s: %v", of, err)
			}
		}
		if n := kubernetes.asked.Load(); n != map[string]int64{"token": 2, "access": 4}[of] {
			t.Errorf("%s: %d questions", of, n)
		}
	}
}

// An API server that has not asked everybody says nothing final, either: a webhook of its
// own may be away, or a role that is bound not be there yet.
func TestAccessThatCouldNotBeDecided(t *testing.T) {
	for name, c := range map[string]struct {
		status  authorizationv1.SubjectAccessReviewStatus
		outcome metrics.AuthenticationOutcome // "" for none
	}{
		"nobody knows":  {authorizationv1.SubjectAccessReviewStatus{EvaluationError: "webhook is away"}, ""},
		"all say no":    {authorizationv1.SubjectAccessReviewStatus{}, metrics.Forbidden},
		"one denies":    {authorizationv1.SubjectAccessReviewStatus{Denied: true, EvaluationError: "webhook is away"}, metrics.Forbidden},
		"one allows it": {authorizationv1.SubjectAccessReviewStatus{Allowed: true, EvaluationError: "webhook is away"}, metrics.Admitted},
	} {
		kubernetes := admitting()
		kubernetes.access = func(r *authorizationv1.SubjectAccessReview) error {
			r.Status = c.status
			return nil
		}
		a := New(Options{Settings: tokens(), Kubernetes: kubernetes})
		d, err := a.Review(request("Bearer good"), &purse{left: 1})
		if (err == nil) != (c.outcome != "") || d.Outcome != c.outcome || err != nil && !strings.Contains(err.Error(), "webhook is away") {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		if _, known := a.Known(request("Bearer good")); known != (c.outcome != "") {
			t.Errorf("%s: kept %t", name, known)
		}
	}
}

// Whoever has spent its budget asks nothing. A token that was good not long ago is asked
// about all the same, until it is bad.
func TestBudget(t *testing.T) {
	kubernetes := admitting()
	settings := tokens()
	now := time.Date(2025, 11, 24, 10, 0, 0, 0, time.UTC)
	a := New(Options{Settings: settings, Kubernetes: kubernetes, Now: func() time.Time { return now }})
	p := &purse{left: 3}
	ask := func(token string, want metrics.AuthenticationOutcome) {
		t.Helper()
		d, err := a.Review(request("Bearer "+token), p)
		var spent *BudgetError
		if want == "" && (!errors.As(err, &spent) || spent.Wait != time.Second) || want != "" && (err != nil || d.Outcome != want) {
			t.Errorf("%s: %+v, %v", token, d, err)
		}
	}
	ask("good", metrics.Admitted)
	ask("bad", metrics.Unauthenticated)
	ask("worse", metrics.Unauthenticated)
	if p.ok != 1 || p.bad != 2 {
		t.Errorf("%d good ones and %d bad ones", p.ok, p.bad)
	}
	kubernetes.asked.Store(0)
	ask("worst", "")
	if n := kubernetes.asked.Load(); n != 0 {
		t.Errorf("%d questions without a budget", n)
	}
	now = now.Add(settings.Tokens.CacheTTL.Std() + time.Second)
	ask("good", metrics.Admitted)
	// It is withdrawn.
	now = now.Add(settings.Tokens.CacheTTL.Std() + time.Second)
	known := kubernetes.token
	kubernetes.token = func(*authenticationv1.TokenReview) error { return nil }
	ask("good", metrics.Unauthenticated)
	now = now.Add(settings.Tokens.RefusedTTL.Std() + time.Second)
	ask("good", "")
	// It was good too long ago.
	kubernetes.token, p.left = known, 1
	ask("good", metrics.Admitted)
	now = now.Add(goodFor + time.Second)
	ask("good", "")
}

// Many requests at once make one question, and one of them that goes away keeps none of
// the others from its answer.
func TestQuestionsAreShared(t *testing.T) {
	kubernetes := admitting()
	known, entered, proceed := kubernetes.token, make(chan struct{}), make(chan struct{})
	kubernetes.token = func(r *authenticationv1.TokenReview) error {
		close(entered) // panics the second time
		<-proceed
		return known(r)
	}
	a := New(Options{Settings: tokens(), Kubernetes: kubernetes})
	var all sync.WaitGroup
	outcomes := make(chan metrics.AuthenticationOutcome, 10)
	review := func(r *http.Request) {
		d, err := a.Review(r, &purse{left: 1000})
		if err != nil {
			t.Error(err)
		}
		outcomes <- d.Outcome
	}
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() { review(request("Bearer good").WithContext(ctx)) })
	<-entered
	cancel()
	for range 9 {
		all.Go(func() {
			// What comes after the answer is known without a question.
			if d, ok := a.Known(request("Bearer good")); ok {
				outcomes <- d.Outcome
				return
			}
			review(request("Bearer good"))
		})
	}
	close(proceed)
	all.Wait()
	close(outcomes)
	for outcome := range outcomes {
		if outcome != metrics.Admitted {
			t.Errorf("one is %s", outcome)
		}
	}
}

func withCertificate(t *testing.T, certFile, keyFile string) *http.Request {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	r := request("")
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{pair.Leaf}}
	return r
}

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := certificatetest.NewAuthority(t, dir, "ours"), certificatetest.NewAuthority(t, dir, "theirs")
	settings := config.Authentication{Certificates: config.Certificates{Enabled: true, AllowedNames: config.Strings{"sender", "sender.example", "spiffe://cluster/sender", "10.0.0.7", "a@example"}}}
	authorities := ours.Pool()
	now := time.Now()
	newAuthenticator := func(settings config.Authentication) *Authenticator {
		return New(Options{Settings: settings, Kubernetes: admitting(), Authorities: func() *x509.CertPool { return authorities }, Now: func() time.Time { return now }})
	}
	a := newAuthenticator(settings)
	named := func(adjust func(*x509.Certificate)) *http.Request {
		cert, key := ours.Leaf(t, dir, "other", adjust)
		return withCertificate(t, cert, key)
	}
	for name, c := range map[string]struct {
		request *http.Request
		want    metrics.AuthenticationOutcome
	}{
		"common name":    {named(func(c *x509.Certificate) { c.Subject.CommonName = "sender" }), metrics.Admitted},
		"DNS name":       {named(func(c *x509.Certificate) { c.DNSNames = []string{"x", "sender.example"} }), metrics.Admitted},
		"URI":            {named(func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "cluster", Path: "/sender"}} }), metrics.Admitted},
		"address":        {named(func(c *x509.Certificate) { c.IPAddresses = append(c.IPAddresses, []byte{10, 0, 0, 7}) }), metrics.Admitted},
		"e-mail":         {named(func(c *x509.Certificate) { c.EmailAddresses = []string{"a@example"} }), metrics.Admitted},
		"another name":   {named(func(*x509.Certificate) {}), metrics.Forbidden},
		"part of a name": {named(func(c *x509.Certificate) { c.Subject.CommonName = "sender.example.org" }), metrics.Forbidden},
		"organization":   {named(func(c *x509.Certificate) { c.Subject.Organization = []string{"sender"} }), metrics.Forbidden},
		"server's only": {named(func(c *x509.Certificate) {
			c.Subject.CommonName, c.ExtKeyUsage = "sender", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), metrics.Unauthenticated},
		"expired": {named(func(c *x509.Certificate) {
			c.Subject.CommonName, c.NotAfter = "sender", time.Now().Add(-time.Minute)
		}), metrics.Unauthenticated},
		"stranger's": {func() *http.Request {
			cert, key := theirs.Leaf(t, dir, "sender")
			return withCertificate(t, cert, key)
		}(), metrics.Unauthenticated},
		"none": {request(""), metrics.Unauthenticated},
	} {
		d, known := a.Known(c.request)
		if !known || d.Outcome != c.want || (d.Reason == "") != (d.Outcome == metrics.Admitted) {
			t.Errorf("%s: %+v, %t", name, d, known)
		}
	}

	good := named(func(c *x509.Certificate) {
		c.Subject.CommonName, c.Subject.Organization = "sender", []string{"senders"}
	})
	if d, _ := a.Known(good); !d.Identity.Is(nil, []string{"senders"}) || d.Identity.String() != "sender" || d.Method != Certificate {
		t.Errorf("identity %+v", d)
	}
	// What was good when the connection began need not be any more.
	now = now.Add(2 * time.Hour)
	if d, _ := a.Known(good); d.Outcome != metrics.Unauthenticated {
		t.Errorf("two hours later: %+v", d)
	}
	now = now.Add(-2 * time.Hour)
	authorities = theirs.Pool()
	if d, _ := a.Known(good); d.Outcome != metrics.Unauthenticated {
		t.Errorf("by an authority that counts no more: %+v", d)
	}
	authorities = ours.Pool()

	settings.Certificates.AllowedNames = config.Strings{"*"}
	if d, _ := newAuthenticator(settings).Known(named(func(*x509.Certificate) {})); d.Outcome != metrics.Admitted {
		t.Errorf("any name: %+v", d)
	}
	// Where only tokens count, a certificate is none.
	if d, _ := newAuthenticator(tokens()).Known(good); d.Outcome != metrics.Unauthenticated || d.Method != None {
		t.Errorf("certificates are off: %+v", d)
	}
}

// Either of the two is enough.
func TestCertificateAndToken(t *testing.T) {
	dir := t.TempDir()
	ours := certificatetest.NewAuthority(t, dir, "ours")
	settings := tokens()
	settings.Certificates = config.Certificates{Enabled: true, AllowedNames: config.Strings{"sender"}}
	kubernetes := admitting()
	a := New(Options{Settings: settings, Kubernetes: kubernetes, Authorities: ours.Pool})
	for _, c := range []struct {
		name, token string
		want        metrics.AuthenticationOutcome
		method      string
		questions   int64
	}{
		{"sender", "", metrics.Admitted, Certificate, 0},
		{"sender", "bad", metrics.Admitted, Certificate, 0},
		{"other", "good", metrics.Admitted, Token, 2},
		{"other", "", metrics.Forbidden, Certificate, 0},
		{"other", "bad", metrics.Unauthenticated, Token, 1},
	} {
		kubernetes.asked.Store(0)
		cert, key := ours.Leaf(t, dir, c.name)
		r := withCertificate(t, cert, key)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		if d := decide(t, a, r); d.Outcome != c.want || d.Method != c.method || kubernetes.asked.Load() != c.questions {
			t.Errorf("%+v: %+v, %d questions", c, d, kubernetes.asked.Load())
		}
	}
}

// Whatever is in the header, there is an answer, and it says nothing of the token.
func FuzzAuthorization(f *testing.F) {
	f.Add("Bearer good")
	f.Add("bEARER\tx")
	f.Add("Bearer  ")
	a := New(Options{Settings: tokens(), Kubernetes: admitting()})
	f.Fuzz(func(t *testing.T, authorization string) {
		r := request("")
		r.Header["Authorization"] = []string{authorization}
		d, known := a.Known(r)
		if !known {
			var err error
			if d, err = a.Review(r, &purse{left: 1000}); err != nil {
				t.Fatal(err)
			}
		}
		if (d.Outcome == metrics.Admitted) != (bearer(r) == "good") {
			t.Fatalf("%q: %+v", authorization, d)
		}
	})
}
