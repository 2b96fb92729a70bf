package ginkgo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

// Bazel sends SIGTERM when the time is up or the user interrupts the run, and
// SIGKILL 15 s later. Counted from the signal:
const (
	graceOfNode  = 4 * time.Second  // for a running node to notice its cancelled context
	skipCleanup  = 5 * time.Second  // then no further cleanup nodes
	abandonSpecs = 9 * time.Second  // then Ginkgo is not waited for any more
	endOfAttest  = 10 * time.Second // then Attest ends, finished or not
	endOfHooks   = 13 * time.Second // then collecting and releasing end, finished or not
	endOfRunner  = 14 * time.Second // then the process that runs the specs is killed
)

// hookLimit bounds Collect, Release and what Exclusive returns where no timeout is nearer.
const hookLimit = time.Minute

var errTerminated = errors.New("terminated by signal")

// interruption watches for the first SIGTERM or SIGINT.
type interruption struct {
	signaled chan struct{} // closed by the first signal
	stop     func()

	mu sync.Mutex
	at time.Time
	by os.Signal
}

func watchInterruption() *interruption {
	i := &interruption{signaled: make(chan struct{})}
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	i.stop = func() {
		signal.Stop(signals)
		close(done)
	}
	go func() {
		select {
		case by := <-signals:
			i.mu.Lock()
			i.at, i.by = time.Now(), by
			i.mu.Unlock()
			close(i.signaled)
		case <-done:
		}
	}()
	return i
}

// signal is nil as long as there was none.
func (i *interruption) signal() os.Signal {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.by
}

// after returns a channel that is closed when delay has passed since the signal. The
// function frees it.
func (i *interruption) after(delay time.Duration) (<-chan struct{}, func()) {
	expired, done := make(chan struct{}), make(chan struct{})
	go func() {
		select {
		case <-i.signaled:
		case <-done:
			return
		}
		i.mu.Lock()
		timer := time.NewTimer(time.Until(i.at.Add(delay)))
		i.mu.Unlock()
		defer timer.Stop()
		select {
		case <-timer.C:
			close(expired)
		case <-done:
		}
	}()
	return expired, sync.OnceFunc(func() { close(done) })
}

// context ends at the deadline (unless that is zero) and delay after a signal.
func (i *interruption) context(deadline time.Time, delay time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	expired, free := i.after(delay)
	go func() {
		select {
		case <-expired:
			cancel(errTerminated)
		case <-ctx.Done():
		}
	}()
	stop := func() { free(); cancel(nil) }
	if deadline.IsZero() {
		return ctx, stop
	}
	limited, cancelLimit := context.WithDeadline(ctx, deadline)
	return limited, func() { cancelLimit(); stop() }
}

// patience is how long a hook may go on after the end of its context.
const patience = time.Second

// call runs a hook of the caller. A panic is an error, and so is a hook that
// ignores the end of its context: it is left behind.
func call(ctx context.Context, what string, hook func(context.Context) error) error {
	result := make(chan error, 1)
	go func() {
		defer func() {
			if e := recover(); e != nil {
				result <- fmt.Errorf("%s: panic: %v\n%s", what, e, debug.Stack())
			}
		}()
		result <- hook(ctx)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-result:
		return err
	case <-timer.C:
		return fmt.Errorf("%s: did not end with its context: %w", what, context.Cause(ctx))
	}
}

// escalate repeats the signal for Ginkgo, which then skips the cleanup nodes
// that are still to come. The function it returns calls it off.
func (i *interruption) escalate() func() {
	expired, free := i.after(skipCleanup)
	callOff := terminateAt(expired, func() {})
	return func() { free(); callOff() }
}

// terminateAt sends this process SIGTERM when the channel is closed, after it has
// called announce. The function it returns calls it off.
func terminateAt(moment <-chan struct{}, announce func()) func() {
	done := make(chan struct{})
	go func() {
		select {
		case <-moment:
			announce()
			_ = syscall.Kill(os.Getpid(), syscall.SIGTERM) // this process exists
		case <-done:
		}
	}()
	return func() { close(done) }
}
