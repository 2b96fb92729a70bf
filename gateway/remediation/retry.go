package remediation

import (
	"context"
	"time"

	"stormgate.internal/gateway/metrics"
)

// Retry repeats what failed for reasons that pass. It counts each failure that may be
// retried, the last one if it gives up, an attempt after the first that succeeds, and
// the time that all attempts took together.
type Retry struct {
	// MaxAttempts is at least 1.
	MaxAttempts int
	// InitialBackoff is the wait before the second attempt. It doubles from then
	// on, up to MaxBackoff.
	InitialBackoff, MaxBackoff time.Duration
	// Metrics are required.
	Metrics *metrics.Metrics
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
			r.Metrics.RetryDuration(retried, time.Since(start))
		}
	}()
	for n := 1; ; n++ {
		err := attempt(ctx)
		if err == nil {
			if n > 1 {
				r.Metrics.RetrySucceeded(n)
			}
			return nil
		}
		if !isRetryable(err) {
			return err
		}
		class, code := failureClass(err)
		r.Metrics.RetryAttempt(class, code)
		if n >= r.MaxAttempts {
			r.Metrics.RetryExhausted(class, code)
			return err
		}
		retried = class
		select {
		case <-time.After(r.backoff(n)):
		case <-ctx.Done():
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
