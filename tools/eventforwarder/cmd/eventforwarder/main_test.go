package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Promise: readiness says whether it watches.
func TestRoutes(t *testing.T) {
	watching := false
	handler := routes(func() bool { return watching }, prometheus.NewRegistry())
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		if answer.Code != want {
			t.Errorf("watching %t: %d, want %d", watching, answer.Code, want)
		}
		watching = true
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Errorf("/metrics: %d", answer.Code)
	}
}

// Promise: a selector that is none is refused at the start, with the flag's name.
func TestFlagsAreChecked(t *testing.T) {
	cmd := command()
	cmd.SetArgs([]string{"--url=http://receiver", "--namespace-selector=a==b==c"})
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "--namespace-selector") {
		t.Errorf("error %v, want one that names --namespace-selector", err)
	}
}
