package ginkgo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// afterOthers is the priority of Serial nodes. Ginkgo runs them last only in its own
// parallel mode, which a shard is not (see number.go).
const afterOthers = ginkgo.SpecPriority(math.MinInt32)

func init() { ginkgo.AddTreeConstructionNodeArgsTransformer(serialLast) }

// serialLast adds the priority to a node that is Serial and has none.
func serialLast(kind types.NodeType, _ ginkgo.Offset, text string, args []any) (string, []any, []error) {
	if kind.Is(types.NodeTypesForContainerAndIt) && slices.Contains(args, any(ginkgo.Serial)) {
		hasOwn := slices.ContainsFunc(args, func(arg any) bool { _, is := arg.(ginkgo.SpecPriority); return is })
		if !hasOwn {
			args = append(slices.Clone(args), afterOthers)
		}
	}
	return text, args, nil
}

// refuseSerial complains about Serial specs that nothing keeps apart from the specs of
// other shards. Before Setup, which may lend what can, it is only certain without one.
func (r *run) refuseSerial(all []spec) error {
	if r.bazel.shards == 1 || r.options.Exclusive != nil || r.options.Setup != nil && !r.ready {
		return nil
	}
	var serial []string
	for _, s := range all {
		if s.Serial && !s.Pending {
			serial = append(serial, s.Leaf.location()+" "+oneLine(s.Text))
		}
	}
	if len(serial) == 0 {
		return nil
	}
	if len(serial) > 5 {
		serial = append(serial[:5], fmt.Sprintf("and %d more", len(serial)-5))
	}
	return fmt.Errorf("these specs are Serial, and the other shards would run at the same time; set shard_count = 1, or set Options.Exclusive to what keeps others away:\n  %s",
		strings.Join(serial, "\n  "))
}

// Properties of test.xml about the time alone with the environment.
const (
	exclusiveTimesProperty = "exclusive.times"   // how often it was taken
	exclusiveWaitProperty  = "exclusive.seconds" // how long that took in all
)

// solitude keeps others away from the environment while specs of a unit run that is
// Serial or contains a Serial spec.
type solitude struct {
	take     func(context.Context) (func(context.Context) error, error)
	announce func(spec string, waited time.Duration)
	// save keeps what tells of the environment: it may be replaced when it is shared.
	save func()

	units map[string]string // text of a spec -> its unit
	alone map[string]bool   // units that need it
	left  map[string]int    // specs of a unit that have not ended

	mu     sync.Mutex
	held   string // a unit, or empty
	broken bool   // a spec of it has failed
	share  func(context.Context) error
	failed map[string]error // units that did not get it
	times  int
	waited time.Duration
}

func newSolitude(specs []spec, take func(context.Context) (func(context.Context) error, error)) *solitude {
	s := &solitude{take: take, units: map[string]string{}, alone: map[string]bool{}, left: map[string]int{}, failed: map[string]error{}}
	for _, one := range specs {
		s.units[one.Text] = one.Unit
		s.left[one.Unit]++
		s.alone[one.Unit] = s.alone[one.Unit] || one.Serial && !one.Pending
	}
	return s
}

// before is called before each spec. It returns when the spec may run. lost is an error of
// what the unit before gave back.
func (s *solitude) before(ctx context.Context, report types.SpecReport) (err, lost error) {
	unit, mine := s.units[report.FullText()]
	if !mine || report.State.Is(types.SpecStateSkipped|types.SpecStatePending) {
		return nil, nil
	}
	if s.holder() != unit {
		lost = s.giveBack(ctx) // in random order the units' specs are mixed
	}
	if !s.alone[unit] || s.holder() == unit {
		return nil, lost
	}
	s.mu.Lock()
	err = s.failed[unit]
	s.mu.Unlock()
	if err != nil {
		return err, lost
	}
	began := time.Now()
	err = s.acquire(ctx, unit)
	waited := time.Since(began)
	s.mu.Lock()
	s.times, s.waited = s.times+1, s.waited+waited
	if err != nil {
		s.failed[unit] = err
	}
	s.mu.Unlock()
	if err == nil {
		s.announce(report.FullText(), waited)
	}
	return err, lost
}

// after is called after each spec and its cleanup.
func (s *solitude) after(ctx context.Context, report types.SpecReport) error {
	unit, mine := s.units[report.FullText()]
	if !mine {
		return nil
	}
	s.mu.Lock()
	s.broken = s.broken || s.held == unit && report.Failed()
	s.mu.Unlock()
	if s.left[unit]--; s.left[unit] > 0 || s.holder() != unit {
		return nil
	}
	return s.giveBack(ctx)
}

func (s *solitude) holder() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// acquire calls take. A call that goes on after its context has ended is left behind, and
// what it gets in the end is given back.
func (s *solitude) acquire(ctx context.Context, unit string) error {
	var mu sync.Mutex
	var got func(context.Context) error
	over := false // nobody waits any more
	err := call(ctx, "be alone with the environment", func(ctx context.Context) error {
		share, err := s.take(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		got = share
		tooLate := over
		mu.Unlock()
		if tooLate && share != nil {
			return share(context.WithoutCancel(ctx))
		}
		return nil
	})
	mu.Lock()
	over = true
	share := got
	mu.Unlock()
	if err != nil && share == nil {
		return err
	}
	s.mu.Lock()
	s.held, s.share = unit, share
	s.mu.Unlock()
	if err != nil { // call gave up at the moment at which take returned
		return errors.Join(err, s.giveBack(context.WithoutCancel(ctx)))
	}
	return nil
}

// giveBack does nothing if nothing is held.
func (s *solitude) giveBack(ctx context.Context) error {
	s.mu.Lock()
	share, broken := s.share, s.broken
	s.held, s.share, s.broken = "", nil, false
	s.mu.Unlock()
	if share == nil {
		return nil
	}
	if broken && s.save != nil {
		s.save()
	}
	ctx, cancel := context.WithTimeout(ctx, hookLimit)
	defer cancel()
	return call(ctx, "share the environment", share)
}

// properties are empty if it was never taken.
func (s *solitude) properties() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.times == 0 {
		return nil
	}
	return map[string]string{exclusiveTimesProperty: fmt.Sprint(s.times), exclusiveWaitProperty: seconds(s.waited)}
}
