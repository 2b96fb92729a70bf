package ginkgo

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// suiteOf makes specs from lines of "container/spec", each with optional labels on
// its container.
func suiteOf(labels map[string][]string, texts ...[2]string) []spec {
	var specs []spec
	for line, text := range texts {
		s := spec{Text: text[0] + " " + text[1], Leaf: level{Text: text[1], File: "/src/a_test.go", Line: 100 + line, Labels: labels[text[1]]}}
		s.Containers = []level{{Text: text[0], File: "/src/a_test.go", Line: 10, Labels: labels[text[0]]}}
		specs = append(specs, s)
	}
	return specs
}

func loads(p plan) []int {
	var all []int
	for _, units := range p.shards {
		load := 0
		for _, u := range units {
			load += u.weight
		}
		all = append(all, load)
	}
	slices.Sort(all)
	return all
}

func TestPlanBalances(t *testing.T) {
	sixSpecs := [][2]string{{"a", "1"}, {"a", "2"}, {"a", "3"}, {"b", "1"}, {"c", "1"}, {"d", "1"}}
	for _, c := range []struct {
		name   string
		specs  []spec
		shards int
		want   []int
	}{
		{"by number of specs", suiteOf(nil, sixSpecs...), 2, []int{3, 3}},
		{"by weight of a container", suiteOf(map[string][]string{"b": {"slow", "weight:5"}}, sixSpecs...), 2, []int{5, 5}},
		{"weight of a container counts once", suiteOf(map[string][]string{"a": {"weight: 4"}}, sixSpecs...), 2, []int{3, 4}},
		{"by weight of a spec", suiteOf(map[string][]string{"2": {"weight:4"}}, sixSpecs...), 2, []int{3, 6}},
		{"one shard", suiteOf(nil, sixSpecs...), 1, []int{6}},
		{"more shards than containers", suiteOf(nil, sixSpecs...), 5, []int{0, 1, 1, 1, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := newPlan(c.specs, c.shards, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := loads(p); !slices.Equal(got, c.want) {
				t.Errorf("weights of the shards: %v, want %v", got, c.want)
			}
		})
	}
}

func TestPendingSpecsWeighNothing(t *testing.T) {
	specs := suiteOf(nil, [2]string{"a", "1"}, [2]string{"b", "1"}, [2]string{"c", "1"})
	specs[0].Pending = true
	p, err := newPlan(specs, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := loads(p); !slices.Equal(got, []int{1, 1}) || p.runnableUnits() != 2 {
		t.Errorf("weights of the shards: %v, %d units to run", got, p.runnableUnits())
	}
}

// A container that is put off keeps its label: it must not take a shard for
// itself, which would then fail for want of a spec to run.
func TestPendingSpecsWeighNothingWhateverTheirLabels(t *testing.T) {
	texts := [][2]string{{"a", "1"}, {"b", "1"}, {"b", "2"}, {"c", "1"}}
	put := func(labels map[string][]string, pending ...int) []spec {
		specs := suiteOf(labels, texts...)
		for _, i := range pending {
			specs[i].Pending = true
		}
		return specs
	}
	for name, c := range map[string]struct {
		specs []spec
		want  []int
	}{
		"container": {put(map[string][]string{"a": {"weight:5"}}, 0), []int{1, 2}},
		"spec":      {put(map[string][]string{"1": {"weight:5"}}, 0, 1, 3), []int{0, 1}},
		"the container's weight is that of what is left": {put(map[string][]string{"b": {"weight:5"}}, 1), []int{2, 5}},
	} {
		p, err := newPlan(c.specs, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := loads(p); !slices.Equal(got, c.want) {
			t.Errorf("%s: weights of the shards: %v, want %v", name, got, c.want)
		}
	}
	for _, node := range []string{"a", "1"} {
		if _, err := newPlan(put(map[string][]string{node: {"weight:none"}}, 0), 2, nil); err == nil {
			t.Errorf("a pending spec's wrong label on %s passes", node)
		}
	}
}

// Ginkgo selects by text, so it can't select between containers with a spec text in
// common. They go to one shard, however the texts are spread.
func TestSameTextsStayTogether(t *testing.T) {
	at := func(container, text, full string, line int) spec {
		return spec{Text: full, Containers: []level{{Text: container, File: "a_test.go", Line: line}}, Leaf: level{Text: text}}
	}
	specs := []spec{
		at("z", "b c", "z b c", 9),
		at("other", "x", "other x", 5),
		at("z b", "c", "z b c", 2), // the same text, by another division of it
		at("z b", "d", "z b d", 2),
		at("y", "d", "z b d", 7), // joins a unit that was joined already
	}
	p, err := newPlan(specs, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.units) != 2 || !slices.Equal(loads(p), []int{1, 4}) {
		t.Errorf("units: %+v", p.units)
	}
}

// All shards compute the plan for themselves: it must not depend on the order
// in which the tree lists the specs.
func TestPlanIsTheSameInEveryProcess(t *testing.T) {
	var texts [][2]string
	for i := range 40 {
		texts = append(texts, [2]string{fmt.Sprintf("container %d", i%13), fmt.Sprintf("spec %d", i)})
	}
	specs := suiteOf(map[string][]string{"container 3": {"weight:7"}}, texts...)
	first, err := newPlan(specs, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		rand.Shuffle(len(specs), func(i, j int) { specs[i], specs[j] = specs[j], specs[i] })
		again, err := newPlan(specs, 4, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first.shards, again.shards) {
			t.Fatal("another order of the same specs gave another plan")
		}
	}
}

// The promise that every spec runs once rests on this comparison: it must see all
// that the plan goes by, and nothing that may differ, such as the order.
func TestDifferencesAreAllThatThePlanGoesBy(t *testing.T) {
	tree := func() []spec {
		return suiteOf(map[string][]string{"a": {"weight:2"}}, [2]string{"a", "1"}, [2]string{"b", "1"}, [2]string{"b", "1"})
	}
	shuffled := tree()
	slices.Reverse(shuffled)
	if found := differences(tree(), shuffled); len(found) > 0 {
		t.Errorf("another order: %q", found)
	}
	for name, c := range map[string]struct {
		change func([]spec) []spec
		want   string
	}{
		"text":    {func(s []spec) []spec { s[0].Text = "a 2"; return s }, "only in the tree that the other process saw: a 1"},
		"number":  {func(s []spec) []spec { return s[:2] }, "not in the tree that the other process saw: b 1"},
		"pending": {func(s []spec) []spec { s[0].Pending = true; return s }, "pending in one process only (here true, in the other false): a 1"},
		"serial":  {func(s []spec) []spec { s[0].Serial = true; return s }, "Serial in one process only (here true, in the other false): a 1"},
		"weight":  {func(s []spec) []spec { s[0].Containers[0].Labels = []string{"weight:3"}; return s }, "with other labels or at another place"},
		"label":   {func(s []spec) []spec { s[0].Leaf.Labels = []string{"quick"}; return s }, "with other labels or at another place"},
		"line":    {func(s []spec) []spec { s[0].Containers[0].Line++; return s }, "with other labels or at another place"},
		"file":    {func(s []spec) []spec { s[0].Containers[0].File = "/src/b_test.go"; return s }, "with other labels or at another place"},
		"top":     {func(s []spec) []spec { s[0].Containers[0].Text = "A"; return s }, "with other labels or at another place"},
	} {
		here, there := c.change(tree()), tree()
		if name == "number" {
			here, there = there, here
		}
		found := differences(here, there)
		if !slices.ContainsFunc(found, func(line string) bool { return strings.HasPrefix(line, c.want) }) {
			t.Errorf("%s: differences %q, want %q", name, found, c.want)
		}
	}
}

// The check is what stands between a mistake in the division and a spec that
// silently never runs.
func TestCheckFindsLostAndDoubledSpecs(t *testing.T) {
	specs := suiteOf(nil, [2]string{"a", "1"}, [2]string{"b", "1"})
	good, err := newPlan(specs, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	lost := plan{shards: [][]unit{good.shards[0], nil}}
	doubled := plan{shards: [][]unit{good.shards[0], append(slices.Clone(good.shards[1]), good.shards[0]...)}}
	for name, p := range map[string]plan{"lost": lost, "doubled": doubled} {
		if p.check(specs) == nil {
			t.Errorf("a plan with a %s spec passes", name)
		}
	}
}
