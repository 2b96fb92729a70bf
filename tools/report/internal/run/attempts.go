package run

import (
	"fmt"
	"slices"
)

// Repeated is a spec that ran more than once in this build: Ginkgo tried it again, Bazel
// tried its shard again, or --runs_per_test asked for it.
type Repeated struct {
	Target, Name, At string
	Tries            []Try
	// Differ says that not all tries have one result.
	Differ bool
}

// Try is one of them.
type Try struct {
	// Which is such as "run 2, attempt 1".
	Which    string
	Result   string
	Kind     string
	Message  string
	Details  Text
	Output   Text
	Duration float64
	Seconds  bool // whether Duration is known
}

// Repeats returns the specs that ran more than once, those with different results first.
func (r *Run) Repeats() []Repeated {
	type key struct{ target, name string }
	by := map[key]*Repeated{}
	var order []key
	for _, s := range r.Shards {
		for _, c := range s.Cases {
			if !c.Spec || c.Verdict == Skipped {
				continue
			}
			k := key{s.Target, c.Name}
			if by[k] == nil {
				by[k] = &Repeated{Target: s.Target, Name: c.Name, At: c.At}
				order = append(order, k)
			}
			by[k].Tries = append(by[k].Tries, tries(s, c)...)
		}
	}
	var all []Repeated
	for _, k := range order {
		one := by[k]
		if len(one.Tries) < 2 {
			continue
		}
		for _, t := range one.Tries {
			one.Differ = one.Differ || t.Result != one.Tries[0].Result
		}
		all = append(all, *one)
	}
	slices.SortStableFunc(all, func(a, b Repeated) int {
		if a.Differ != b.Differ {
			if a.Differ {
				return -1
			}
			return 1
		}
		return 0
	})
	return all
}

func tries(s *Shard, c *Case) []Try {
	which := fmt.Sprintf("run %d, attempt %d", s.Run, s.Attempt)
	if len(c.Attempts) == 0 {
		return []Try{{Which: which, Result: string(c.Result), Kind: c.Kind, Message: c.Message, Details: NewText(c.Details), Output: NewText(c.Output), Duration: c.Duration, Seconds: true}}
	}
	var all []Try
	for i, a := range c.Attempts {
		all = append(all, Try{
			Which: fmt.Sprintf("%s, try %d", which, a.Number), Result: a.Result, Kind: a.Kind, Message: a.Message, Details: NewText(a.Details), Output: NewText(a.Output),
			Duration: a.Duration, Seconds: i == len(c.Attempts)-1 && len(c.Attempts) == 1,
		})
	}
	return all
}
