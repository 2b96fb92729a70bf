package redisclient

import "fmt"

// UnavailableError says that Redis did not do what a step of the gateway needs.
// The sender is to try again.
type UnavailableError struct {
	// Op is the operation, as metrics name it, such as deduplication_check.
	Op  string
	Err error
}

var _ error = (*UnavailableError)(nil)

// Error says what was tried and why it failed.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("Redis is unavailable: %s: %v", e.Op, e.Err)
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }
