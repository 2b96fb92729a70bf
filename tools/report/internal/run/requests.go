package run

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"stormgate.internal/tools/report/internal/outputs"
)

// slow is from what time on a request is drawn, in seconds: the API server's own objective
// for those of one object is one second, and here it is idle and near.
const slow = 0.25

// apiLanes are slow requests and the injected faults; Cluster.API has figures of all.
func (l *loader) apiLanes() []Lane {
	type key struct{ verb, resource string }
	times := map[key][]float64{}
	asked := map[key]*Asked{}
	var slowOnes, faults []Span
	for _, s := range l.run.leased() {
		o := l.left[s]
		if o == nil {
			continue
		}
		for _, q := range o.Requests {
			k := key{q.Verb, q.Resource}
			a := asked[k]
			if a == nil {
				a = &Asked{Verb: q.Verb, Resource: q.Resource}
				asked[k] = a
			}
			a.Requests++
			switch {
			case q.Code == 0:
				a.Unanswered++
			default:
				times[k] = append(times[k], q.Seconds)
				if q.Code >= 500 {
					a.Failed++
				}
			}
			if q.Seconds >= slow || q.Code == 0 || q.Code >= 500 {
				slowOnes = append(slowOnes, l.requestSpan(s, q))
			}
		}
		for _, f := range o.Faults {
			fault := Fault{Start: l.run.since(f.Began), End: -1, What: describeFault(f), Hits: f.Hits, Shard: s}
			if !f.Ended.IsZero() {
				fault.End = l.run.since(f.Ended)
			}
			l.run.Cluster.Faults = append(l.run.Cluster.Faults, fault)
		}
	}
	slices.SortStableFunc(l.run.Cluster.Faults, func(a, b Fault) int { return cmp.Compare(a.Start, b.Start) })
	for _, f := range l.run.Cluster.Faults {
		span := Span{Kind: spanFault, Label: f.What, Start: f.Start, End: f.End, Shard: f.Shard.Index, Note: fmt.Sprintf("met by %s, %s", count(f.Hits, "request"), f.Shard.Name())}
		if f.End < 0 {
			span.End = f.Shard.Start + f.Shard.Duration
			span.Note = "not ended by its spec, " + f.Shard.Name()
		}
		faults = append(faults, span)
	}
	for k, a := range asked {
		a.fill(times[k])
		l.run.Cluster.API = append(l.run.Cluster.API, *a)
	}
	slices.SortFunc(l.run.Cluster.API, func(a, b Asked) int {
		return cmp.Or(-cmp.Compare(a.P50*float64(a.Requests), b.P50*float64(b.Requests)), strings.Compare(a.Resource, b.Resource), strings.Compare(a.Verb, b.Verb))
	})
	lanes := pack(faults, Lane{Group: laneAPI, Name: "injected faults", Thin: true})
	return append(lanes, pack(slowOnes, Lane{Group: laneAPI, Name: "slow or failed requests", Folded: true, Thin: true})...)
}

func (l *loader) requestSpan(s *Shard, q outputs.Request) Span {
	start := l.run.since(q.At)
	span := Span{Kind: spanRequest, Label: q.Verb + " " + q.Resource, Note: fmt.Sprintf("%d, %s", q.Code, s.Name()), Start: start, End: start + q.Seconds, Shard: s.Index}
	if q.Code == 0 {
		span.Note = q.Error + ", " + s.Name()
	}
	return span
}

// fill computes the figures by the nearest rank.
func (a *Asked) fill(times []float64) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	rank := func(p float64) float64 { return times[max(0, int(math.Ceil(p*float64(len(times))))-1)] }
	a.P50, a.P95, a.P99, a.Longest = rank(0.5), rank(0.95), rank(0.99), times[len(times)-1]
}

func describeFault(f outputs.Fault) string {
	what := f.Rule.Fault.Kind
	switch {
	case f.Rule.Fault.Code > 0:
		what = fmt.Sprintf("status %d", f.Rule.Fault.Code)
	case f.Rule.Fault.Delay != "" && f.Rule.Fault.Delay != "0s":
		what += " " + f.Rule.Fault.Delay
	}
	for _, part := range []string{strings.Join(f.Rule.Match.Verbs, "/"), f.Rule.Match.Resource} {
		if part != "" {
			what += " " + part
		}
	}
	if f.Rule.Match.Namespace != "" {
		what += " in " + f.Rule.Match.Namespace
	}
	if f.Rule.Count > 0 {
		what += fmt.Sprintf(", %d at most", f.Rule.Count)
	}
	return what
}
