package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"stormgate.internal/tools/affected/internal/analysis"
	"stormgate.internal/tools/affected/internal/graph"
)

// bazel finds the program that a person of this workspace would run.
func (t *tool) bazel() (string, error) {
	wrapper := filepath.Join(t.workspace, "tools", "bazel")
	if info, err := os.Stat(wrapper); err == nil && info.Mode()&0o100 != 0 {
		return wrapper, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("find Bazel: %w", err)
	}
	for _, name := range []string{"bazelisk", "bazel"} {
		if file, err := exec.LookPath(name); err == nil {
			return file, nil
		}
	}
	return "", errors.New("find Bazel: no executable tools/bazel in the workspace, and neither bazelisk nor bazel on PATH")
}

// runTests runs `bazel test` on the tests.
func (t *tool) runTests(ctx context.Context, answer *analysis.Answer) error {
	if len(answer.Tests) == 0 {
		fmt.Fprintln(t.stderr, "affected: nothing to run")
		return nil
	}
	program, err := t.bazel()
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "affected-*.txt")
	if err != nil {
		return fmt.Errorf("run the tests: %w", err)
	}
	defer os.Remove(file.Name())
	for _, test := range answer.Tests {
		if _, err := file.WriteString(test.Label + "\n"); err != nil {
			return fmt.Errorf("run the tests: %w", errors.Join(err, file.Close()))
		}
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("run the tests: %w", err)
	}
	args := []string{"test", "--target_pattern_file=" + file.Name()}
	for _, c := range t.configs {
		args = append(args, "--config="+c)
	}
	args = append(args, t.args...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Dir = t.workspace
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, t.stdout, t.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	return nil
}

// queried is what `bazel query` says of a rule.
type queried struct {
	label, kind string
	tags        []string
	inputs      []string
}

// checkQuery compares tests, and edges among labels of the main repository, with what
// Bazel's own loading phase says. Both directions are listed: an edge that only Bazel
// has is a fault here; one that only is here makes answers wider than they need be.
func (t *tool) checkQuery(ctx context.Context, answer *analysis.Answer) error {
	program, err := t.bazel()
	if err != nil {
		return err
	}
	args := append([]string{"query", "//...", "--output=streamed_proto", "--keep_going", "--noshow_progress"}, t.args...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.workspace
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, t.stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 || out.Len() == 0 { // 3: some packages failed.
			return fmt.Errorf("run bazel query: %w", err)
		}
		fmt.Fprintln(t.stderr, "affected: bazel query could not load everything; what it did load is compared")
	}
	rules, err := parseQuery(out.Bytes())
	if err != nil {
		return fmt.Errorf("read the answer of bazel query: %w", err)
	}
	differences, known := compareQuery(answer, rules)
	for _, d := range differences {
		fmt.Fprintln(t.stdout, d)
	}
	fmt.Fprintf(t.stdout, "%d rules of Bazel's graph compared, %d differences, %d edges only here\n", len(rules), len(differences), known)
	if len(differences) > 0 {
		return errors.New("the static graph lacks something of Bazel's: please report it with the lines above")
	}
	return nil
}

func mainLabel(text string) (string, bool) {
	text = strings.TrimPrefix(text, "@@")
	if !strings.HasPrefix(text, "//") {
		return "", false
	}
	if !strings.Contains(text, ":") {
		text += ":" + text[strings.LastIndexByte(text, '/')+1:]
	}
	return text, true
}

// compareQuery lists what Bazel has and the static graph lacks, and counts what only
// the static graph has.
func compareQuery(answer *analysis.Answer, rules []queried) (differences []string, only int) {
	g := answer.Graph()
	bazelTests := map[string]bool{}
	// What macros of other repositories make is one node here, under the name that
	// they were given.
	stands := func(label string) (string, bool) {
		if _, ok := g.Nodes[label]; ok {
			return label, true
		}
		if at, ok := answer.MadeBy(label); ok {
			return at, true // A file that a target makes.
		}
		pkg, name, _ := strings.Cut(label, ":")
		for i := len(name) - 1; i > 0; i-- {
			if strings.IndexByte("._-/", name[i]) >= 0 {
				if n, ok := g.Nodes[pkg+":"+name[:i]]; ok && n.Kind == "target" {
					return pkg + ":" + name[:i], true
				}
			}
		}
		return "", false
	}
	reach := map[string]map[string]bool{}
	closure := func(from string) map[string]bool {
		if r, ok := reach[from]; ok {
			return r
		}
		r := map[string]bool{from: true}
		queue := []string{from}
		for len(queue) > 0 {
			n := g.Nodes[queue[0]]
			queue = queue[1:]
			if n == nil {
				continue
			}
			for _, e := range n.Edges {
				// Through rules to their defaults, not through other targets.
				to := graph.Whole(e.To)
				if !r[to] {
					r[to] = true
					if !strings.HasPrefix(to, "//") && !strings.HasPrefix(to, "@") && to != "configuration" {
						queue = append(queue, to)
					}
				}
			}
		}
		reach[from] = r
		return r
	}
	edges := map[string]int{}
	for _, q := range rules {
		label, ok := mainLabel(q.label)
		if !ok {
			continue
		}
		if strings.HasSuffix(q.kind, "_test") {
			bazelTests[label] = true
			if test := g.Tests[label]; test == nil {
				at, ok := stands(label)
				if ok {
					bazelTests[at] = true // A suite, of which that is one.
				}
				if !ok || g.Tests[at] == nil {
					differences = append(differences, fmt.Sprintf("test %s (%s) is only in Bazel's graph", label, q.kind))
				}
			} else if manual := slices.Contains(q.tags, "manual"); manual != test.Manual {
				differences = append(differences, fmt.Sprintf("test %s: tag manual is %t in Bazel's graph, %t here", label, manual, test.Manual))
			}
		}
		at, ok := stands(label)
		if !ok {
			differences = append(differences, fmt.Sprintf("target %s (%s) is only in Bazel's graph", label, q.kind))
			continue
		}
		r := closure(at)
		for _, input := range q.inputs {
			to, ok := mainLabel(input)
			if !ok {
				continue
			}
			target, ok := stands(to)
			if !ok {
				differences = append(differences, fmt.Sprintf("%s, an input of %s, is only in Bazel's graph", to, label))
				continue
			}
			edges[at]++
			if !r[target] {
				differences = append(differences, fmt.Sprintf("edge %s -> %s (%s) is only in Bazel's graph", label, to, q.kind))
			}
		}
	}
	for label := range g.Tests {
		if !bazelTests[label] {
			differences = append(differences, fmt.Sprintf("test %s is not in Bazel's graph", label))
		}
	}
	for at := range edges {
		n := 0
		for to := range reach[at] {
			if strings.HasPrefix(to, "//") && to != at {
				n++
			}
		}
		only += max(0, n-edges[at])
	}
	slices.Sort(differences)
	return slices.Compact(differences), only
}

// parseQuery reads `--output=streamed_proto`: messages blaze_query.Target, each after
// its length (src/main/protobuf/build.proto of Bazel). Only what is compared is read.
func parseQuery(data []byte) ([]queried, error) {
	var rules []queried
	for len(data) > 0 {
		message, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return nil, fmt.Errorf("a message is cut off: %w", protowire.ParseError(n))
		}
		data = data[n:]
		err := fields(message, func(number protowire.Number, value []byte) error {
			if number != 2 { // Target.rule
				return nil
			}
			var q queried
			if err := q.rule(value); err != nil {
				return err
			}
			rules = append(rules, q)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return rules, nil
}

func (q *queried) rule(message []byte) error {
	return fields(message, func(number protowire.Number, value []byte) error {
		switch number {
		case 1: // Rule.name
			q.label = string(value)
		case 2: // Rule.rule_class
			q.kind = string(value)
		case 5: // Rule.rule_input
			q.inputs = append(q.inputs, string(value))
		case 4: // Rule.attribute
			name := ""
			var list []string
			if err := fields(value, func(number protowire.Number, value []byte) error {
				switch number {
				case 1: // Attribute.name
					name = string(value)
				case 6: // Attribute.string_list_value
					list = append(list, string(value))
				}
				return nil
			}); err != nil {
				return err
			}
			if name == "tags" {
				q.tags = list
			}
		}
		return nil
	})
}

// fields calls each for all fields that have a length.
func fields(message []byte, each func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("a field is cut off: %w", protowire.ParseError(n))
		}
		message = message[n:]
		if kind != protowire.BytesType {
			n := protowire.ConsumeFieldValue(number, kind, message)
			if n < 0 {
				return fmt.Errorf("a field is cut off: %w", protowire.ParseError(n))
			}
			message = message[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return fmt.Errorf("a field is cut off: %w", protowire.ParseError(n))
		}
		message = message[n:]
		if err := each(number, value); err != nil {
			return err
		}
	}
	return nil
}
