package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
)

// Orders and clusters that can be asked for.
var (
	orders   = []string{"together", "alone", "reverse", "random"}
	clusters = []string{"shared", "private"}
)

// spec is one spec of a scenario.
type spec struct {
	scenario string // label of the test target
	text     string // full text, as in test.xml
}

// run is a set of processes whose specs are to give the verdicts that they give
// in any other.
type run struct {
	order, cluster string
	processes      []process
	jobs           int // how many processes at a time
}

func (r run) name() string { return r.order + ", " + r.cluster }

// process is one execution of a scenario's program.
type process struct {
	scenario string
	filter   string // regular expression over the specs' text, empty for all
	reverse  bool
	shuffle  bool
	seed     int64 // 0: the program's own
}

// sharedJobs are as many as the cluster has slots; a private cluster takes more
// than a scenario does.
const (
	sharedJobs  = 4
	privateJobs = 2
)

// newPlan lists the runs. The specs are those of the scenarios.
func newPlan(scenarios []scenario, specs []spec, wantedOrders, wantedClusters []string, seed int64) ([]run, error) {
	var plan []run
	for _, cluster := range wantedClusters {
		jobs := sharedJobs
		switch cluster {
		case "shared":
		case "private":
			jobs = privateJobs
		default:
			return nil, fmt.Errorf("there is no cluster %q, only %q", cluster, clusters)
		}
		for _, order := range wantedOrders {
			r := run{order: order, cluster: cluster, jobs: jobs}
			for _, s := range scenarios {
				r.processes = append(r.processes, process{scenario: s.label})
			}
			switch order {
			case "together":
			case "alone":
				// Nothing else runs at the same time, not even another scenario.
				r.jobs, r.processes = 1, nil
				for _, s := range specs {
					r.processes = append(r.processes, process{scenario: s.scenario, filter: "^" + regexp.QuoteMeta(s.text) + "$"})
				}
			case "reverse":
				r.jobs = 1
				slices.Reverse(r.processes)
				for i := range r.processes {
					r.processes[i].reverse, r.processes[i].shuffle = true, true
				}
			case "random":
				rand.New(rand.NewPCG(uint64(seed), 0)).Shuffle(len(r.processes), func(i, j int) {
					r.processes[i], r.processes[j] = r.processes[j], r.processes[i]
				})
				for i := range r.processes {
					r.processes[i].shuffle, r.processes[i].seed = true, seed
				}
			default:
				return nil, fmt.Errorf("there is no order %q, only %q", order, orders)
			}
			plan = append(plan, r)
		}
	}
	return plan, nil
}
