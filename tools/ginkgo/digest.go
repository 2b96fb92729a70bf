package ginkgo

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// digestLines is the most that a failing run ends its log with.
const digestLines = 20

// digest returns a screenful: what failed, where, and how to run it again. The last
// line is the command.
func (r *run) digest() string {
	var bad []testCase // what the process died of, then what failed
	lost, total := 0, 0
	for _, c := range r.results.cases() {
		if c.isSpec() {
			total++
		}
		switch {
		case c.Kind == kindLost:
			lost++
		case c.Kind == kindProcess:
			bad = slices.Insert(bad, 0, c)
		case c.bad():
			bad = append(bad, c)
		}
	}
	head := "--- FAILED: " + r.title()
	if r.results.blamed() != nil {
		head = "--- INFRASTRUCTURE FAILURE, no verdict on the code: " + r.title()
	}
	switch failed := len(specsIn(bad)); {
	case total == 0:
	case failed == 0 && r.results.nothingRan():
		head += fmt.Sprintf(": none of %d specs ran", total)
	default:
		head += fmt.Sprintf(": %d of %d specs", failed, total)
		if lost > 0 {
			head += fmt.Sprintf(", %d more never began", lost)
		}
	}

	tail := []string{}
	if r.bazel.outputsDir != "" {
		where := "test.outputs, beside this log"
		if r.bazel.target != "" {
			where = filepath.Join("bazel-testlogs", r.bazel.logsFolder(), "test.outputs")
		}
		tail = append(tail, "artifacts: "+where)
	}
	tail = append(tail, "run again: "+r.rerunCommand(bad))

	body := []string{}
	room := digestLines - 1 - len(tail)
	for i, c := range bad {
		left := len(bad) - i
		lines := firstLines(c.Message, max(1, min(10, room/left-1)), 400)
		block := []string{"  " + oneLine(c.Name)}
		if c.At.File != "" {
			block = []string{"  " + c.At.location() + " " + oneLine(c.Name)}
		}
		for _, line := range lines {
			block = append(block, "      "+line)
		}
		reserved := 0
		if left > 1 {
			reserved = 1
		}
		if len(block)+reserved > room {
			body = append(body, fmt.Sprintf("  and %d more", left))
			break
		}
		room -= len(block)
		body = append(body, block...)
	}
	return strings.Join(append(append([]string{head}, body...), tail...), "\n") + "\n"
}

func specsIn(cases []testCase) []spec {
	var specs []spec
	for _, c := range cases {
		if c.isSpec() {
			specs = append(specs, c.Spec)
		}
	}
	return specs
}

// manySpecs is how many specs a filter names at most. A longer one can't be read.
const manySpecs = 5

// rerunCommand runs the failed specs again, and only them: unsharded, since
// every shard but theirs would have nothing to do. If a process died, that is
// the spec that it died in.
func (r *run) rerunCommand(bad []testCase) string {
	specs := specsIn(bad)
	blameless := slices.ContainsFunc(bad, func(c testCase) bool { return !c.isSpec() && c.Kind != kindProcess })
	whole := len(specs) == 0 || len(specs) > manySpecs || blameless // no spec alone to blame
	if r.bazel.target == "" {
		command := "go test"
		if !whole {
			command += " -run " + shellQuote(rerunFilter(specs))
		}
		command += fmt.Sprintf(" -ginkgo.seed=%d", r.suite.RandomSeed)
		if r.suite.RandomizeAllSpecs {
			command += " -ginkgo.randomize-all"
		}
		return command
	}
	verb := " test "
	if os.Getenv("COVERAGE_DIR") != "" { // another build, of which coverage is a part
		verb = " coverage "
	}
	command := r.options.Bazel + verb + shellWord(r.bazel.target)
	if !whole {
		command += " --test_filter=" + shellQuote(rerunFilter(specs)) + " --test_sharding_strategy=disabled"
	}
	if r.suite.RandomSeed != defaultSeed {
		command += fmt.Sprintf(" --test_arg=-ginkgo.seed=%d", r.suite.RandomSeed)
	}
	if r.suite.RandomizeAllSpecs { // also what -test.shuffle comes to
		command += " --test_arg=-ginkgo.randomize-all"
	}
	return command
}
