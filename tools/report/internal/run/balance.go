package run

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Balance is how evenly a sharded test is divided. Times are in seconds.
type Balance struct {
	Target string      `json:"target"`
	Shards []ShardTime `json:"shards"`
	// Longest and Mean are of the shards, Overhead is what a shard takes beside its specs,
	// as the mean.
	Longest  float64 `json:"longest"`
	Mean     float64 `json:"mean"`
	Overhead float64 `json:"overhead"`
	// Cached says that some of the shards did not run in this build; their times are those
	// of the run that was kept.
	Cached bool `json:"cached"`
	// WhatIf are other shard counts.
	WhatIf []WhatIf `json:"whatIf"`
	// Spec is the longest spec, which no number of shards makes shorter.
	Spec        string  `json:"spec"`
	SpecSeconds float64 `json:"specSeconds"`
}

// ShardTime is how long a shard took.
type ShardTime struct {
	Shard   int     `json:"shard"`
	Seconds float64 `json:"seconds"`
}

// WhatIf is how long something would take with another number.
type WhatIf struct {
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
	// Now marks the number that it has.
	Now bool `json:"now"`
}

// Link is a shard in the chain that made the run as long as it was.
type Link struct {
	Shard *Shard
	Name  string
	// Start and End in seconds since the run's start. Gap is what is between the end of the
	// one before and this one's start.
	Start, End, Gap float64
	Why             string
}

// counts that are tried for shards and slots.
var counts = []int{1, 2, 3, 4, 6, 8, 12}

func (r *Run) balance() {
	by := map[string][]*Shard{}
	var order []string
	for _, s := range r.Shards {
		if s.Of < 2 || s.Run > 1 || !s.Final {
			continue
		}
		if by[s.Target] == nil {
			order = append(order, s.Target)
		}
		by[s.Target] = append(by[s.Target], s)
	}
	for _, target := range order {
		r.Balances = append(r.Balances, balanceOf(target, by[target]))
	}
	slices.SortStableFunc(r.Balances, func(a, b Balance) int { return cmp.Compare(b.Longest, a.Longest) })
	r.slots()
	r.chain()
}

func balanceOf(target string, shards []*Shard) Balance {
	b := Balance{Target: target}
	slices.SortFunc(shards, func(x, y *Shard) int { return x.Shard - y.Shard })
	var specs []float64
	total := 0.0
	for _, s := range shards {
		b.Cached = b.Cached || s.Cached != ""
		b.Shards = append(b.Shards, ShardTime{s.Shard, s.Duration})
		b.Longest, b.Mean = max(b.Longest, s.Duration), b.Mean+s.Duration/float64(len(shards))
		for _, c := range s.Cases {
			if c.Spec {
				specs = append(specs, c.Duration)
				total += c.Duration
				if c.Duration > b.SpecSeconds {
					b.Spec, b.SpecSeconds = c.Name, c.Duration
				}
			}
		}
	}
	if len(specs) == 0 {
		return b
	}
	b.Overhead = max(0, b.Mean-total/float64(len(shards)))
	for _, n := range with(counts, len(shards)) {
		if n > len(specs) && n != len(shards) {
			break
		}
		b.WhatIf = append(b.WhatIf, WhatIf{Count: n, Seconds: b.Overhead + schedule(specs, n), Now: n == len(shards)})
	}
	return b
}

func with(counts []int, n int) []int {
	all := append(slices.Clone(counts), n)
	slices.Sort(all)
	return slices.Compact(all)
}

// schedule is how long jobs take on n machines, when the longest goes first to whatever
// machine is free.
func schedule(jobs []float64, n int) float64 {
	sorted := slices.Clone(jobs)
	slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(b, a) })
	loads := make([]float64, n)
	for _, job := range sorted {
		least := 0
		for i := range loads {
			if loads[i] < loads[least] {
				least = i
			}
		}
		loads[least] += job
	}
	return slices.Max(loads)
}

// slots says what the shards that had a lease would take with other numbers of slots.
func (r *Run) slots() {
	var jobs []float64
	now := 0
	for _, s := range r.leased() {
		if s.Lease.Provider == "private" {
			continue
		}
		jobs = append(jobs, max(0, s.Duration-s.Lease.Waited))
		now = max(now, s.Lease.Slot)
	}
	if len(jobs) < 2 {
		return
	}
	for _, n := range with(counts, now) {
		if n > len(jobs) && n != now {
			break
		}
		r.Slots = append(r.Slots, WhatIf{Count: n, Seconds: schedule(jobs, n), Now: n == now})
	}
}

// chainGap is how long after the end of one shard another may begin to count as waiting for
// it, in seconds.
const chainGap = 0.5

// chain goes back from the shard that ended last: each link is the shard that ended last
// before the one after it began.
func (r *Run) chain() {
	var ran []*Shard
	for _, s := range r.Shards {
		if s.Cached == "" && !s.Began.IsZero() {
			ran = append(ran, s)
		}
	}
	if len(ran) == 0 {
		return
	}
	end := func(s *Shard) float64 { return s.Start + s.Duration }
	at := slices.MaxFunc(ran, func(a, b *Shard) int { return cmp.Compare(end(a), end(b)) })
	for range ran {
		link := Link{Shard: at, Name: at.Name(), Start: at.Start, End: end(at)}
		var before *Shard
		for _, s := range ran {
			if s != at && end(s) <= at.Start+0.05 && s.Start < at.Start && (before == nil || end(s) > end(before)) {
				before = s
			}
		}
		if before != nil && at.Start-end(before) <= chainGap {
			link.Gap = math.Max(0, at.Start-end(before))
			link.Why = fmt.Sprintf("began %s after %s had ended", seconds(link.Gap), before.Name())
		} else {
			link.Gap = at.Start
			link.Why = "began when no test had just ended: after the build, or when Bazel had come to it"
			before = nil
		}
		r.Chain = append(r.Chain, link)
		if before == nil {
			break
		}
		at = before
	}
	slices.Reverse(r.Chain)
}
