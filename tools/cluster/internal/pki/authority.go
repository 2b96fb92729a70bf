// Package pki makes the certificates of one throw-away cluster: an authority,
// an identity of its own for each component, and kubeconfigs. Keys are ECDSA P-256: a whole cluster's set takes
// a few milliseconds, where RSA would dominate the boot. Nothing is ever
// renewed, because a cluster does not outlive its certificates.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Lifetime is how long every certificate is valid, counted from its issue.
const Lifetime = 365 * 24 * time.Hour

// backdate lets a certificate be used where the clock is behind ours.
const backdate = time.Hour

// Pair is a certificate with its private key, both PEM encoded.
type Pair struct {
	Certificate []byte
	Key         []byte
}

// Authority signs certificates. Its private key never leaves the process.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	encoded     []byte
}

// NewAuthority makes a self-signed authority with the given common name.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key of authority %q: %w", name, err)
	}
	template, err := newTemplate(pkix.Name{CommonName: name})
	if err != nil {
		return nil, fmt.Errorf("create authority %q: %w", name, err)
	}
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign authority %q: %w", name, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse authority %q: %w", name, err)
	}
	return &Authority{certificate: certificate, key: key, encoded: encodeCertificate(der)}, nil
}

// PEM returns the authority's certificate, which is what others need to trust it.
func (a *Authority) PEM() []byte { return a.encoded }

// Client issues a certificate that proves the identity to a server. It can not
// be used to serve.
func (a *Authority) Client(identity Identity) (Pair, error) {
	template, err := newTemplate(pkix.Name{CommonName: identity.Name, Organization: identity.Groups})
	if err != nil {
		return Pair{}, fmt.Errorf("issue client certificate of %q: %w", identity.Name, err)
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issue(template)
}

// Server issues a certificate to serve under the given hosts, each an IP
// address or a DNS name; at least one is needed. It can not be used as a client.
func (a *Authority) Server(name string, hosts ...string) (Pair, error) {
	if len(hosts) == 0 {
		return Pair{}, fmt.Errorf("issue server certificate of %q: no host name or address given", name)
	}
	template, err := newTemplate(pkix.Name{CommonName: name})
	if err != nil {
		return Pair{}, fmt.Errorf("issue server certificate of %q: %w", name, err)
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return a.issue(template)
}

func (a *Authority) issue(template *x509.Certificate) (Pair, error) {
	name := template.Subject.CommonName
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("generate key of %q: %w", name, err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign certificate of %q: %w", name, err)
	}
	encodedKey, err := encodePrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode key of %q: %w", name, err)
	}
	return Pair{Certificate: encodeCertificate(der), Key: encodedKey}, nil
}

func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               subject,
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(Lifetime),
		BasicConstraintsValid: true,
	}, nil
}

// SigningKey makes a key pair for ServiceAccount tokens. The certificate field
// holds a bare public key: kube-apiserver checks tokens with it.
func SigningKey() (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("generate ServiceAccount signing key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return Pair{}, fmt.Errorf("encode ServiceAccount public key: %w", err)
	}
	private, err := encodePrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode ServiceAccount signing key: %w", err)
	}
	return Pair{Certificate: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), Key: private}, nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodePrivateKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
