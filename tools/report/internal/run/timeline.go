package run

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"stormgate.internal/tools/report/internal/workerlog"
)

// Timeline is the run on one axis, in seconds since its start.
type Timeline struct {
	Seconds float64 `json:"seconds"`
	Lanes   []Lane  `json:"lanes"`
}

// Groups of lanes, from top to bottom.
const (
	laneCluster = "cluster"
	laneSlots   = "slots"
	laneWaits   = "waiting for a slot"
	lanePrivate = "private clusters"
	laneTests   = "tests without a lease"
	laneAPI     = "API server"
	lanePods    = "pods"
	laneWork    = "compile, link and other actions"
	laneCached  = "cached"
)

// Lane is a row of the axis.
type Lane struct {
	Group string `json:"group,omitempty"`
	Name  string `json:"name,omitempty"`
	// Folded lanes are shown when asked for, Thin ones are lower than others.
	Folded bool   `json:"folded,omitempty"`
	Thin   bool   `json:"thin,omitempty"`
	Spans  []Span `json:"spans"`
}

// Kinds of Span.
const (
	spanBoot     = "boot"
	spanStep     = "step"
	spanDeploy   = "deploy"
	spanRedeploy = "redeploy"
	spanWait     = "wait"
	spanPrepare  = "prepare" // has its slot, and waits for cluster and environment
	spanLease    = "lease"
	spanAlone    = "alone"
	spanSpec     = "spec"
	spanShard    = "shard"
	spanWork     = "work"
	spanCached   = "cached"
	spanPod      = "pod"
	spanEvent    = "event"
	spanFault    = "fault"
	spanRequest  = "request"
)

// Span is a time in a lane. Start and End are the same for a moment.
type Span struct {
	Kind    string  `json:"kind,omitempty"`
	Label   string  `json:"label,omitempty"`
	Note    string  `json:"note,omitempty"`
	Start   float64 `json:"start"`
	End     float64 `json:"end"`
	Verdict Verdict `json:"verdict,omitempty"`
	// Inner spans lie in an outer one of the lane.
	Inner bool `json:"inner,omitempty"`
	// Guess says that the place was not read but follows from the order of what was.
	Guess bool `json:"guess,omitempty"`
	// Failure is the ID of a Failure that explains it.
	Failure string `json:"failure,omitempty"`
	// Shard is the index of the shard, -1 for none.
	Shard int `json:"shard"`
}

// timeline draws all that has a time in this run.
func (l *loader) timeline() {
	r := l.run
	t := &r.Timeline
	if r.Started.IsZero() {
		l.problem("the build events don't say when the build began: there is no time axis")
		return
	}
	t.Lanes = append(t.Lanes, l.clusterLanes()...)
	t.Lanes = append(t.Lanes, l.leaseLanes()...)
	t.Lanes = append(t.Lanes, l.otherTests()...)
	t.Lanes = append(t.Lanes, l.apiLanes()...)
	t.Lanes = append(t.Lanes, l.podLanes()...)
	t.Lanes = append(t.Lanes, r.workLanes()...)
	t.Lanes = append(t.Lanes, r.cachedLane()...)
	t.Seconds = r.Seconds
	for i := range t.Lanes {
		t.Lanes[i].clip(r.Seconds)
	}
	t.Lanes = slices.DeleteFunc(t.Lanes, func(lane Lane) bool { return len(lane.Spans) == 0 })
}

// clip leaves out what is outside of the run: a worker's log has other builds in it.
func (lane *Lane) clip(end float64) {
	lane.Spans = slices.DeleteFunc(lane.Spans, func(s Span) bool { return s.End < 0 || s.Start > end+1 })
	for i := range lane.Spans {
		s := &lane.Spans[i]
		if s.Start < 0 {
			s.Note = strings.TrimPrefix(s.Note+"; began "+seconds(-s.Start)+" before this run", "; ")
			s.Start = 0
		}
		s.End = max(s.Start, math.Min(s.End, end+1))
	}
}

func seconds(s float64) string { return fmt.Sprintf("%.3g s", s) }

// open is the end of something whose end no file says.
func (r *Run) orEnd(t time.Time) float64 {
	if t.IsZero() {
		return r.Seconds
	}
	return r.since(t)
}

// clusterLanes are boots with their steps, and deployments.
func (l *loader) clusterLanes() []Lane {
	r := l.run
	boots := Lane{Group: laneCluster, Name: "boot"}
	steps := Lane{Group: laneCluster, Name: "steps of the boot", Folded: true, Thin: true}
	for _, b := range l.worker.Boots {
		if b.Ready.IsZero() && b.Failure == "" {
			continue
		}
		end := cmp.Or(b.Ready, b.End)
		span := Span{Kind: spanBoot, Label: strings.TrimSpace(fmt.Sprintf("boot %d %s", b.Number, b.Cluster)), Note: b.Failure, Start: r.since(b.Start), End: r.since(end), Shard: -1}
		if b.Failure != "" && b.Ready.IsZero() {
			span.Verdict = Infrastructure
		}
		boots.Spans = append(boots.Spans, span)
		for _, s := range b.Steps {
			steps.Spans = append(steps.Spans, Span{Kind: spanStep, Label: s.Name, Start: r.since(s.Start), End: r.since(s.End), Shard: -1})
		}
	}
	if len(boots.Spans) == 0 {
		for _, b := range l.reported() {
			begin := r.since(b.Started)
			boots.Spans = append(boots.Spans, Span{Kind: spanBoot, Label: "boot", Start: begin, End: begin + b.Ready, Shard: -1})
			for _, s := range b.Steps {
				steps.Spans = append(steps.Spans, Span{Kind: spanStep, Label: s.Name, Start: begin + s.Start, End: begin + s.End, Shard: -1})
			}
		}
	}
	lanes := append([]Lane{boots}, pack(steps.Spans, steps)...)
	return append(lanes, l.deployLanes()...)
}

func (l *loader) deployLanes() []Lane {
	r := l.run
	var spans []Span
	seen := map[string]bool{}
	for _, d := range l.worker.Deploys {
		span := Span{Kind: spanDeploy, Label: d.Environment, Start: r.since(d.Start), End: r.orEnd(d.End), Shard: -1}
		if seen[d.Environment] {
			span.Kind = spanRedeploy
		}
		seen[d.Environment] = true
		for _, why := range l.worker.Redeploys {
			if gap := d.Start.Sub(why.Time); why.Environment == d.Environment && gap >= 0 && gap < time.Second {
				span.Kind, span.Note = spanRedeploy, why.Why
			}
		}
		if d.Replaces != "" {
			span.Note = strings.TrimPrefix(span.Note+"; in place of "+d.Replaces, "; ")
		}
		if d.Failure != "" {
			span.Verdict, span.Note = Infrastructure, d.Failure
		}
		spans = append(spans, span)
	}
	return pack(spans, Lane{Group: laneCluster, Name: "deployments"})
}

// leased are the shards that had a lease in this run.
func (r *Run) leased() []*Shard {
	return slices.DeleteFunc(slices.Clone(r.Shards), func(s *Shard) bool { return s.Cached != "" || s.Lease == nil || s.Lease.Slot == 0 })
}

// leaseLanes are the slots, and who waited for one.
func (l *loader) leaseLanes() []Lane {
	r := l.run
	slots := map[int]*Lane{}
	var waits, private []Span
	most := 0
	for _, s := range r.leased() {
		wait, spans := l.leaseSpans(s)
		if wait.End-wait.Start > 0.001 {
			waits = append(waits, wait)
		}
		if s.Lease.Provider == "private" {
			private = append(private, r.shardSpan(s))
			continue
		}
		n := s.Lease.Slot
		most = max(most, n)
		if slots[n] == nil {
			slots[n] = &Lane{Group: laneSlots, Name: fmt.Sprintf("slot %d", n)}
		}
		slots[n].Spans = append(slots[n].Spans, spans...)
	}
	var lanes []Lane
	for n := 1; n <= most; n++ {
		if slots[n] != nil {
			lanes = append(lanes, *slots[n])
		}
	}
	lanes = append(lanes, pack(waits, Lane{Group: laneWaits, Name: "waits", Thin: true})...)
	return append(lanes, pack(private, Lane{Group: lanePrivate, Name: lanePrivate})...)
}

// leaseSpans are a shard's wait for its slot, and what is in its slot's lane. Where the
// worker's log has the lease, the times are the server's own.
func (l *loader) leaseSpans(s *Shard) (wait Span, spans []Span) {
	r := l.run
	setUp, first, last := s.setUp()
	begin := s.Start
	if setUp != nil && !setUp.Began.IsZero() {
		begin = r.since(setUp.Began)
	}
	slotted := begin + s.Lease.Waited
	granted, ended := slotted, s.Start+s.Duration
	guess := setUp == nil || setUp.Began.IsZero()
	switch {
	case setUp != nil:
		granted = max(slotted, begin+setUp.Duration)
	case !first.IsZero():
		granted = max(slotted, r.since(first))
	}
	if !last.IsZero() {
		ended = max(granted, r.since(last))
	}
	lease := l.lease(s.Lease.ID)
	if lease != nil {
		begin, slotted, granted, guess = r.since(lease.Asked), r.since(lease.Slotted), r.since(lease.Granted), false
		ended = r.since(cmp.Or(lease.Ended, s.Began.Add(time.Duration(s.Duration*float64(time.Second)))))
	}
	wait = Span{Kind: spanWait, Label: s.Name(), Start: begin, End: slotted, Guess: guess, Shard: s.Index}
	note := s.Lease.Environment
	if s.Lease.Verdict != "" {
		note += ", " + s.Lease.Verdict
	}
	if granted-slotted > 0.001 {
		spans = append(spans, Span{Kind: spanPrepare, Label: s.Name(), Note: "waits for cluster and environment", Start: slotted, End: granted, Guess: guess, Shard: s.Index})
	}
	spans = append(spans, Span{Kind: spanLease, Label: s.Name(), Note: note, Start: granted, End: max(granted, ended), Verdict: s.Verdict, Guess: guess, Shard: s.Index})
	if lease != nil {
		for _, alone := range lease.Alone {
			spans = append(spans, Span{Kind: spanAlone, Label: "alone with the environment", Note: s.Name(), Start: r.since(alone.Start), End: r.orEnd(alone.End), Shard: s.Index})
		}
	}
	return wait, append(spans, l.specSpans(s, granted)...)
}

func (l *loader) lease(id string) *workerlog.Lease {
	if i := slices.IndexFunc(l.worker.Leases, func(lease workerlog.Lease) bool { return lease.ID == id && id != "" }); i >= 0 {
		return &l.worker.Leases[i]
	}
	return nil
}

// setUp returns the case in which the environment was acquired, which tools/ginkgo puts
// first, and when the first and the last case began and ended as far as they say.
func (s *Shard) setUp() (setUp *Case, first, last time.Time) {
	for i, c := range s.Cases {
		if i == 0 && !c.Spec {
			setUp = c
		}
		if c.Began.IsZero() {
			continue
		}
		if c.Spec && (first.IsZero() || c.Began.Before(first)) {
			first = c.Began
		}
		if end := c.Began.Add(time.Duration(c.Duration * float64(time.Second))); end.After(last) {
			last = end
		}
	}
	return setUp, first, last
}

// specSpans are the specs of a shard. One of which no file says when it began follows the
// one before it, as test.xml has them in the order in which they ran.
func (l *loader) specSpans(s *Shard, at float64) []Span {
	var spans []Span
	for _, c := range s.Cases {
		if !c.Spec || c.Verdict == Skipped || c.Kind == "lost" {
			continue
		}
		span := Span{Kind: spanSpec, Label: c.Name, Note: string(c.Verdict), Verdict: c.Verdict, Start: at, Inner: true, Guess: true, Shard: s.Index}
		if !c.Began.IsZero() {
			span.Start, span.Guess = l.run.since(c.Began), false
		}
		span.End = span.Start + c.Duration
		at = span.End
		for _, f := range l.run.Failures {
			if f.Case == c {
				span.Failure = f.ID
			}
		}
		spans = append(spans, span)
	}
	return spans
}

func (r *Run) shardSpan(s *Shard) Span {
	span := Span{Kind: spanShard, Label: s.Name(), Note: s.Status, Start: s.Start, End: s.Start + s.Duration, Verdict: s.Verdict, Shard: s.Index}
	for _, f := range r.Failures {
		if f.Shard == s {
			span.Failure = f.ID
			break
		}
	}
	return span
}

func (l *loader) otherTests() []Lane {
	var spans []Span
	for _, s := range l.run.Shards {
		if s.Cached == "" && (s.Lease == nil || s.Lease.Slot == 0) && !s.Began.IsZero() {
			spans = append(spans, l.run.shardSpan(s))
		}
	}
	return pack(spans, Lane{Group: laneTests, Name: laneTests})
}

// workLanes are actions by mnemonic: Bazel's build events say when the first began and the
// last ended.
func (r *Run) workLanes() []Lane {
	var lanes []Lane
	for _, w := range r.Work {
		lanes = append(lanes, Lane{Group: laneWork, Name: w.Mnemonic, Folded: true, Thin: true, Spans: []Span{{
			Kind: spanWork, Label: w.Mnemonic, Start: w.Start, End: w.End, Shard: -1,
			Note: fmt.Sprintf("%s from the first's start to the last's end, %.1f s of CPU", count(w.Actions, "action"), w.CPU),
		}}})
	}
	return lanes
}

// cachedLane has all cached shards in a row: when Bazel answered is in no event.
func (r *Run) cachedLane() []Lane {
	lane := Lane{Group: laneCached, Name: "from the cache", Thin: true}
	for _, s := range r.Shards {
		if s.Cached != "" {
			lane.Spans = append(lane.Spans, Span{Kind: spanCached, Label: s.Name(), Note: s.Cached + "; the build events don't say when", Verdict: s.Verdict, Guess: true, Shard: s.Index})
		}
	}
	width := r.Seconds / float64(max(len(lane.Spans), 1))
	for i := range lane.Spans {
		lane.Spans[i].Start, lane.Spans[i].End = float64(i)*width, (float64(i)+0.9)*width
	}
	return []Lane{lane}
}

// pack puts spans into as few lanes like this one as they need.
func pack(spans []Span, like Lane) []Lane {
	slices.SortStableFunc(spans, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	var lanes []Lane
	var ends []float64
	for _, s := range spans {
		i := slices.IndexFunc(ends, func(end float64) bool { return end <= s.Start })
		if i < 0 {
			i = len(lanes)
			lanes = append(lanes, Lane{Group: like.Group, Name: like.Name, Folded: like.Folded, Thin: like.Thin})
			ends = append(ends, 0)
		}
		lanes[i].Spans = append(lanes[i].Spans, s)
		ends[i] = s.End
	}
	return lanes
}
