// Package agent gives out the coverage of the program that links it. The macro
// covered_go_binary adds a file to the program that calls Serve.
package agent

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"runtime/coverage"
	"sync"

	"stormgate.internal/tools/coverage/live"
)

// Serve answers requests of coverage, if live.Variable is set, until the process ends.
// Sources are what rules_go has registered (SrcPathMapping of its package coverdata): the
// path of each instrumented file in the workspace, by its import path.
func Serve(sources map[string]string) {
	value := os.Getenv(live.Variable)
	if value == "" {
		return
	}
	// Not fatal: the program under test must not depend on being measured. Who collects
	// can't connect then, and says so.
	complain := func(err error) { fmt.Fprintln(os.Stderr, "coverage:", err) }
	process := rand.Text()
	var mu sync.Mutex // package coverage says nothing of two calls at a time
	take := func() live.Snapshot {
		mu.Lock()
		defer mu.Unlock()
		return take(process, sources)
	}
	if _, err := live.Serve(value, take, complain); err != nil {
		complain(err)
	}
}

func take(process string, sources map[string]string) live.Snapshot {
	var meta, counters bytes.Buffer
	if err := coverage.WriteMeta(&meta); err != nil {
		return live.Snapshot{Process: process, Uninstrumented: err.Error()}
	}
	if err := coverage.WriteCounters(&counters); err != nil {
		return live.Snapshot{Process: process, Error: err.Error()}
	}
	return live.Snapshot{Process: process, Meta: meta.Bytes(), Counters: counters.Bytes(), Sources: maps.Clone(sources)}
}
