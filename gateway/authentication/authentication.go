// Package authentication finds out who has sent a request, and whether it may.
//
// A sender shows a client certificate or a bearer token. Certificates are judged here.
// About tokens the Kubernetes API is asked: whose it is, by a TokenReview, and whether
// that user may, by a SubjectAccessReview of the request's path. Its answers are kept
// for a while, since an AlertManager sends the same token thousands of times.
//
// k8s.io/apiserver has the same for API servers, and would bring the CEL and informers
// with it that those need.
package authentication

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/metrics"
	"stormgate.internal/gateway/redact"
)

// reviewTimeout limits both reviews of a token together.
const reviewTimeout = 5 * time.Second

// maxToken limits tokens, in bytes. What is longer is no token that an API server has
// issued, and not worth a question.
const maxToken = 16 << 10

// goodFor is how long a token that was admitted is asked about whatever others of its
// address have sent: a sender that shares the address of a proxy with a stranger is not to
// be kept out by it each time that its answer is not kept any more.
const goodFor = time.Hour

// Identity is who has sent a request.
type Identity struct {
	// Names are the user of a token, or the common name and the alternative names of a
	// certificate.
	Names []string
	// Groups are those of the user, or the organizations of the certificate's subject.
	Groups []string
}

// Is reports whether one of the names is listed, or one of the groups.
func (i Identity) Is(users, groups []string) bool {
	listed := func(have, list []string) bool {
		return slices.ContainsFunc(have, func(s string) bool { return slices.Contains(list, s) })
	}
	return listed(i.Names, users) || listed(i.Groups, groups)
}

// String returns the first of the names, for logs.
func (i Identity) String() string {
	if len(i.Names) == 0 {
		return ""
	}
	return i.Names[0]
}

// Methods by which a sender shows who it is.
const (
	None        = "none"
	Certificate = "certificate"
	Token       = "token"
)

// Decision says whether a sender may send.
type Decision struct {
	// Outcome is metrics.Admitted, Unauthenticated or Forbidden.
	Outcome metrics.AuthenticationOutcome
	// Method is what the decision is about.
	Method string
	// Identity is empty if it is not known.
	Identity Identity
	// Reason says why not, for people. It has no secrets.
	Reason string
}

// Options are what an Authenticator needs.
type Options struct {
	Settings config.Authentication
	// Kubernetes makes reviews. Required with tokens.
	Kubernetes client.Client
	// Authorities returns those of clients' certificates. Required with certificates.
	Authorities func() *x509.CertPool
	// Now returns the time. Default time.Now.
	Now func() time.Time
}

// Budget limits how many questions an address may cost whose tokens are bad.
type Budget interface {
	// Begin asks for a question. If wait is 0, end is to be called with whether the token
	// was bad. Otherwise it is how long no question may be asked.
	Begin() (end func(bad bool), wait time.Duration)
}

// BudgetError says that an address has sent too many bad tokens, so that the Kubernetes
// API was not asked about another one.
type BudgetError struct {
	// Wait is when it may be.
	Wait time.Duration
}

var _ error = (*BudgetError)(nil)

// Error names the time.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("too many bad tokens came from this address; the next one may come in %s", e.Wait)
}

// Authenticator decides about requests.
type Authenticator struct {
	o       Options
	secret  []byte // makes keys of tokens
	known   *cache.LRUExpireCache
	good    *cache.LRUExpireCache // tokens that were admitted not long ago
	reviews singleflight.Group
}

// New returns an authenticator.
func New(o Options) *Authenticator {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Authenticator{o: o, secret: make([]byte, sha256.Size)}
	_, _ = rand.Read(a.secret) // never fails
	size := max(o.Settings.Tokens.CacheSize, 1)
	a.known = cache.NewLRUExpireCacheWithClock(size, clock(o.Now))
	a.good = cache.NewLRUExpireCacheWithClock(size, clock(o.Now))
	return a
}

type clock func() time.Time

// Now implements what the cache asks for.
func (c clock) Now() time.Time { return c() }

// Known decides about a request if that needs no question to the Kubernetes API.
// Otherwise ok is false, and Review does.
func (a *Authenticator) Known(r *http.Request) (d Decision, ok bool) {
	d = Decision{Outcome: metrics.Unauthenticated, Method: None, Reason: "the request has " + a.missing()}
	if a.o.Settings.Certificates.Enabled && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		d = a.judge(r.TLS.PeerCertificates)
		if d.Outcome == metrics.Admitted {
			return d, true
		}
	}
	if !a.o.Settings.Tokens.Enabled {
		return d, true
	}
	token := bearer(r)
	switch {
	case token == "":
		return d, true
	case len(token) > maxToken:
		return Decision{Outcome: metrics.Unauthenticated, Method: Token, Reason: "the token is too long"}, true
	}
	if kept, found := a.known.Get(a.key(token, r)); found {
		return kept.(Decision), true
	}
	return Decision{}, false
}

// missing names what a request would have to have.
func (a *Authenticator) missing() string {
	var wanted []string
	if a.o.Settings.Tokens.Enabled {
		wanted = append(wanted, "bearer token")
	}
	if a.o.Settings.Certificates.Enabled {
		wanted = append(wanted, "client certificate")
	}
	return "no " + strings.Join(wanted, " and no ")
}

// judge decides about a certificate and those that lead from it to an authority.
func (a *Authenticator) judge(chain []*x509.Certificate) Decision {
	leaf := chain[0]
	intermediates := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	d := Decision{Outcome: metrics.Unauthenticated, Method: Certificate}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.o.Authorities(), Intermediates: intermediates, CurrentTime: a.o.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		d.Reason = fmt.Sprintf("the client certificate is not good: %v", err)
		return d
	}
	d.Identity = identityOf(leaf)
	allowed := a.o.Settings.Certificates.AllowedNames
	if !slices.Contains(allowed, "*") && !d.Identity.Is(allowed, nil) {
		d.Outcome, d.Reason = metrics.Forbidden, fmt.Sprintf("none of the client certificate's names is allowed: %q", d.Identity.Names)
		return d
	}
	d.Outcome = metrics.Admitted
	return d
}

func identityOf(leaf *x509.Certificate) Identity {
	i := Identity{Groups: leaf.Subject.Organization}
	if leaf.Subject.CommonName != "" {
		i.Names = append(i.Names, leaf.Subject.CommonName)
	}
	i.Names = append(append(i.Names, leaf.DNSNames...), leaf.EmailAddresses...)
	for _, address := range leaf.IPAddresses {
		i.Names = append(i.Names, address.String())
	}
	for _, uri := range leaf.URIs {
		i.Names = append(i.Names, uri.String())
	}
	return i
}

// Review asks the Kubernetes API about a request's token, if the budget of its address
// has a question left, or the token was good not long ago. An error means that it did not
// answer, and says nothing about the sender; it is a *BudgetError if it was not asked.
// Requests that ask the same at once share the answer, and the question.
func (a *Authenticator) Review(r *http.Request, budget Budget) (Decision, error) {
	token, key, mark := bearer(r), a.key(bearer(r), r), a.mark(bearer(r))
	decision, err, _ := a.reviews.Do(key, func() (_ any, err error) {
		// It may have been found since the request looked.
		if kept, found := a.known.Get(key); found {
			return kept, nil
		}
		bad := false
		if _, good := a.good.Get(mark); !good {
			end, wait := budget.Begin()
			if wait > 0 {
				return nil, &BudgetError{wait}
			}
			defer func() { end(bad) }()
		}
		// Others may wait for the answer, whether or not this sender does.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), reviewTimeout)
		defer cancel()
		d, err := a.review(ctx, token, strings.ToLower(r.Method), r.URL.Path)
		if err != nil {
			// What the API server, or something before it, says may quote the request.
			return nil, errors.New(strings.ReplaceAll(err.Error(), token, redact.Mark))
		}
		ttl := a.o.Settings.Tokens.RefusedTTL
		if d.Outcome == metrics.Admitted {
			ttl = a.o.Settings.Tokens.CacheTTL
			a.good.Add(mark, true, goodFor)
		} else {
			bad = true
			a.good.Remove(mark)
		}
		a.known.Add(key, d, ttl.Std())
		return d, nil
	})
	if err != nil {
		return Decision{}, err
	}
	return decision.(Decision), nil
}

func (a *Authenticator) review(ctx context.Context, token, verb, path string) (Decision, error) {
	audiences := a.o.Settings.Tokens.Audiences
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}
	if err := a.o.Kubernetes.Create(ctx, review); err != nil {
		return Decision{}, fmt.Errorf("review a token: %w", err)
	}
	d := Decision{Outcome: metrics.Unauthenticated, Method: Token}
	switch status := review.Status; {
	case !status.Authenticated:
		d.Reason = "the Kubernetes API does not accept the token" // status.Error may quote it
		return d, nil
	case len(audiences) > 0 && !slices.ContainsFunc(status.Audiences, func(audience string) bool { return slices.Contains(audiences, audience) }):
		// An authenticator that knows no audiences has not looked whether the token is
		// for this gateway.
		d.Reason = fmt.Sprintf("the token is for none of the audiences %q", []string(audiences))
		return d, nil
	}
	user := review.Status.User
	d.Identity = Identity{Names: []string{user.Username}, Groups: user.Groups}
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	access := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: verb},
	}}
	if err := a.o.Kubernetes.Create(ctx, access); err != nil {
		return Decision{}, fmt.Errorf("review the access of %s: %w", user.Username, err)
	}
	if status := access.Status; !status.Allowed && !status.Denied && status.EvaluationError != "" {
		// Nobody has allowed it, and not everybody could be asked. A 403 would be final.
		return Decision{}, fmt.Errorf("review the access of %s: the API server could not decide: %s", user.Username, status.EvaluationError)
	}
	if !access.Status.Allowed {
		why := cmp.Or(access.Status.Reason, "no rule allows it")
		d.Outcome, d.Reason = metrics.Forbidden, fmt.Sprintf("user %q must not %s the non-resource URL %s: %.300s", user.Username, verb, path, why)
		return d, nil
	}
	d.Outcome = metrics.Admitted
	return d, nil
}

// key is that of an answer, and mark that of a token. Neither gives the token away to
// whoever sees the memory.
func (a *Authenticator) key(token string, r *http.Request) string {
	return a.sign(strings.ToLower(r.Method), r.URL.Path, token)
}

func (a *Authenticator) mark(token string) string { return a.sign(token) }

func (a *Authenticator) sign(parts ...string) string {
	mac := hmac.New(sha256.New, a.secret)
	for _, part := range parts {
		fmt.Fprintf(mac, "%d:%s", len(part), part)
	}
	return string(mac.Sum(nil))
}

// bearer returns the request's token, or "".
func bearer(r *http.Request) string {
	scheme, token, found := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
