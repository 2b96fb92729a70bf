package graph

import (
	"reflect"
	"testing"
)

func node(kind, digest string, to ...string) *Node {
	n := &Node{Kind: kind, Digest: digest}
	for _, t := range to {
		n.Edges = append(n.Edges, Edge{To: t, Why: "x"})
	}
	return n
}

func because(name string, _, _ *Node) Cause { return Cause{At: name, Why: "changed"} }

// TestAffected: what reaches a changed, a new or a forced node is affected, by a
// shortest chain, also through cycles.
func TestAffected(t *testing.T) {
	base := &Graph{Nodes: map[string]*Node{
		"t1": node("target", "1", "a"), "t2": node("target", "1", "b"), "t3": node("target", "1", "c"), "t4": node("target", "1"),
		"a": node("target", "1", "b", "f"), "b": node("target", "1", "a", "f"), "c": node("target", "1"), "f": node("file", "1"),
	}}
	head := &Graph{Nodes: map[string]*Node{
		"t1": node("target", "1", "a"), "t2": node("target", "1", "b"), "t3": node("target", "1", "c"), "t4": node("target", "1"), "t5": node("target", "1"),
		"a": node("target", "1", "b"), "b": node("target", "1", "a", "f"), "c": node("target", "1"), "f": node("file", "2"),
	}}
	affected := Affected(base, head, map[string]Cause{"c": {At: "option", Why: "forced"}}, because)
	for name, want := range map[string][]Link{
		"t1": {{"t1", "target"}, {"a", "x"}, {"b", "x"}, {"f", "x"}, {"f", "changed"}},
		"t2": {{"t2", "target"}, {"b", "x"}, {"f", "x"}, {"f", "changed"}},
		"t3": {{"t3", "target"}, {"c", "x"}, {"option", "forced"}},
		"t4": nil,
		"t5": {{"t5", "target"}, {"t5", "changed"}},
		"no": nil,
	} {
		if got := Chain(head, affected, name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
