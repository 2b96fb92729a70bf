package suite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onsi/gomega/types"
)

// BeExactly matches a list that has each of the resources once and nothing else, in any
// order. In contrast to ConsistOf it is fast for thousands, and says what is wrong in
// a few lines.
func BeExactly(resources []string) types.GomegaMatcher {
	return &matcher[[]string]{
		wanted: fmt.Sprintf("each of %d resources, once", len(resources)),
		check:  func(got []string) differences { return compareLists(got, resources) },
		brief:  true,
	}
}

// compareLists counts how often each list has what is in either.
func compareLists(got, want []string) differences {
	surplus := map[string]int{}
	for _, name := range got {
		surplus[name]++
	}
	for _, name := range want {
		surplus[name]--
	}
	var missing, repeated []string
	for name, count := range surplus {
		switch {
		case count < 0:
			missing = append(missing, name)
		case count > 0:
			repeated = append(repeated, fmt.Sprintf("%s (%d times too often)", name, count))
		}
	}
	var d differences
	for what, names := range map[string][]string{"missing": missing, "there too often": repeated} {
		if len(names) > 0 {
			slices.Sort(names)
			d.add(what, fmt.Sprintf("%d of %d: %s", len(names), len(want), few(names)), "none")
		}
	}
	slices.Sort(d)
	return d
}

// few is the beginning of a list.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", ..."
}
