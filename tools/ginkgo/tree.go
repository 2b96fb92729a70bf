package bridge

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
	Pending    bool
	Excluded   bool // by flags given to Ginkgo itself
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

func specOf(r types.SpecReport) spec {
	s := spec{
		Text:     r.FullText(),
		Leaf:     levelOf(r.LeafNodeText, r.LeafNodeLocation, r.LeafNodeLabels),
		Ordered:  r.IsInOrderedContainer,
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
	report := ginkgo.PreviewSpecs(r.options.Name, r.suite, r.reporter)
	t := tree{Focused: report.SuiteHasProgrammaticFocus}
	for _, one := range report.SpecReports {
		if one.LeafNodeType.Is(types.NodeTypeIt) {
			t.Specs = append(t.Specs, specOf(one))
		}
	}
	if err := errors.Join(gob.NewEncoder(answers).Encode(t), answers.Close()); err != nil {
		fmt.Fprintln(os.Stderr, fmt.Errorf("tell the spec tree: %w", err))
		return ExitFailure
	}
	return 0
}

// askPreview starts this binary once more, as the next shard, to look at the
// spec tree. Another process is needed since PreviewSpecs consumes top-level
// specs and hooks (Ginkgo 2.34: the copy of the suite that it leaves has only
// the containers). It is put to use: each shard runs what its sibling sees, and
// the runner compares that with its own tree in the end, so when all shards are
// content they all have the same tree, and every spec ran once. What would spoil
// it: specs named by a clock, a random number, a process id or the order of a
// map, or made in some shards only.
func askPreview(ctx context.Context, p protocol) (tree, error) {
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	var ends pipes
	defer func() { closeAll(ends.ours); closeAll(ends.theirs) }()
	answers, err := ends.toRead()
	if err != nil {
		return tree{}, err
	}
	command, err := again(ctx, rolePreview, siblingEnvironment(os.Environ(), p))
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

// siblingEnvironment is this process's environment in the role of the next
// shard, without the files that only a real test may write.
func siblingEnvironment(environment []string, p protocol) []string {
	private := []string{"XML_OUTPUT_FILE", "TEST_PREMATURE_EXIT_FILE", "TEST_INFRASTRUCTURE_FAILURE_FILE", "TEST_UNDECLARED_OUTPUTS_DIR", "TEST_SHARD_INDEX"}
	environment = slices.DeleteFunc(slices.Clone(environment), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(private, name)
	})
	if p.shards > 1 {
		environment = append(environment, fmt.Sprintf("TEST_SHARD_INDEX=%d", (p.shard+1)%p.shards))
	}
	return environment
}
