package main

import (
	"regexp"
	"slices"
	"testing"
)

var (
	twoScenarios = []scenario{{label: "//e2e:a"}, {label: "//e2e:b"}}
	threeSpecs   = []spec{{"//e2e:a", "one (of three)"}, {"//e2e:a", "one (of three) and more"}, {"//e2e:b", "two"}}
)

func TestPlanHasEveryOrderOnEveryCluster(t *testing.T) {
	plan, err := newPlan(twoScenarios, threeSpecs, orders, clusters, 1)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range plan {
		names = append(names, r.name())
		ran := map[string]int{}
		for _, p := range r.processes {
			for _, s := range threeSpecs {
				if p.scenario == s.scenario && regexp.MustCompile(p.filter).MatchString(s.text) {
					ran[s.text]++
				}
			}
		}
		for _, s := range threeSpecs {
			if ran[s.text] != 1 {
				t.Errorf("%s: %q runs %d times", r.name(), s.text, ran[s.text])
			}
		}
	}
	want := []string{
		"together, shared", "alone, shared", "reverse, shared", "random, shared",
		"together, private", "alone, private", "reverse, private", "random, private",
	}
	if !slices.Equal(names, want) {
		t.Errorf("runs %q", names)
	}
}

func TestPlanOfOrders(t *testing.T) {
	for order, check := range map[string]func(run) bool{
		"together": func(r run) bool { return r.jobs == 4 && !r.processes[0].shuffle },
		"alone":    func(r run) bool { return r.jobs == 1 && len(r.processes) == 3 },
		"reverse":  func(r run) bool { return r.jobs == 1 && r.processes[0].scenario == "//e2e:b" && r.processes[1].reverse },
		"random":   func(r run) bool { return r.processes[0].shuffle && r.processes[0].seed == 7 },
	} {
		plan, err := newPlan(twoScenarios, threeSpecs, []string{order}, []string{"shared"}, 7)
		if err != nil || len(plan) != 1 || !check(plan[0]) {
			t.Errorf("%s: %+v, %v", order, plan, err)
		}
	}
}

func TestPlanOfWhatIsNotThere(t *testing.T) {
	if _, err := newPlan(twoScenarios, threeSpecs, []string{"sideways"}, clusters, 1); err == nil {
		t.Error("no error for an order that is not there")
	}
	if _, err := newPlan(twoScenarios, threeSpecs, orders, []string{"moon"}, 1); err == nil {
		t.Error("no error for a cluster that is not there")
	}
}
