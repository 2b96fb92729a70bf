package load

import (
	"fmt"
	"path"
	"strings"
)

// glob is Bazel's: `*` and `?` within a part of a path, `**` for any number of parts.
func glob(files, include, exclude []string) ([]string, error) {
	in, err := patterns(include)
	if err != nil {
		return nil, err
	}
	out, err := patterns(exclude)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, f := range files {
		parts := strings.Split(f, "/")
		if anyMatch(in, parts) && !anyMatch(out, parts) {
			found = append(found, f)
		}
	}
	return found, nil
}

func patterns(texts []string) ([][]string, error) {
	var all [][]string
	for _, text := range texts {
		if text == "" || strings.HasPrefix(text, "/") {
			return nil, fmt.Errorf("glob: pattern %q must be a path relative to the package", text)
		}
		parts := strings.Split(text, "/")
		for _, p := range parts {
			if p == "." || p == ".." || p == "" {
				return nil, fmt.Errorf("glob: pattern %q has the part %q", text, p)
			}
			if p != "**" && strings.Contains(p, "**") {
				return nil, fmt.Errorf("glob: pattern %q: ** must be a part by itself", text)
			}
		}
		all = append(all, parts)
	}
	return all, nil
}

func anyMatch(all [][]string, parts []string) bool {
	for _, p := range all {
		if match(p, parts) {
			return true
		}
	}
	return false
}

// match goes back to the last ** only: what is before it has matched as early as it can.
func match(pattern, parts []string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(parts) {
		switch {
		case i < len(pattern) && pattern[i] == "**":
			star, mark = i, j
			i++
		case i < len(pattern) && matchPart(pattern[i], parts[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == "**" {
		i++
	}
	return i == len(pattern)
}

// matchPart matches a part of a path: only * and ? are special.
func matchPart(pattern, name string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(name) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == name[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}

// directories are all folders of files, in order.
func directories(files []string) []string {
	seen := map[string]bool{}
	var all []string
	for _, f := range files {
		for d := path.Dir(f); d != "." && !seen[d]; d = path.Dir(d) {
			seen[d] = true
			all = append(all, d)
		}
	}
	return all
}
