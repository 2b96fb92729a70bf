package suite

import (
	"fmt"
	"os"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// OrderVariable set to "reverse" makes every process run its top-level
// containers in the opposite of the order in which the file has them, and with
// -ginkgo.randomize-all its specs. That changes no verdict, unless a spec depends on
// another.
const OrderVariable = "STORMGATE_ORDER"

// The tree's top level is built when the package variables of a scenario are,
// which is after this.
func init() {
	if order := os.Getenv(OrderVariable); order != "" {
		ginkgo.AddTreeConstructionNodeArgsTransformer(reversal(order))
	}
}

// reversal gives each container and spec a higher priority than those before it.
func reversal(order string) ginkgo.NodeArgsTransformer {
	built := 0
	return func(node types.NodeType, _ ginkgo.Offset, text string, args []any) (string, []any, []error) {
		if order != "reverse" {
			return text, args, []error{fmt.Errorf("%s is %q: the only order that it asks for is reverse", OrderVariable, order)}
		}
		if !node.Is(types.NodeTypesForContainerAndIt) {
			return text, args, nil
		}
		built++
		return text, append(args, ginkgo.SpecPriority(built)), nil
	}
}
