package run

import (
	"regexp"
	"slices"
	"strings"
)

// What differs between two failures of one cause: names that were made at random, times,
// places in memory, numbers.
var varying = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?`), "TIME"},
	{regexp.MustCompile(`0x[0-9a-f]+`), "0x"},
	{regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b`), "ADDRESS"},
	{regexp.MustCompile(`\b(\d+(\.\d+)?(ns|µs|us|ms|s|m|h))+\b`), "DURATION"},
	// Kubernetes' and a lease's random suffixes: letters and digits together.
	{regexp.MustCompile(`\b[0-9a-f]{12,}\b`), "ID"},
	{regexp.MustCompile(`-[a-z0-9]*\d[a-z0-9]*\b`), "-N"},
	{regexp.MustCompile(`\d+`), "N"},
}

// likeness is what alike failures have in common.
func likeness(message string) string {
	parts := strings.SplitN(message, "\n", 12)
	text := strings.Join(parts[:min(len(parts), 11)], "\n")
	if len(text) > 2000 {
		text = strings.ToValidUTF8(text[:2000], "")
	}
	for _, v := range varying {
		text = v.form.ReplaceAllString(text, v.as)
	}
	return strings.Join(strings.Fields(text), " ")
}

// group puts failures that look alike together, the largest group of each verdict first.
func (r *Run) group() {
	by := map[string]int{}
	for _, f := range r.Failures {
		key := string(f.Case.Verdict) + " " + f.Case.Kind + " " + likeness(f.Message)
		i, found := by[key]
		if !found {
			i = len(r.Groups)
			by[key] = i
			r.Groups = append(r.Groups, Group{Verdict: f.Case.Verdict, Message: f.First})
		}
		r.Groups[i].Failures = append(r.Groups[i].Failures, f)
	}
	slices.SortStableFunc(r.Groups, func(a, b Group) int {
		if a.Verdict != b.Verdict {
			return rank(a.Verdict) - rank(b.Verdict)
		}
		return len(b.Failures) - len(a.Failures)
	})
	for i := range r.Groups {
		r.Groups[i].Number = i + 1
		for _, f := range r.Groups[i].Failures {
			f.Group = i + 1
		}
	}
}
