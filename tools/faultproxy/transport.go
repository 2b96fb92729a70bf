package faultproxy

import (
	"fmt"
	"net/http"

	"k8s.io/client-go/rest"
)

// transport chooses how a request reaches the API server.
type transport struct {
	// own has the proxy's credentials, anonymous none.
	own, anonymous protocols
}

// protocols are two ways to one server: connections can be upgraded only from HTTP/1.1.
type protocols struct{ usual, upgrade http.RoundTripper }

func newTransport(config *rest.Config) (*transport, error) {
	own, err := newProtocols(config)
	if err != nil {
		return nil, err
	}
	anonymous, err := newProtocols(rest.AnonymousClientConfig(config))
	if err != nil {
		return nil, err
	}
	return &transport{own: own, anonymous: anonymous}, nil
}

func newProtocols(config *rest.Config) (protocols, error) {
	usual, err := rest.TransportFor(config)
	if err != nil {
		return protocols{}, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	config = rest.CopyConfig(config)
	config.NextProtos = []string{"http/1.1"}
	upgrade, err := rest.TransportFor(config)
	if err != nil {
		return protocols{}, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	return protocols{usual: usual, upgrade: upgrade}, nil
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	to := t.own
	if r.Header.Get("Authorization") != "" {
		to = t.anonymous
	}
	if r.Header.Get("Upgrade") != "" {
		return to.upgrade.RoundTrip(r)
	}
	return to.usual.RoundTrip(r)
}
