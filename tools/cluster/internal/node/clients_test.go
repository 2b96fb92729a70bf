package node

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

type answer struct{ asked chan struct{} }

func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	close(a.asked)
	return &http.Response{StatusCode: http.StatusOK}, nil
}

// Promise: a request waits until the API server serves, and no longer than it may.
func TestWaitingTransport(t *testing.T) {
	next, served := answer{make(chan struct{})}, make(chan struct{})
	transport := waitingTransport{next, served}
	ctx, cancel := context.WithCancelCause(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api", nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := errors.New("the node ended")
	cancel(ended)
	if _, err := transport.RoundTrip(request); !errors.Is(err, ended) || !strings.Contains(err.Error(), "API server") {
		t.Errorf("error = %v", err)
	}
	select {
	case <-next.asked:
		t.Fatal("asked before the API server serves")
	default:
	}
	close(served)
	if response, err := transport.RoundTrip(request.WithContext(context.Background())); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("response = %v, %v", response, err)
	}
	<-next.asked
}
