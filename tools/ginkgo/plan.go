package ginkgo

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// unit is what is never divided between shards: a top-level container, or a
// top-level spec. Units that have a spec text in common are joined to one,
// since Ginkgo can select specs by text only.
type unit struct {
	key    string // total order, the same in every process
	specs  []spec
	weight int // in milliseconds if specs were measured, else in specs
}

func (u unit) runnable() bool {
	return anyToRun(u.specs)
}

// plan is the division of the specs among the shards.
type plan struct {
	units  []unit
	shards [][]unit // index: shard
}

// newPlan divides specs among shards: the heaviest unit first,
// each to the shard with the least weight so far (Graham's longest processing
// time rule, at most 4/3 of the optimum). Ties go by text and location, so that
// every process computes the same.
func newPlan(specs []spec, shards int, measured timings) (plan, error) {
	units, err := unitsOf(specs, measured)
	if err != nil {
		return plan{}, err
	}
	p := plan{units: units, shards: make([][]unit, shards)}
	byWeight := slices.Clone(units)
	slices.SortFunc(byWeight, func(a, b unit) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), strings.Compare(a.key, b.key))
	})
	loads := make([]int, shards)
	for _, u := range byWeight {
		least := 0
		for i := range loads {
			if loads[i] < loads[least] {
				least = i
			}
		}
		loads[least] += u.weight
		p.shards[least] = append(p.shards[least], u)
	}
	return p, p.check(specs)
}

// check proves that the shards together hold every spec once.
func (p plan) check(specs []spec) error {
	balance := map[string]int{}
	for _, s := range specs {
		balance[s.Text]++
	}
	owner := map[string]int{}
	for shard, units := range p.shards {
		for _, u := range units {
			for _, s := range u.specs {
				balance[s.Text]--
				if other, found := owner[s.Text]; found && other != shard {
					return fmt.Errorf("divide specs among shards: %q is in shards %d and %d", s.Text, other+1, shard+1)
				}
				owner[s.Text] = shard
			}
		}
	}
	for text, n := range balance {
		if n != 0 {
			return fmt.Errorf("divide specs among shards: %q is %+d times too often in the suite", text, n)
		}
	}
	return nil
}

// runnableUnits is the highest number of shards that all have something to run.
func (p plan) runnableUnits() int {
	n := 0
	for _, u := range p.units {
		if u.runnable() {
			n++
		}
	}
	return n
}

func (p plan) specsOfShard(shard int) []spec {
	var specs []spec
	for _, u := range p.shards[shard] {
		for _, s := range u.specs {
			s.Unit = u.key
			specs = append(specs, s)
		}
	}
	return specs
}

func unitsOf(specs []spec, measured timings) ([]unit, error) {
	mean := measured.mean(specs)
	byKey := map[string]*unit{}
	unitOfText := map[string]string{} // spec text -> key of its unit
	joined := map[string]string{}     // key -> key of the unit it became part of
	root := func(key string) string {
		for joined[key] != "" {
			key = joined[key]
		}
		return key
	}
	counted := map[string]bool{} // declared weights that are in already
	for _, s := range specs {
		top := s.top()
		key := fmt.Sprintf("%s\x00%s\x00%08d", top.Text, filepath.Base(top.File), top.Line)
		weight, once, err := weightOf(s) // also of a measured spec, for the error of a wrong label
		if err != nil {
			return nil, err
		}
		took, found := measured[s.Text]
		switch {
		case found && !s.Pending:
			weight = int(took.Milliseconds())
		case once != "" && counted[once]:
			weight = 0
		default:
			weight *= mean
			counted[once] = true
		}

		key = root(key)
		if other, found := unitOfText[s.Text]; found {
			if other = root(other); other != key {
				key = join(byKey, joined, other, key)
			}
		}
		u := byKey[key]
		if u == nil {
			u = &unit{key: key}
			byKey[key] = u
		}
		u.specs = append(u.specs, s)
		u.weight += weight
		unitOfText[s.Text] = key
	}
	units := make([]unit, 0, len(byKey))
	for _, u := range byKey {
		slices.SortStableFunc(u.specs, func(a, b spec) int { return strings.Compare(a.Text, b.Text) })
		units = append(units, *u)
	}
	slices.SortFunc(units, func(a, b unit) int { return strings.Compare(a.key, b.key) })
	return units, nil
}

// join makes one unit of two and returns the key that stays: the lower one, so
// that it does not depend on the order of the preview.
func join(byKey map[string]*unit, joined map[string]string, a, b string) string {
	stays, goes := min(a, b), max(a, b)
	joined[goes] = stays
	if gone := byKey[goes]; gone != nil {
		if u := byKey[stays]; u != nil {
			u.specs = append(u.specs, gone.specs...)
			u.weight += gone.weight
		} else {
			gone.key = stays
			byKey[stays] = gone
		}
		delete(byKey, goes)
	}
	return stays
}

const (
	weightLabel = "weight:"
	heaviest    = 1_000_000 // so that sums can't overflow
)

// weightOf is what a spec that was not measured adds to its unit, in specs. A
// declared weight is that of the whole node: once names the container, and its
// weight counts for the first of its specs only. The outermost declaration wins.
// A pending spec weighs nothing, even if it declares a weight: a shard that got it for
// its weight would have nothing to run. Its labels must be right nevertheless.
func weightOf(s spec) (weight int, once string, err error) {
	path := ""
	for _, container := range s.Containers {
		path += container.Text + "\x00" + container.location() + "\x00"
		declared, err := declaredWeight(container)
		if err != nil {
			return 0, "", err
		}
		if declared > 0 && weight == 0 {
			weight, once = declared, path
		}
	}
	declared, err := declaredWeight(s.Leaf)
	switch {
	case err != nil:
		return 0, "", err
	case s.Pending:
		return 0, "", nil
	case weight == 0:
		weight = max(declared, 1)
	}
	return weight, once, nil
}

// declaredWeight is 0 for a node without one.
func declaredWeight(node level) (int, error) {
	for _, label := range node.Labels {
		value, found := strings.CutPrefix(label, weightLabel)
		if !found {
			continue
		}
		weight, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || weight < 1 || weight > heaviest {
			return 0, fmt.Errorf("read label %q at %s: the weight must be a whole number of specs, from 1 to %d", label, node.location(), heaviest)
		}
		return weight, nil
	}
	return 0, nil
}
