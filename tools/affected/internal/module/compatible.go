package module

import (
	"slices"
	"strconv"
	"strings"
)

// Compatible says that a version of Bazel meets all of a module's bazel_compatibility for
// certain: each is >=, <=, > or <, or - for all but this one, and a version of three numbers.
func Compatible(bazel string, constraints []string) bool {
	version, ok := numbers(bazel)
	if !ok {
		return false
	}
	for _, c := range constraints {
		at := strings.IndexAny(c, "0123456789")
		if at < 0 {
			return false
		}
		bound, ok := numbers(c[at:])
		if !ok {
			return false
		}
		order := slices.Compare(version, bound)
		met := false
		switch c[:at] {
		case ">=":
			met = order >= 0
		case "<=":
			met = order <= 0
		case ">":
			met = order > 0
		case "<":
			met = order < 0
		case "-":
			met = order != 0
		}
		if !met {
			return false
		}
	}
	return true
}

// numbers are the three of a version; those of a candidate are not known.
func numbers(version string) ([]int, bool) {
	parts := strings.Split(version, ".")
	if len(parts) != 3 {
		return nil, false
	}
	var all []int
	for _, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return nil, false
		}
		all = append(all, n)
	}
	return all, true
}
