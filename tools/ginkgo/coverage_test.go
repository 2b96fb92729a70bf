package ginkgo

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The profile is written once, by the process that ran the specs, after the specs and
// with any verdict. It is written only if the flags ask for it.
func TestCoverage(t *testing.T) {
	const written = `coverage to c.out of tests ^$ and benchmarks ^$, skipping "", logging to ""`
	profile := []string{"-test.coverprofile=c.out"}
	for name, test := range map[string]struct {
		shard shard
		exit  int
		trace []string
		log   []string
	}{
		"passed": {shard{sample: "covered", args: profile}, 0,
			[]string{"covered runs", written}, []string{"coverage: 42.0% of statements"}},
		"failed": {shard{sample: "covered", args: profile, environment: []string{"BRIDGE_FAIL=1"}}, ExitFailure,
			[]string{"covered runs", written}, []string{"coverage: 42.0% of statements", "broken"}},
		// cmd/go caches a run that has written its log of files, which Run would begin
		// after the specs.
		"cacheable": {shard{sample: "covered", args: append([]string{"-test.testlogfile=" + filepath.Join(t.TempDir(), "log")}, profile...)}, 0,
			[]string{"covered runs", written}, []string{"coverage: 42.0% of statements"}},
		// rules_go sets -test.skip from pieces of a filter; these it takes apart at the comma.
		"with a piece of a filter": {shard{sample: "covered", filter: "[x,-~(]|runs", args: append([]string{"-test.skip=~(]|runs"}, profile...)}, 0,
			[]string{"covered runs", written}, []string{"coverage: 42.0% of statements"}},
		"no profile wanted": {shard{sample: "covered"}, 0, []string{"covered runs"}, nil},
		"not built for it":  {shard{sample: "covered, not asked", args: profile}, 0, []string{"covered runs"}, nil},
		"not written": {shard{sample: "covered in vain", args: profile}, ExitFailure,
			[]string{"covered runs", written}, []string{"write c.out: testing.M's Run returned 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.shard.run(t)
			if got.exit != test.exit || !slices.Equal(got.trace, test.trace) {
				t.Errorf("exit %d, trace %q, want %d, %q", got.exit, got.trace, test.exit, test.trace)
			}
			for _, want := range test.log {
				if !strings.Contains(got.log, want) {
					t.Errorf("the log lacks %q:\n%s", want, got.log)
				}
			}
			if strings.Contains(got.log, "PASS\n") || len(test.log) == 0 && strings.Contains(got.log, "coverage:") {
				t.Errorf("the log has what Run prints about tests:\n%s", got.log)
			}
		})
	}
}

// Under "bazel coverage" rules_go's main would give samples the profile of this
// test.
func TestSamplesKnowNothingOfCoverage(t *testing.T) {
	t.Setenv("COVERAGE_OUTPUT_FILE", "coverage.dat")
	command, _, _ := shard{sample: "covered"}.prepare(t)
	if slices.ContainsFunc(command.Env, func(entry string) bool { return strings.HasPrefix(entry, "COVERAGE") }) {
		t.Errorf("environment of a sample: %q", command.Env)
	}
}
