package suite

import (
	"context"
	"time"

	"github.com/onsi/ginkgo/v2"
)

// Silence lets that much time pass without a signal. It is for specs that are
// about what silence does; whoever waits for something asks for it (Eventually).
func Silence(ctx context.Context, length time.Duration) {
	ginkgo.GinkgoHelper()
	if !sleepUntil(ctx, time.Now().Add(length)) {
		ginkgo.Fail("the spec ended during a silence of " + length.String())
	}
}

// Pace spaces the beginnings of what a spec does, such as to send an alert,
// however long each takes. The zero value is not ready: see NewPace.
type Pace struct {
	interval time.Duration
	last     time.Time
}

// NewPace begins with the first thing that is done, now.
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
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
