package run

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/report/internal/outputs"
)

// Cluster is what the shards' outputs say of what they ran on.
type Cluster struct {
	Boots        []Boot
	Environments []LeasedEnvironment
	Pods         []Pod
	// Warnings are Kubernetes' events of type Warning, each once.
	Warnings []Event
	Changes  []Change
	// API is how long the API server took for what the leases asked it, by verb and
	// resource, those with most time in all first.
	API []Asked
	// Faults are those that specs had a proxy inject, in the order of time.
	Faults []Fault
}

// Asked are the requests of one kind, of all leases. Times are in seconds until the answer's
// header was there; requests without an answer are in none of them.
type Asked struct {
	Verb     string  `json:"verb"`
	Resource string  `json:"resource"`
	Requests int     `json:"requests"`
	P50      float64 `json:"p50"`
	P95      float64 `json:"p95"`
	P99      float64 `json:"p99"`
	Longest  float64 `json:"longest"`
	// Failed are those answered with 500 or more, Unanswered those without an answer.
	Failed     int `json:"failed"`
	Unanswered int `json:"unanswered"`
}

// Fault is what a proxy did to requests that the service made. Times are on the run's axis;
// End is -1 for one that was there until the shard's end.
type Fault struct {
	Start float64 `json:"start"`
	End   float64 `json:"end"`
	What  string  `json:"what"`
	Hits  int     `json:"hits"`
	Shard *Shard  `json:"-"`
}

// Boot is a cluster's own report. Times are in seconds since Start, which is on the run's
// axis.
type Boot struct {
	Start float64 `json:"start"`
	Ready float64 `json:"ready"`
	// Before says that it booted before this run.
	Before     bool                 `json:"before"`
	Steps      []api.Step           `json:"steps"`
	Components []api.ComponentUsage `json:"components"`
}

// LeasedEnvironment is one that had leases in this run.
type LeasedEnvironment struct {
	Name     string `json:"name"`
	Digest   string `json:"digest"`
	Leases   int    `json:"leases"`
	Restarts int    `json:"restarts"`
	// Waited is for slots, of all leases together, in seconds.
	Waited    float64        `json:"waited"`
	Exclusive float64        `json:"exclusive"`
	Verdicts  map[string]int `json:"verdicts"`
}

// Pod is one of the pods that events tell of. Times are on the run's axis.
type Pod struct {
	Name string `json:"name"`
	// Started and Killed are -1 where no event says so.
	Started float64 `json:"started"`
	Killed  float64 `json:"killed"`
	// Restarts are events that say that a container began again, Unhealthy failed probes.
	Restarts  int     `json:"restarts"`
	Unhealthy int     `json:"unhealthy"`
	Events    []Event `json:"events"`
}

// Event is a moment of a pod.
type Event struct {
	At      float64 `json:"at"`
	Type    string  `json:"type"`
	Object  string  `json:"object"`
	Reason  string  `json:"reason"`
	Message string  `json:"message"`
	Count   int     `json:"count"`
}

// Change is something that an attestation found.
type Change struct {
	Shard *Shard
	outputs.Change
}

// reported are the boot reports of this run's shards, each boot once.
func (l *loader) reported() []*api.Report {
	var boots []*api.Report
	for _, s := range l.run.Shards {
		o := l.left[s]
		if o == nil || o.Boot == nil || s.Cached != "" {
			continue
		}
		if !slices.ContainsFunc(boots, func(b *api.Report) bool { return b.Started.Equal(o.Boot.Started) }) {
			boots = append(boots, o.Boot)
		}
	}
	slices.SortFunc(boots, func(a, b *api.Report) int { return a.Started.Compare(b.Started) })
	return boots
}

func (l *loader) clusters() {
	r := l.run
	for _, b := range l.reported() {
		boot := Boot{Ready: b.Ready, Steps: b.Steps, Components: b.Components}
		if !r.Started.IsZero() {
			boot.Start = r.since(b.Started)
			boot.Before = boot.Start < 0
		}
		r.Cluster.Boots = append(r.Cluster.Boots, boot)
	}
	by := map[string]*LeasedEnvironment{}
	for _, s := range r.leased() {
		key := s.Lease.Environment + " " + s.Lease.Digest
		e := by[key]
		if e == nil {
			e = &LeasedEnvironment{Name: s.Lease.Environment, Digest: s.Lease.Digest, Verdicts: map[string]int{}}
			by[key] = e
		}
		e.Leases++
		e.Restarts += s.Lease.Restarts
		e.Waited += s.Lease.Waited
		e.Exclusive += s.Lease.Exclusive
		e.Verdicts[cmp.Or(s.Lease.Verdict, "not said")]++
		for _, c := range s.Lease.Changes {
			r.Cluster.Changes = append(r.Cluster.Changes, Change{s, c})
		}
	}
	for _, e := range by {
		r.Cluster.Environments = append(r.Cluster.Environments, *e)
	}
	slices.SortFunc(r.Cluster.Environments, func(a, b LeasedEnvironment) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Digest, b.Digest))
	})
}

// podLanes reads pods' lives out of events. Several shards have the same events, and one
// event has other times in the outputs of each if it came again.
func (l *loader) podLanes() []Lane {
	r := l.run
	type key struct{ pod, reason, message string }
	pods := map[string]*Pod{}
	latest := map[key]outputs.Event{}
	for _, s := range r.Shards {
		o := l.left[s]
		if o == nil || s.Cached != "" {
			continue
		}
		for _, e := range o.Events {
			k := key{e.Namespace + "/" + e.Object, e.Reason, e.Message}
			if known, found := latest[k]; !found || e.Count > known.Count || e.Count == known.Count && e.Time.After(known.Time) {
				latest[k] = e
			}
		}
	}
	for k, e := range latest {
		event := Event{At: r.since(e.Time), Type: e.Type, Object: k.pod, Reason: e.Reason, Message: e.Message, Count: e.Count}
		if e.Type == "Warning" {
			r.Cluster.Warnings = append(r.Cluster.Warnings, event)
		}
		namespace, object, _ := strings.Cut(k.pod, "/")
		name, isPod := strings.CutPrefix(object, "pod/")
		if !isPod {
			continue
		}
		name = namespace + "/" + name
		p := pods[name]
		if p == nil {
			p = &Pod{Name: name, Started: -1, Killed: -1}
			pods[name] = p
		}
		p.Events = append(p.Events, event)
	}
	slices.SortFunc(r.Cluster.Warnings, compareEvents)
	for _, p := range pods {
		slices.SortFunc(p.Events, compareEvents)
		for _, e := range p.Events {
			switch e.Reason {
			case "Started":
				if p.Started < 0 {
					p.Started = e.At
				}
				p.Restarts += max(0, e.Count-1)
			case "Killing":
				p.Killed = e.At
			case "Unhealthy":
				p.Unhealthy += e.Count
			}
		}
		r.Cluster.Pods = append(r.Cluster.Pods, *p)
	}
	slices.SortFunc(r.Cluster.Pods, func(a, b Pod) int { return strings.Compare(a.Name, b.Name) })
	var lanes []Lane
	for _, p := range r.Cluster.Pods {
		lane := Lane{Group: lanePods, Name: p.Name, Folded: true, Thin: true}
		if p.Started >= 0 || p.Killed >= 0 {
			end := p.Killed
			if end < 0 {
				end = r.Seconds
			}
			lane.Spans = append(lane.Spans, Span{Kind: spanPod, Label: p.Name, Start: max(p.Started, 0), End: end, Guess: p.Started < 0 || p.Killed < 0, Shard: -1,
				Note: fmt.Sprintf("%d restarts, %d failed probes, by its events", p.Restarts, p.Unhealthy)})
		}
		for _, e := range p.Events {
			span := Span{Kind: spanEvent, Label: e.Reason, Note: e.Message, Start: e.At, End: e.At, Inner: true, Shard: -1}
			if e.Type == "Warning" {
				span.Verdict = Product
			}
			lane.Spans = append(lane.Spans, span)
		}
		lanes = append(lanes, lane)
	}
	return lanes
}

func compareEvents(a, b Event) int {
	return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.Object, b.Object), strings.Compare(a.Reason, b.Reason), strings.Compare(a.Message, b.Message))
}

// absent names what a reader may look for and no file of this run says.
func (l *loader) absent() {
	r := l.run
	say := func(format string, values ...any) { r.Absent = append(r.Absent, fmt.Sprintf(format, values...)) }
	leased := r.leased()
	if len(leased) > 0 {
		untold, leftOut := 0, 0
		for _, s := range leased {
			if o := l.left[s]; o == nil || len(o.Requests) == 0 {
				untold++
			} else {
				leftOut += o.LeftOut
			}
		}
		if untold > 0 {
			say("%s without requests.json: how long the API server took for them is not said.", count(untold, "shard"))
		}
		if leftOut > 0 {
			say("%s to the API server beyond what a shard keeps are in no figure.", count(leftOut, "request"))
		}
		if len(l.worker.Leases) == 0 {
			say("No log of the fixture's worker: deployments, and times with the environment alone, are not on the axis, and leases are placed by the shards' own reports.")
		}
		guessed := 0
		for _, s := range leased {
			if slices.ContainsFunc(s.Cases, func(c *Case) bool { return c.Spec && c.Began.IsZero() && c.Verdict != Skipped }) {
				guessed++
			}
		}
		if guessed > 0 {
			say("%s without start times of specs in test.xml: these are drawn in the order in which they ran, hatched, and have no slice of the logs unless they failed.", count(guessed, "shard"))
		}
		say("The API server's and the other components' logs are not among what a shard leaves, nor what others than the specs asked the API server.")
		say("CPU and memory of components are those at the end of the boot (boot.json), not over time.")
	}
	nameless := 0
	for _, s := range r.Shards {
		if s.nameless {
			nameless++
		}
	}
	if nameless > 0 {
		say("%s with a test.xml that names no test case: Go tests by rules_go name theirs with --test_env=GO_TEST_WRAP_TESTV=1.", count(nameless, "shard"))
	}
	if slices.ContainsFunc(r.Shards, func(s *Shard) bool { return s.Cached != "" }) {
		say("When Bazel answered a shard from a cache is in no build event: cached shards have no place on the axis.")
	}
	if len(r.Work) > 0 {
		say("Of actions that are no tests, build events say when the first began and the last ended, by mnemonic, not each.")
	}
}

// At is on the run's axis; -1 where no time is known.
func (c Change) At(r *Run) float64 {
	if c.Time.IsZero() || r.Started.IsZero() {
		return -1
	}
	return r.since(c.Time)
}
