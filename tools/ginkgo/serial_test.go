package ginkgo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onsi/ginkgo/v2"
)

// Nothing keeps the specs of two shards apart, so Serial would be a word only.
func TestSerialAmongShardsNeedsExclusive(t *testing.T) {
	o := shard{sample: "serial", index: 1, total: 2}.run(t)
	wantExit(t, o, ExitFailure)
	wantLog(t, o, "these specs are Serial", "samples_serial_test.go:", "a storm begins", "shard_count = 1", "Options.Exclusive")
	if len(o.trace) > 0 {
		t.Errorf("ran %q", o.trace)
	}
	alone := shard{sample: "serial", total: 1}.run(t)
	wantExit(t, alone, 0)
	if want := []string{"calm reigns", "a storm begins", "after each", "a storm ends", "after each"}; !slices.Equal(alone.trace, want) {
		t.Errorf("ran %q, want %q: Serial specs come last", alone.trace, want)
	}
}

// The environment is taken before the first node of a container that has Serial specs
// and shared after its last, whatever becomes of its specs.
func TestSerialSpecsAreAlone(t *testing.T) {
	for _, c := range []struct {
		name  string
		shard shard
		exit  int
		want  string // events
		times string
	}{
		{"in order", shard{sample: "exclusive"}, 0,
			"calm reigns, alone, mixed is free, is Serial, shared, alone, before all, repair begins, retried, after all, shared", "2"},
		{"tables", shard{sample: "exclusive table"}, 0, "alone, breeze, gale, shared, alone, Kyrill, Lothar, shared", "2"},
		{"one spec", shard{sample: "exclusive", filter: "is Serial"}, 0, "alone, is Serial, shared", "1"},
		{"other specs", shard{sample: "exclusive", filter: "calm"}, 0, "calm reigns", ""},
		{"pending", shard{sample: "exclusive and skipped"}, 0, "calm reigns", ""},
		{"failing", shard{sample: "exclusive and failing"}, ExitFailure, "alone, shared", "1"},
		// What is shared may be replaced, and with it what says why the spec failed.
		{"failing, saved", shard{sample: "exclusive, failing and saved"}, ExitFailure,
			"alone, saved, shared, alone, another works, shared, saved", "2"},
		{"after the wait", shard{sample: "exclusive takes long"}, 0, "", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := c.shard.run(t)
			wantExit(t, o, c.exit)
			if got := strings.Join(o.trace, ", "); got != c.want {
				t.Errorf("events: %s\nwant:   %s\n%s", got, c.want, o.log)
			}
			if got := o.property(exclusiveTimesProperty); got != c.times {
				t.Errorf("property %s: %q, want %q", exclusiveTimesProperty, got, c.times)
			}
			if c.times != "" {
				wantLog(t, o, "alone with the environment after ")
			}
		})
	}
	// In random order the specs of the containers are mixed: what is not Serial may run
	// only while the environment is shared.
	t.Run("random order", func(t *testing.T) {
		t.Parallel()
		o := shard{sample: "exclusive", args: []string{"-ginkgo.randomize-all", "-ginkgo.seed=3"}}.run(t)
		wantExit(t, o, 0)
		alone := false
		for _, event := range o.trace {
			switch event {
			case "alone", "shared":
				if alone == (event == "alone") {
					t.Errorf("%s twice: %q", event, o.trace)
				}
				alone = event == "alone"
			case "calm reigns":
				if alone {
					t.Errorf("a spec that is not Serial ran alone: %q", o.trace)
				}
			default:
				if !alone {
					t.Errorf("%s ran among others: %q", event, o.trace)
				}
			}
		}
		if alone {
			t.Errorf("never shared again: %q", o.trace)
		}
	})
}

// A Serial spec that can't be alone does not run, and others do.
func TestSerialSpecsThatCannotBeAloneFail(t *testing.T) {
	for _, c := range []struct {
		sample, kind, message string
		exit                  int
		trace                 string
	}{
		{"not exclusive", kindExclusive, "the others don't go away", ExitFailure, "calm reigns, refused"},
		{"exclusive skips", kindExclusive, "panic: ", ExitFailure, "calm reigns, after each"},
		{"not exclusive, no verdict", kindInfrastructure, "the server is gone", ExitInfrastructure, "calm reigns, refused"},
		{"exclusive panics", kindExclusive, "panic: no way in", ExitFailure, "calm reigns"},
	} {
		t.Run(c.sample, func(t *testing.T) {
			t.Parallel()
			o := shard{sample: c.sample}.run(t)
			wantExit(t, o, c.exit)
			wantLog(t, o, c.message, "2 of 3 specs")
			if got := strings.Join(o.trace, ", "); got != c.trace {
				t.Errorf("events: %s, want %s", got, c.trace)
			}
			for _, name := range []string{"a storm begins", "a storm ends"} {
				one := o.testCase(t, name)
				problem := one.Failure
				if c.kind == kindInfrastructure {
					problem = one.Error
				}
				if problem == nil || problem.Type != c.kind || !strings.Contains(problem.Message, c.message) {
					t.Errorf("test case: %+v", one)
				}
			}
		})
	}
	t.Run("the process ends", func(t *testing.T) {
		t.Parallel()
		o := shard{sample: "exclusive exits"}.run(t)
		wantExit(t, o, ExitFailure)
		if one := o.testCase(t, "a storm begins"); one.Error == nil || one.Error.Type != kindCutShort {
			t.Errorf("test case: %+v", one)
		}
	})
	t.Run("it stays taken", func(t *testing.T) {
		t.Parallel()
		o := shard{sample: "not shared again"}.run(t)
		wantExit(t, o, ExitFailure)
		if one := o.testCase(t, "["+kindExclusive+"]"); one.Error == nil || one.Error.Message != "can't let go" {
			t.Errorf("test case: %+v", one)
		}
	})
	t.Run("the time is up", func(t *testing.T) {
		t.Parallel()
		o := shard{sample: "exclusive hangs", environment: []string{"TEST_TIMEOUT=24"}}.run(t)
		wantExit(t, o, ExitFailure)
		if got, want := strings.Join(o.trace, ", "), "set up, waiting, collect, release"; got != want {
			t.Errorf("events: %s, want %s\n%s", got, want, o.log)
		}
		if one := o.testCase(t, "a storm begins"); one.Failure == nil || one.Failure.Type != kindExclusive {
			t.Errorf("test case: %+v", one)
		}
	})
	t.Run("it hangs", func(t *testing.T) {
		t.Parallel()
		p := shard{sample: "exclusive hangs", total: 1}.start(t, "waiting")
		if err := syscall.Kill(-p.Process.Pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(15*time.Second, func() { _ = p.Process.Kill() })
		defer kill.Stop()
		o := p.end(t)
		wantExit(t, o, ExitFailure)
		if got, want := strings.Join(o.trace, ", "), "set up, waiting, collect, release"; got != want {
			t.Errorf("events: %s, want %s\n%s", got, want, o.log)
		}
	})
}

// An Exclusive that ignores the end of its context must not keep others away from the
// environment for the rest of the run.
func TestSolitudeThatComesTooLateIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		come, shared, calls := make(chan struct{}), make(chan error), 0
		s := newSolitude([]spec{{Text: "a", Unit: "unit", Serial: true}}, func(context.Context) (func(context.Context) error, error) {
			calls++
			<-come
			return func(ctx context.Context) error {
				shared <- ctx.Err()
				return nil
			}, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 2 {
			if err, lost := s.before(ctx, ginkgo.SpecReport{LeafNodeText: "a"}); !errors.Is(err, context.DeadlineExceeded) || lost != nil {
				t.Errorf("errors %v and %v", err, lost)
			}
		}
		if calls != 1 {
			t.Errorf("asked %d times for what can't be had", calls)
		}
		close(come)
		if err := <-shared; err != nil {
			t.Errorf("shared in a context that has ended: %v", err)
		}
		if holder := s.holder(); holder != "" {
			t.Errorf("held by %q", holder)
		}
	})
}

// Shards are told apart where Ginkgo's documentation says to look, wherever code of the
// suite looks. Each shard is a process 1 of its own in all other respects.
func TestShardIsTheParallelProcess(t *testing.T) {
	for _, c := range []struct{ index, total int }{{0, 0}, {0, 2}, {1, 2}} {
		t.Run(fmt.Sprintf("shard %d of %d", c.index+1, c.total), func(t *testing.T) {
			t.Parallel()
			o := shard{sample: "numbered", index: c.index, total: c.total, environment: []string{"TEST_RUN_NUMBER=3", "TEST_RANDOM_SEED=3"}}.run(t)
			wantExit(t, o, 0)
			var want []string
			for _, where := range []string{"set up", "tree", "tree", "report before suite", "first", "every process with data", "spec", "spec", "after", "last", "report after suite"} {
				want = append(want, fmt.Sprintf("%s: %d and %d of %d", where, c.index+1, c.index+1, max(c.total, 1)))
			}
			if c.total == 2 {
				want = slices.Delete(want, 6, 7) // the other shard's
			}
			if !slices.Equal(o.trace, want) {
				t.Errorf("got  %q\nwant %q", o.trace, want)
			}
		})
	}
}
