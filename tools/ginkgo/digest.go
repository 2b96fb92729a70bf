package bridge

import (
	"fmt"
	"strings"
)

// digestLines is the most that a failing run ends its log with.
const digestLines = 20

// digest says in a screenful what failed, where, and how to run it again. Its
// last line is the command.
func (r *run) digest() string {
	var bad []testCase
	total := 0
	for _, c := range r.results.cases() {
		if c.spec.Text != "" {
			total++
		}
		if c.bad() {
			bad = append(bad, c)
		}
	}
	head := fmt.Sprintf("--- FAILED: %s", r.title())
	if r.infrastructure {
		head = fmt.Sprintf("--- INFRASTRUCTURE FAILURE, no verdict on the code: %s", r.title())
	}
	if total > 0 {
		head += fmt.Sprintf(": %d of %d specs", len(specsIn(bad)), total)
	}

	tail := []string{}
	if r.bazel.outputsDir != "" {
		tail = append(tail, "artifacts: test.outputs, beside this log")
	}
	if command := r.rerunCommand(bad); command != "" {
		tail = append(tail, "run again: "+command)
	}

	body := []string{}
	room := digestLines - 1 - len(tail)
	for i, c := range bad {
		left := len(bad) - i
		lines := firstLines(c.message, max(1, min(10, room/left-1)), 160)
		block := []string{"  " + printable(c.name)}
		if c.at.File != "" {
			block = []string{"  " + c.at.location() + " " + printable(c.name)}
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
		if c.spec.Text != "" {
			specs = append(specs, c.spec)
		}
	}
	return specs
}

// manySpecs is from where on a filter that names each spec helps nobody.
const manySpecs = 5

// rerunCommand runs the failed specs again, and only them: unsharded, since
// every shard but theirs would have nothing to do.
func (r *run) rerunCommand(bad []testCase) string {
	specs := specsIn(bad)
	whole := len(specs) == 0 || len(specs) > manySpecs || len(specs) < len(bad) // no spec alone to blame
	if r.bazel.target == "" {
		if whole {
			return "go test"
		}
		return "go test -run " + shellQuote(rerunFilter(specs))
	}
	command := r.options.Bazel + " test " + r.bazel.target
	if whole {
		return command
	}
	return command + " --test_filter=" + shellQuote(rerunFilter(specs)) + " --test_sharding_strategy=disabled"
}
