package outcome

import (
	"regexp"
	"slices"
	"testing"

	"stormgate.internal/tools/report/runs"
)

const target = "//e2e:storm_test"

// shard is a run's only one, with a failure for each bad case.
func shard(number int, status string, verdict runs.Verdict, cases ...*runs.Case) *runs.Shard {
	return &runs.Shard{Target: target, Shard: 1, Of: 1, Run: number, Attempt: 1, Final: true, Status: status, Verdict: verdict, Cases: cases}
}

func spec(name string, verdict runs.Verdict) *runs.Case {
	return &runs.Case{Name: name, Spec: true, Verdict: verdict}
}

func runOf(shards ...*runs.Shard) *runs.Run {
	r := &runs.Run{Shards: shards}
	for _, s := range shards {
		for _, c := range s.Cases {
			if c.Verdict.Bad() {
				r.Failures = append(r.Failures, &runs.Failure{Shard: s, Case: c, First: c.Name + " broke", Message: c.Name + " broke\nfor good"})
			}
		}
	}
	return r
}

// Promise: what a run says of a spec is by its verdict; what it ran on, and what has no such
// spec, are told apart from it.
func TestOf(t *testing.T) {
	cached := shard(1, "PASSED", runs.Passed, spec("a", runs.Passed))
	cached.Cached = "action cache"
	other := shard(1, "FAILED", runs.Product, spec("a", runs.Product))
	other.Target = "//e2e:other_test"
	for name, test := range map[string]struct {
		shards []*runs.Shard
		spec   Spec
		want   []One
		cached int
	}{
		"passes and failures in the order of their numbers": {[]*runs.Shard{
			shard(2, "FAILED", runs.Product, spec("a", runs.Product), spec("b", runs.Passed)), shard(1, "PASSED", runs.Passed, spec("a", runs.Passed)), other,
		}, Spec{Target: target, Name: "a"}, []One{{Passed, ""}, {Failed, "a broke"}}, 0},
		"another spec of a failing shard": {[]*runs.Shard{shard(1, "FAILED", runs.Product, spec("a", runs.Product), spec("b", runs.Passed))},
			Spec{Target: target, Name: "b"}, []One{{Passed, ""}}, 0},
		"the process died": {[]*runs.Shard{shard(1, "FAILED", runs.Test, spec("a", runs.Test))},
			Spec{Target: target, Name: "a"}, []One{{Failed, "a broke"}}, 0},
		"infrastructure": {[]*runs.Shard{shard(1, "FAILED", runs.Infrastructure, &runs.Case{Name: "prepare", Verdict: runs.Infrastructure})},
			Spec{Target: target, Name: "a"}, []One{{Blank, "infrastructure: prepare broke"}}, 0},
		"a pass in a changed environment": {[]*runs.Shard{shard(1, "FAILED", runs.Environment, spec("a", runs.Passed), &runs.Case{Name: "attest", Verdict: runs.Environment})},
			Spec{Target: target, Name: "a"}, []One{{Blank, "changed environment: attest broke"}}, 0},
		"a signal": {[]*runs.Shard{shard(1, "INCOMPLETE", runs.Interrupted)},
			Spec{Target: target, Name: "a"}, []One{{Blank, "interrupted: Bazel says INCOMPLETE"}}, 0},
		"no such spec": {[]*runs.Shard{shard(1, "PASSED", runs.Passed, spec("b", runs.Passed))},
			Spec{Target: target, Name: "a"}, []One{{Missing, target + " has no test case of this name"}}, 0},
		"a skipped spec": {[]*runs.Shard{shard(1, "PASSED", runs.Passed, spec("a", runs.Skipped))},
			Spec{Target: target, Name: "a"}, []One{{Missing, target + " has no test case of this name"}}, 0},
		"nothing matches the filter": {[]*runs.Shard{shard(1, "FAILED", runs.Test, &runs.Case{Name: "select specs", Verdict: runs.Test})},
			Spec{Target: target, Name: "a"}, []One{{Missing, "select specs broke"}}, 0},
		"the message that is looked for": {[]*runs.Shard{shard(1, "FAILED", runs.Product, spec("a", runs.Product))},
			Spec{Target: target, Name: "a", Message: regexp.MustCompile("for good")}, []One{{Failed, "a broke"}}, 0},
		"another message": {[]*runs.Shard{shard(1, "FAILED", runs.Product, spec("a", runs.Product))},
			Spec{Target: target, Name: "a", Message: regexp.MustCompile("timeout")}, []One{{Missing, "it fails with another message: a broke"}}, 0},
		"cached":         {[]*runs.Shard{cached}, Spec{Target: target, Name: "a"}, nil, 1},
		"whole, passes":  {[]*runs.Shard{shard(1, "PASSED", runs.Passed)}, Spec{Target: target}, []One{{Passed, ""}}, 0},
		"whole, fails":   {[]*runs.Shard{shard(1, "FAILED", runs.Product, spec("a", runs.Product))}, Spec{Target: target}, []One{{Failed, "a broke"}}, 0},
		"whole, timeout": {[]*runs.Shard{shard(1, "TIMEOUT", runs.Unknown)}, Spec{Target: target}, []One{{Failed, "Bazel says TIMEOUT"}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, cached := Of(runOf(test.shards...), test.spec)
			if !slices.Equal(got, test.want) || cached != test.cached {
				t.Errorf("%q, %d cached; want %q, %d", got, cached, test.want, test.cached)
			}
		})
	}
}

// Promise: shards of one run are one outcome: the one that has the spec, or the first that
// fails of a whole test.
func TestOfShards(t *testing.T) {
	first, second := shard(1, "FAILED", runs.Product, spec("b", runs.Product)), shard(1, "PASSED", runs.Passed, spec("a", runs.Passed))
	r := runOf(first, second)
	if got, _ := Of(r, Spec{Target: target, Name: "a"}); !slices.Equal(got, []One{{Passed, ""}}) {
		t.Errorf("spec: %q", got)
	}
	if got, _ := Of(r, Spec{Target: target}); !slices.Equal(got, []One{{Failed, "b broke"}}) {
		t.Errorf("whole: %q", got)
	}
}

// Promise: a test without specs has a row of its own, and one with specs has not; what Bazel
// calls failed counts also where nothing says why.
func TestRecord(t *testing.T) {
	plain := shard(1, "TIMEOUT", runs.Unknown)
	plain.Target = "//pkg:plain_test"
	record := Record(runOf(shard(1, "PASSED", runs.Passed, spec("a", runs.Passed)), plain))
	want := []runs.Spec{{Target: target, Name: "a", Verdict: "passed"}, {Target: "//pkg:plain_test", Verdict: "test"}}
	if !slices.Equal(record.Specs, want) {
		t.Errorf("%+v", record.Specs)
	}
}

// Promise: a filter selects one spec or Go test, and nothing that begins like it.
func TestFilter(t *testing.T) {
	for name, want := range map[string]string{
		"":                      "",
		"A storm (x) ends":      `^A storm \(x\) ends$`,
		"TestLease":             "^TestLease$",
		"TestLease/a.b":         `^TestLease$/^a\.b$`,
		"Test of the whole way": "^Test of the whole way$",
	} {
		if got := (Spec{Name: name}).Filter(); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
