package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// preview is the spec tree of a suite, as Ginkgo shows it without running it.
type preview struct {
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

// previewVariable makes Run write the preview to the file descriptor that it
// names, and return.
const previewVariable = "GINKGO_BRIDGE_PREVIEW_FD"

// previewTimeout bounds the look at a spec tree, which takes milliseconds.
const previewTimeout = time.Minute

// tellPreview is the other side of askPreview.
func (r *run) tellPreview(descriptor string) error {
	fd, err := strconv.ParseUint(descriptor, 10, 16)
	if err != nil {
		return fmt.Errorf("read %s: %w", previewVariable, err)
	}
	pipe := os.NewFile(uintptr(fd), "preview")
	report := ginkgo.PreviewSpecs(r.options.Name, r.suite, r.reporter)
	tree := preview{Focused: report.SuiteHasProgrammaticFocus}
	for _, one := range report.SpecReports {
		if one.LeafNodeType.Is(types.NodeTypeIt) {
			tree.Specs = append(tree.Specs, specOf(one))
		}
	}
	if err := json.NewEncoder(pipe).Encode(tree); err != nil {
		return fmt.Errorf("write preview: %w", err)
	}
	return pipe.Close()
}

// askPreview starts this binary once more, as the next shard, to look at the
// spec tree. Another process is needed since PreviewSpecs consumes top-level
// specs and hooks (Ginkgo 2.34: the copy of the suite that it leaves has only
// the containers). It is put to use: each shard runs what its sibling sees, and
// compares that with its own tree in the end, so when all shards are content
// they all have the same tree, and every spec ran once. What would spoil it:
// specs named by a clock, a random number, a process id or the order of a map,
// or made in some shards only.
func askPreview(ctx context.Context, p protocol) (preview, error) {
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	binary, err := os.Executable()
	if err != nil {
		return preview{}, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return preview{}, err
	}
	defer reader.Close()
	command := exec.CommandContext(ctx, binary, os.Args[1:]...)
	command.ExtraFiles = []*os.File{writer} // descriptor 3 there
	command.Env = append(siblingEnvironment(os.Environ(), p), previewVariable+"=3")
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	command.WaitDelay = time.Second
	err = command.Start()
	_ = writer.Close() // the child has its own
	if err != nil {
		return preview{}, err
	}
	answer, readErr := io.ReadAll(reader)
	if err := command.Wait(); err != nil {
		if ctx.Err() != nil {
			return preview{}, context.Cause(ctx)
		}
		return preview{}, fmt.Errorf("%w\n%s", err, shorten(output.String(), 4000))
	}
	if readErr != nil {
		return preview{}, readErr
	}
	var tree preview
	if err := json.Unmarshal(answer, &tree); err != nil {
		return preview{}, fmt.Errorf("%w (does TestMain get to Run?)\n%s", err, shorten(output.String(), 4000))
	}
	return tree, nil
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
