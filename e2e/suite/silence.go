package suite

import (
	"context"
	"time"

	"github.com/onsi/ginkgo/v2"
)

// Silence lets that much time pass without a signal. It is for specs about the effect
// of silence. A spec that waits for something uses Eventually.
func Silence(ctx context.Context, length time.Duration) {
	ginkgo.GinkgoHelper()
	if !sleepUntil(ctx, time.Now().Add(length)) {
		ginkgo.Fail("the spec ended during a silence of " + length.String())
	}
}

// Pace keeps an interval between the beginnings of a spec's actions, such as sending an
// alert. How long an action takes does not matter. The zero value is not ready: see
// NewPace.
type Pace struct {
	interval time.Duration
	last     time.Time
}

// NewPace returns a Pace whose first action begins now.
func NewPace(interval time.Duration) *Pace { return &Pace{interval: interval, last: time.Now()} }

// Wait returns one interval after the return of the last Wait, or at once if that
// time is over.
func (p *Pace) Wait(ctx context.Context) {
	ginkgo.GinkgoHelper()
	if !sleepUntil(ctx, p.last.Add(p.interval)) {
		ginkgo.Fail("the spec ended between two steps " + p.interval.String() + " apart")
	}
	p.last = time.Now()
}

// sleepUntil reports whether it slept to the end.
func sleepUntil(ctx context.Context, end time.Time) bool {
	select {
	case <-time.After(time.Until(end)):
		return true
	case <-ctx.Done():
		return false
	}
}
