package suite

import (
	"slices"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

func TestReversalRanksLaterNodesHigher(t *testing.T) {
	transform := reversal("reverse")
	last := ginkgo.SpecPriority(0)
	for _, node := range []types.NodeType{types.NodeTypeContainer, types.NodeTypeIt, types.NodeTypeIt} {
		text, args, errs := transform(node, 0, "a text", []any{"an arg"})
		priority, ok := args[len(args)-1].(ginkgo.SpecPriority)
		if text != "a text" || len(errs) != 0 || !ok || priority <= last || !slices.Contains(args, any("an arg")) {
			t.Fatalf("%v becomes %q, %v, %v", node, text, args, errs)
		}
		last = priority
	}
	// Ginkgo refuses a priority on anything else.
	if _, args, errs := transform(types.NodeTypeBeforeEach, 0, "", nil); len(args) != 0 || len(errs) != 0 {
		t.Errorf("BeforeEach gets %v, %v", args, errs)
	}
}

func TestOrderThatDoesNotExist(t *testing.T) {
	if _, _, errs := reversal("sideways")(types.NodeTypeIt, 0, "", nil); len(errs) == 0 {
		t.Error("no error")
	}
}
