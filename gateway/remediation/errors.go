package remediation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// APIError is a failure of the Kubernetes API.
type APIError struct {
	// Op says what was tried, such as "create RemediationRequest shop/rr-1".
	Op  string
	Err error
}

var _ error = (*APIError)(nil)

// Error says what was tried and why it failed.
func (e *APIError) Error() string { return fmt.Sprintf("Kubernetes API error: %s: %v", e.Op, e.Err) }

// Unwrap returns the cause.
func (e *APIError) Unwrap() error { return e.Err }

// classes are the names of HTTP statuses that metrics know.
var classes = map[int]string{
	http.StatusTooManyRequests:     "rate_limited",
	http.StatusServiceUnavailable:  "service_unavailable",
	http.StatusGatewayTimeout:      "gateway_timeout",
	http.StatusBadRequest:          "bad_request",
	http.StatusForbidden:           "forbidden",
	http.StatusUnprocessableEntity: "unprocessable_entity",
	http.StatusConflict:            "conflict",
}

// failureClass names the kind of failure and the HTTP status as metrics label them.
// The status is "0" if there was no answer.
func failureClass(err error) (class, code string) {
	if status, ok := statusCode(err); ok {
		return cmp.Or(classes[status], "unknown"), strconv.Itoa(status)
	}
	switch {
	case isTimeout(err):
		return "timeout", "0"
	case isNetwork(err):
		return "network_error", "0"
	}
	return "unknown", "0"
}

// isRetryable reports whether the same request may well succeed a little later. The
// API server says so with 429, 503 or 504, or there was no answer at all.
func isRetryable(err error) bool {
	if status, ok := statusCode(err); ok {
		return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
	}
	return isTimeout(err) || isNetwork(err)
}

// isAmbiguous reports whether a write that failed like this may have happened all the
// same, or may still happen.
func isAmbiguous(err error) bool {
	if status, ok := statusCode(err); ok {
		return status >= http.StatusInternalServerError
	}
	return !errors.Is(err, syscall.ECONNREFUSED)
}

func statusCode(err error) (int, bool) {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Code != 0 {
		return int(status.Status().Code), true
	}
	return 0, false
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout() || mentions(err, "timeout", "deadline exceeded")
}

func isNetwork(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		// HTTP/2 reports what happened to the connection as text only.
		mentions(err, "connection refused", "connection reset", "broken pipe", "connection lost", "GOAWAY")
}

func mentions(err error, texts ...string) bool {
	for _, text := range texts {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// isNamespaceMissing reports whether a create failed since its namespace does not
// exist, or is being deleted and takes nothing in.
func isNamespaceMissing(err error) bool {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return true
	}
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces"
}
