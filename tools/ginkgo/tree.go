package ginkgo

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// tree is the spec tree of a suite, as Ginkgo shows it without running it.
type tree struct {
	Focused bool // FIt and the like are left in the code
	Specs   []spec
}

// spec is one spec of the tree.
type spec struct {
	Text       string  // the containers' and its own, joined by spaces
	Containers []level // outermost first
	Leaf       level
	Ordered    bool // it or a container above it
	Serial     bool // it or a container above it
	Pending    bool
	Excluded   bool   // by flags given to Ginkgo itself
	Unit       string // the key of its unit, set by the plan
}

// level is one node on the way to a spec.
type level struct {
	Text   string
	File   string
	Line   int
	Labels []string
}

func (l level) location() string { return fmt.Sprintf("%s:%d", sourcePath(l.File), l.Line) }

// top is the outermost node: what a shard gets or does not get as a whole.
func (s spec) top() level {
	if len(s.Containers) > 0 {
		return s.Containers[0]
	}
	return s.Leaf
}

// identity is all of a spec that decides in which shard and whether it runs: what
// newPlan, check and the flags of Ginkgo go by. Two processes that see the same
// identities, each as often, have the same plan.
type identity struct {
	text    string
	nodes   string // where its containers and it are, with their labels
	pending bool
	serial  bool
}

func (s spec) identity() identity {
	nodes := []string{}
	for _, node := range append(slices.Clone(s.Containers), s.Leaf) {
		nodes = append(nodes, fmt.Sprintf("%q at %s labels %q", node.Text, node.location(), node.Labels))
	}
	return identity{s.Text, strings.Join(nodes, ", in it "), s.Pending, s.Serial}
}

// differences names, in sorted order, the specs that two processes don't see
// alike.
func differences(here, there []spec) []string {
	balance := map[identity]int{}
	for _, s := range here {
		balance[s.identity()]++
	}
	for _, s := range there {
		balance[s.identity()]--
	}
	sides := map[string]map[bool]identity{} // text -> whether here -> one that the other side lacks
	for id, n := range balance {
		if n == 0 {
			continue
		}
		if sides[id.text] == nil {
			sides[id.text] = map[bool]identity{}
		}
		sides[id.text][n > 0] = id
	}
	var found []string
	for text, side := range sides {
		mine, isHere := side[true]
		other, isThere := side[false]
		switch {
		case !isThere:
			found = append(found, "not in the tree that the other process saw: "+text)
		case !isHere:
			found = append(found, "only in the tree that the other process saw: "+text)
		case mine.pending != other.pending:
			found = append(found, fmt.Sprintf("pending in one process only (here %v, in the other %v): %s", mine.pending, other.pending, text))
		case mine.serial != other.serial:
			found = append(found, fmt.Sprintf("Serial in one process only (here %v, in the other %v): %s", mine.serial, other.serial, text))
		default:
			found = append(found, fmt.Sprintf("with other labels or at another place than the other process saw: %s (here %s; in the other %s)",
				text, mine.nodes, other.nodes))
		}
	}
	slices.Sort(found)
	return found
}

// unequal is the complaint about such differences, shortened.
func unequal(wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	if len(wrong) > 6 {
		wrong = append(slices.Clone(wrong[:6]), fmt.Sprintf("and %d more", len(wrong)-6))
	}
	return fmt.Errorf("the specs of this process are not those that were divided among the shards, so in all shards together some may run twice or never "+
		"(a spec's text, place, labels and whether it is pending must not depend on time, chance, the process or the shard):\n  %s",
		strings.Join(wrong, "\n  "))
}

func specOf(r types.SpecReport) spec {
	s := spec{
		Text:     r.FullText(),
		Leaf:     levelOf(r.LeafNodeText, r.LeafNodeLocation, r.LeafNodeLabels),
		Ordered:  r.IsInOrderedContainer,
		Serial:   r.IsSerial,
		Pending:  r.State.Is(types.SpecStatePending),
		Excluded: r.State.Is(types.SpecStateSkipped),
	}
	for i, text := range r.ContainerHierarchyTexts {
		s.Containers = append(s.Containers, levelOf(text, r.ContainerHierarchyLocations[i], r.ContainerHierarchyLabels[i]))
	}
	return s
}

func levelOf(text string, location types.CodeLocation, labels []string) level {
	return level{Text: text, File: location.FileName, Line: location.LineNumber, Labels: labels}
}

// previewTimeout bounds the look at a spec tree, which takes milliseconds.
const previewTimeout = time.Minute

// preview is the other side of askPreview.
func (r *run) preview() int {
	answers := inherited(answerDescriptor, "preview")
	report := ginkgo.PreviewSpecs(r.options.Name, r.suite, r.reporter, r.number())
	t := tree{Focused: report.SuiteHasProgrammaticFocus}
	for _, one := range report.SpecReports {
		if one.LeafNodeType.Is(types.NodeTypeIt) {
			t.Specs = append(t.Specs, specOf(one))
		}
	}
	if err := errors.Join(gob.NewEncoder(answers).Encode(t), answers.Close()); err != nil {
		fmt.Fprintln(os.Stderr, fmt.Errorf("report the spec tree: %w", err))
		return ExitFailure
	}
	return 0
}

// askPreview starts this binary once more, in the role of a shard, to look at the spec
// tree. Another process is needed since PreviewSpecs consumes top-level specs and hooks
// (Ginkgo 2.34: the copy of the suite that it leaves has only the containers).
//
// The other process makes a proof possible. Each shard divides the tree that the next
// shard's preview sees, and compares it with its own tree in the end (verify, or
// verifyIdle if it has no specs to run). If no shard finds a difference, all of them
// have one tree and one plan, and every spec ran once. No process can check two things
// alone, so they are taken for granted: all shards have the same binary and timings,
// and the preview in a shard's role sees what that shard sees. A tree that depends on a
// clock, a random number, a process id or the order of a map is noticed where two
// shards that compare have different values.
func askPreview(ctx context.Context, p protocol, shard int) (tree, error) {
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	var ends pipes
	defer func() { closeAll(ends.ours); closeAll(ends.theirs) }()
	answers, err := ends.toRead()
	if err != nil {
		return tree{}, err
	}
	command, err := again(ctx, rolePreview, previewEnvironment(os.Environ(), p, shard))
	if err != nil {
		return tree{}, err
	}
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	command.ExtraFiles = ends.theirs
	command.WaitDelay = time.Second
	if err := command.Start(); err != nil {
		return tree{}, err
	}
	closeAll(ends.theirs)
	var t tree
	decodeErr := gob.NewDecoder(answers).Decode(&t)
	if err := command.Wait(); err != nil {
		if ctx.Err() != nil {
			return tree{}, context.Cause(ctx)
		}
		return tree{}, fmt.Errorf("%w\n%s", err, shorten(output.String(), 4000))
	}
	if decodeErr != nil {
		return tree{}, fmt.Errorf("%w (does TestMain get to Run?)\n%s", decodeErr, shorten(output.String(), 4000))
	}
	return t, nil
}

// previewEnvironment is this process's environment in the role of a shard,
// without the files that only a real test may write.
func previewEnvironment(environment []string, p protocol, shard int) []string {
	private := []string{"XML_OUTPUT_FILE", "TEST_PREMATURE_EXIT_FILE", "TEST_INFRASTRUCTURE_FAILURE_FILE", "TEST_UNDECLARED_OUTPUTS_DIR", "TEST_SHARD_INDEX"}
	environment = slices.DeleteFunc(slices.Clone(environment), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(private, name)
	})
	if p.shards > 1 {
		environment = append(environment, fmt.Sprintf("TEST_SHARD_INDEX=%d", shard))
	}
	return environment
}
