package remediation

import (
	"context"
	"time"
)

// RetryObserver is told how retries go. Classes and codes are those of the
// metrics' labels error_type and status_code.
type RetryObserver interface {
	// RetryAttempt is called for each failure that may be retried.
	RetryAttempt(class, code string)
	// RetryExhausted is called when the last attempt failed like that.
	RetryExhausted(class, code string)
	// RetrySucceeded is called when an attempt after the first, which is number 1,
	// succeeded.
	RetrySucceeded(attempt int)
	// RetryDuration is called at the end of whatever was retried; class is that of
	// the latest failure.
	RetryDuration(class string, duration time.Duration)
}

// Retry repeats what failed for reasons that pass.
type Retry struct {
	// MaxAttempts is at least 1.
	MaxAttempts int
	// InitialBackoff is the wait before the second attempt. It doubles from then
	// on, up to MaxBackoff.
	InitialBackoff, MaxBackoff time.Duration
	// Observer is required.
	Observer RetryObserver
}

// Do calls attempt until it succeeds, fails for good, has failed MaxAttempts
// times, or the context ends. It returns the last error of attempt.
func (r Retry) Do(ctx context.Context, attempt func(context.Context) error) error {
	start := time.Now()
	retried := ""
	if r.MaxAttempts < 1 {
		r.MaxAttempts = 1
	}
	defer func() {
		if retried != "" {
			r.Observer.RetryDuration(retried, time.Since(start))
		}
	}()
	for n := 1; ; n++ {
		err := attempt(ctx)
		if err == nil {
			if n > 1 {
				r.Observer.RetrySucceeded(n)
			}
			return nil
		}
		if !isRetryable(err) {
			return err
		}
		class, code := failureClass(err)
		r.Observer.RetryAttempt(class, code)
		if n >= r.MaxAttempts {
			r.Observer.RetryExhausted(class, code)
			return err
		}
		retried = class
		timer := time.NewTimer(r.backoff(n))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// backoff returns the wait after failure number n.
func (r Retry) backoff(n int) time.Duration {
	wait := r.InitialBackoff
	for ; n > 1 && wait < r.MaxBackoff; n-- {
		wait *= 2
	}
	return min(wait, r.MaxBackoff)
}
