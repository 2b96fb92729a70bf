package ginkgo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"

	"stormgate.internal/tools/internal/ground"
)

// reachLimit bounds what the description of a paused spec asks for.
const reachLimit = 10 * time.Second

// reach says why a spec is paused, and how a person gets at what it stands on. Ginkgo has it in its
// progress reports, of which the pause begins with one.
func (r *run) reach() string {
	ctx, cancel := context.WithTimeout(context.Background(), reachLimit)
	defer cancel()
	var text strings.Builder
	// Ginkgo shows it when the spec has ended.
	if failure := ginkgo.CurrentSpecReport().Failure; !failure.IsZero() {
		fmt.Fprintf(&text, "failed at %s:\n%s\n", failure.Location, strings.TrimRight(failure.Message, "\n"))
	}
	for _, g := range ground.All() {
		if g.Reach != nil {
			fmt.Fprintf(&text, "%s:\n%s\n", g.Name, strings.TrimRight(g.Reach(ctx), "\n"))
		}
	}
	if end := r.deadline; !end.IsZero() && time.Now().Add(r.suite.SleepOnFailure).After(end) {
		fmt.Fprintf(&text, "The test's own time ends before the pause does, at %s: --test_timeout gives it more.\n", end.Format(time.TimeOnly))
	}
	return strings.TrimRight(text.String(), "\n")
}
