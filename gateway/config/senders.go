package config

import (
	"crypto/tls"
	"fmt"
	"slices"
	"time"
)

// ServerTLS encrypts the listener's connections. All files are read again when they
// change; a change that can't be used leaves what was read before in force.
type ServerTLS struct {
	// CertFile is the gateway's certificate, followed by those that lead to its
	// authority, and KeyFile its private key, both in PEM. Both or neither; without them
	// connections are not encrypted.
	CertFile string `json:"cert_file"`
	KeyFile  string `json:"key_file"`
	// ClientCAFile holds the authorities of senders' certificates, in PEM. Required
	// with middleware.authentication.certificates, and of no use without.
	ClientCAFile string `json:"client_ca_file"`
	// MinVersion is "1.2" or "1.3". Default "1.2".
	MinVersion string `json:"min_version"`
}

// Enabled reports whether connections are encrypted.
func (t ServerTLS) Enabled() bool { return t.CertFile != "" }

// Version returns the lowest version of TLS that is spoken, as crypto/tls numbers it,
// or 0 for a MinVersion that there is not.
func (t ServerTLS) Version() uint16 {
	switch t.MinVersion {
	case "", "1.2":
		return tls.VersionTLS12
	case "1.3":
		return tls.VersionTLS13
	}
	return 0
}

// Authentication configures who may send signals. If neither tokens nor certificates
// are enabled, anybody may; if both are, either is enough.
type Authentication struct {
	Tokens       Tokens       `json:"tokens"`
	Certificates Certificates `json:"certificates"`
	// Protect are paths of ProtectablePaths that need authentication, too. Default none:
	// probes have no credentials.
	Protect Strings `json:"protect"`
}

// ProtectablePaths are the paths that Authentication.Protect may have.
var ProtectablePaths = []string{"/health", "/healthz", "/metrics", "/ready"}

// Enabled reports whether senders have to show who they are.
func (a Authentication) Enabled() bool { return a.Tokens.Enabled || a.Certificates.Enabled }

// Tokens configures bearer tokens. The Kubernetes API says whose they are
// (TokenReview), and whether that user may have the verb of the request, such as post,
// on its path (SubjectAccessReview of a non-resource URL).
type Tokens struct {
	// Enabled accepts tokens. Default false.
	Enabled bool `json:"enabled"`
	// Audiences are those of which a token must be for at least one. Default: the API
	// server's own.
	Audiences Strings `json:"audiences"`
	// CacheTTL is how long a sender that was admitted is, without another look. Default
	// 1m, also when 0.
	CacheTTL Duration `json:"cache_ttl"`
	// RefusedTTL is how long a token that was refused is. Default 10s, also when 0.
	RefusedTTL Duration `json:"refused_ttl"`
	// CacheSize is the number of answers that are kept. Default 4096, also when 0.
	CacheSize int `json:"cache_size"`
}

// Certificates configures client certificates.
type Certificates struct {
	// Enabled accepts certificates of the authorities in server.tls.client_ca_file.
	// Default false.
	Enabled bool `json:"enabled"`
	// AllowedNames are those of senders: the common name of the certificate's subject,
	// or one of its alternative names (DNS, e-mail, IP, URI). "*" is all that the
	// authorities have issued. Required with Enabled.
	AllowedNames Strings `json:"allowed_names"`
}

func defaultTokens() Tokens {
	return Tokens{CacheTTL: Duration(time.Minute), RefusedTTL: Duration(10 * time.Second), CacheSize: 4096}
}

// senderProblems returns what is wrong with the settings about senders.
func (c *Config) senderProblems() []error {
	var problems []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	t, a, r := c.Server.TLS, c.Middleware.Authentication, c.Middleware.RateLimit
	require((t.CertFile == "") == (t.KeyFile == ""), "server.tls.cert_file and key_file are needed both, or neither")
	require(t.Version() != 0, "server.tls.min_version must be 1.2 or 1.3, is %q", t.MinVersion)
	require(t.ClientCAFile == "" || a.Certificates.Enabled, "server.tls.client_ca_file has no effect without middleware.authentication.certificates.enabled")
	if a.Certificates.Enabled {
		require(t.Enabled(), "server.tls.cert_file is required with middleware.authentication.certificates.enabled")
		require(t.ClientCAFile != "", "server.tls.client_ca_file is required with middleware.authentication.certificates.enabled")
		require(len(a.Certificates.AllowedNames) > 0, `middleware.authentication.certificates.allowed_names is required with enabled ("*" allows all that the authorities have issued)`)
	} else {
		require(len(a.Certificates.AllowedNames) == 0, "middleware.authentication.certificates.allowed_names has no effect without enabled")
	}
	for key, list := range map[string]Strings{
		"middleware.authentication.certificates.allowed_names": a.Certificates.AllowedNames,
		"middleware.authentication.tokens.audiences":           a.Tokens.Audiences,
		"middleware.rate_limit.exempt_users":                   r.ExemptUsers,
		"middleware.rate_limit.exempt_groups":                  r.ExemptGroups,
	} {
		require(!slices.Contains(list, ""), "%s must not have an empty name", key)
	}
	require(a.Tokens.Enabled || len(a.Tokens.Audiences) == 0, "middleware.authentication.tokens.audiences has no effect without enabled")
	for _, path := range a.Protect {
		require(slices.Contains(ProtectablePaths, path), "middleware.authentication.protect: %q is none of %q", path, ProtectablePaths)
	}
	for key, list := range map[string]Strings{
		"middleware.authentication.protect":   a.Protect,
		"middleware.rate_limit.exempt_users":  r.ExemptUsers,
		"middleware.rate_limit.exempt_groups": r.ExemptGroups,
	} {
		require(len(list) == 0 || a.Enabled(), "%s has no effect without middleware.authentication", key)
	}
	return problems
}

// senderWarnings returns what is allowed and hardly meant.
func (c *Config) senderWarnings() []string {
	if c.Middleware.Authentication.Tokens.Enabled && !c.Server.TLS.Enabled() {
		return []string{"middleware.authentication.tokens is enabled without server.tls: tokens can be read on their way, unless something before the gateway encrypts connections"}
	}
	return nil
}
