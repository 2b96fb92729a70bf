package faultproxy

import (
	"context"
	"io"
	"net/http"
)

// after is what happens to a request's answer.
type after struct {
	// hold waits. It reports whether the client still waits for the answer.
	hold func() bool
	// lose is whether the client gets replace instead of the answer.
	lose    bool
	replace func()
}

type afterKey struct{}

func withAfter(ctx context.Context, a after) context.Context {
	return context.WithValue(ctx, afterKey{}, a)
}

// lostError is an answer that the client does not get.
type lostError struct{ replace func() }

func (*lostError) Error() string { return "the answer is lost on purpose" }

// afterwards is the ReverseProxy's ModifyResponse.
func afterwards(response *http.Response) error {
	a, ok := response.Request.Context().Value(afterKey{}).(after)
	if !ok {
		return nil
	}
	if !a.lose {
		if !a.hold() {
			return context.Cause(response.Request.Context())
		}
		return nil
	}
	// Read to its end, so that the request has surely been served. A watch ends
	// with the client.
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	return &lostError{replace: a.replace}
}
