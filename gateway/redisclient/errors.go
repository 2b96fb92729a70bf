package redisclient

import "fmt"

// UnavailableError says that Redis did not do what a step of the gateway needs:
// because it can't be reached, or because it holds or answers what nobody expects.
// The sender should try again.
type UnavailableError struct {
	// Op is the operation, as metrics name it, such as deduplication_check.
	Op string
	// Err is why it failed. Required.
	Err error
}

var _ error = (*UnavailableError)(nil)

// Error names the operation and why it failed.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("Redis operation %s failed: %v", e.Op, e.Err)
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }
