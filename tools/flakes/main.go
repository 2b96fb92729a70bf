// Command flakes says how often tests fail that fail now and then, and since which commit.
//
//	tools/bazel run //tools/flakes -- --runs=30 --random --load=4 //e2e/...
//	tools/bazel run //tools/flakes -- --bisect --good=v1.2 --spec='A storm ends' //e2e:storm_test
//
// # A sample
//
// Each run is a `bazel test` of its own (internal/bazel) that no cache may answer, beside
// busy processes (internal/busy) where they are asked for. What its tests left is read by
// //tools/report's own packages, so a failure has the same verdict as on its page, and the
// record of the run is one for the page's history. internal/sample keeps count.
//
// # A bisection
//
// It tests commits in a work tree of its own (internal/checkout), by a Bazel server of its
// own, and decides by statistics that are stated (internal/bisect, internal/sequential). What is
// learnt is kept after each batch of runs, so the same command goes on where it was ended.
//
// # What it promises
//
// An interruption, a time limit and an error print what is known until then and leave no
// process. What the infrastructure did, or what happened in a changed environment, is
// not held against a spec (internal/outcome).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"stormgate.internal/tools/flakes/internal/busy"
)

func main() {
	busy.Main()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends this process at once, and with it what it started
	}()
	err := command(os.Stdout, os.Stderr).ExecuteContext(ctx)
	if err == nil {
		return
	}
	var end *endError
	var usage *usageError
	switch {
	case errors.As(err, &end):
		os.Exit(end.code)
	case errors.As(err, &usage):
		fmt.Fprintln(os.Stderr, "flakes:", err)
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "flakes:", err)
	os.Exit(1)
}
