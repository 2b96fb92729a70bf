package ginkgo

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"sync"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// Suites name what they share with others by GinkgoParallelProcess(), so it is the number
// of the shard. Ginkgo itself must take the process for the only one. In its parallel mode
// it wants a server that all processes reach, which sandboxes don't. It would also leave
// Serial specs, ReportAfterSuite and the first function of SynchronizedBeforeSuite to
// process 1, and print nothing.
//
// RunSpecs makes this possible since it copies its configuration: it decides by the copy,
// and GinkgoConfiguration returns the original. The original has the shard's numbers
// while code of the suite runs: in Setup, while the tree is built, between the first
// top-level container and the last, and from the first node that runs. Both containers are
// this package's and have no specs.

const (
	processFlag = "ginkgo.parallel.process"
	totalFlag   = "ginkgo.parallel.total"
)

// ownNumber is this process's, as code of the suite sees it. The zero value leaves
// Ginkgo's alone.
var ownNumber struct{ process, total int }

// Packages that import this one register their containers later.
func init() {
	ginkgo.Describe("", func() {
		if ownNumber.total > 0 {
			setNumber(ownNumber.process, ownNumber.total)
		}
	})
}

// setNumber sets what GinkgoConfiguration returns. Flags are the only way to it.
func setNumber(process, total int) {
	_ = flag.Set(processFlag, strconv.Itoa(process)) // checkNumber has found the flags
	_ = flag.Set(totalFlag, strconv.Itoa(total))
}

func checkNumber(flags *flag.FlagSet) error {
	for _, name := range []string{processFlag, totalFlag} {
		if flags.Lookup(name) == nil {
			return fmt.Errorf("number the shards: this version of Ginkgo (%s) has no flag -%s", ginkgo.GINKGO_VERSION, name)
		}
	}
	return nil
}

// number gives the process its number. It is called once, when the suite has
// registered its containers. RunSpecs gets what it returns.
func (r *run) number() types.AroundNodeDecorator {
	ownNumber.process, ownNumber.total = r.bazel.shard+1, r.bazel.shards
	ginkgo.Describe("", func() { setNumber(1, 1) })
	once := sync.OnceFunc(func() { setNumber(ownNumber.process, ownNumber.total) })
	return ginkgo.AroundNode(func(ctx context.Context) context.Context {
		once()
		return ctx
	})
}
