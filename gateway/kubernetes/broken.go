package kubernetes

import (
	"errors"
	"net/http"
	"strings"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// brokenConnections keeps the client library from repeating a read ten times, a
// second apart, when the connection breaks: senders would wait as long for an
// answer that Redis can give at once. One more try, at once, is enough for a
// connection that an API server has closed on its way out.
type brokenConnections struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b brokenConnections) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if isBroken(err) && r.Method == http.MethodGet && r.Context().Err() == nil {
		response, err = b.next.RoundTrip(r)
	}
	if isBroken(err) {
		return nil, &brokenError{err}
	}
	return response, err
}

// WrappedRoundTripper lets the client library find the transport.
func (b brokenConnections) WrappedRoundTripper() http.RoundTripper { return b.next }

func isBroken(err error) bool {
	return err != nil && (utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err))
}

// brokenError is a broken connection that the client library does not recognise
// as one. errors.Is still finds what it was.
type brokenError struct{ cause error }

var _ error = (*brokenError)(nil)

// Error says it in other words than the library looks for.
func (e *brokenError) Error() string {
	text := strings.ReplaceAll(e.cause.Error(), "connection reset by peer", "connection reset")
	return "connection broken: " + strings.ReplaceAll(text, "use of closed network connection", "connection closed")
}

// Is reports whether the target broke the connection.
func (e *brokenError) Is(target error) bool { return errors.Is(e.cause, target) }
