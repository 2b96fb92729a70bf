// Package agent gives out the coverage of the program that links it. Its import alone
// does that, if live.Variable is set; the macro covered_go_binary adds one:
//
//	import _ "stormgate.internal/tools/coverage/agent"
package agent

import (
	"bytes"
	"fmt"
	"os"
	"runtime/coverage"

	"stormgate.internal/tools/coverage/live"
)

func init() {
	value := os.Getenv(live.Variable)
	if value == "" {
		return
	}
	// Not fatal: the program under test must not depend on being measured. Who collects
	// can't connect then, and says so.
	complain := func(err error) { fmt.Fprintln(os.Stderr, "coverage:", err) }
	if _, err := live.Serve(value, take, complain); err != nil {
		complain(err)
	}
}

func take() live.Snapshot {
	var meta, counters bytes.Buffer
	if err := coverage.WriteMeta(&meta); err != nil {
		return live.Snapshot{Error: err.Error()} // it was not built with coverage
	}
	if err := coverage.WriteCounters(&counters); err != nil {
		return live.Snapshot{Error: err.Error()}
	}
	return live.Snapshot{Meta: meta.Bytes(), Counters: counters.Bytes()}
}
