package testbed

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"stormgate.internal/tools/coverage/collect"
	"stormgate.internal/tools/coverage/live"
)

// coverageLimit is how long a gateway may take to give out its coverage, on a machine with
// much else to do.
const coverageLimit = 20 * time.Second

// lost are the reasons why the coverage of this process lacks something.
var lost struct {
	sync.Mutex
	errs []error
}

// CoverageError returns why the test's coverage lacks something of gateways that it ran,
// or nil. There is nothing to lack but under `bazel coverage`.
func CoverageError() error {
	lost.Lock()
	defer lost.Unlock()
	return errors.Join(lost.errs...)
}

// coverageEnv makes a gateway's process give out its coverage, if that is wanted.
func (g *Gateway) coverageEnv() []string {
	if !collect.Wanted() {
		return nil
	}
	return []string{
		live.Variable + "=" + g.coverageAddress(),
		// Else rules_go would count a gateway that ends by itself a second time.
		collect.DirVariable + "=",
	}
}

func (g *Gateway) coverageAddress() string {
	return "unix:" + filepath.Join(g.dir, fmt.Sprintf("coverage.%d", g.count))
}

// measure adds what the gateway has executed to the test's coverage, before it is killed:
// afterwards nobody knows. One that has ended by itself is not counted.
func (g *Gateway) measure() {
	if !collect.Wanted() {
		return
	}
	select {
	case <-g.exited:
		return
	default:
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), coverageLimit, fmt.Errorf("no answer in %v", coverageLimit))
	defer cancel()
	err := func() error {
		s, err := g.ask(ctx)
		if err != nil || s.Process == "" || s.Uninstrumented != "" {
			return err
		}
		collector, err := collect.New()
		if err != nil {
			return err
		}
		_, err = collector.Add(fmt.Sprintf("%s %d", g.o.Name, g.PID()), s)
		return err
	}()
	if err != nil {
		lost.Lock()
		defer lost.Unlock()
		lost.errs = append(lost.errs, fmt.Errorf("coverage of %s: %w", g.o.Name, err))
	}
}

// ask asks again until there is an answer, ctx ends or the gateway does: then the snapshot
// is empty.
func (g *Gateway) ask(ctx context.Context) (live.Snapshot, error) {
	for {
		s, err := live.Ask(ctx, g.coverageAddress())
		if _, refused := errors.AsType[*live.Refused](err); err == nil || refused {
			return s, err
		}
		select {
		case <-g.exited:
			return live.Snapshot{}, nil
		case <-ctx.Done():
			return live.Snapshot{}, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Kill ends the process with SIGKILL, if it has not ended, and waits.
func (g *Gateway) Kill() {
	g.measure()
	g.Process.Kill()
}
