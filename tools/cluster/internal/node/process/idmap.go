package process

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// idMaps says which user and group ids exist in this process's user namespace.
type idMaps struct {
	users, groups []idRange
	// fixedGroups: setgroups(2) is barred, as it is where an unprivileged user
	// made the user namespace.
	fixedGroups bool
}

type idRange struct{ first, count int64 }

func readIDMaps() (idMaps, error) {
	var maps idMaps
	for path, ranges := range map[string]*[]idRange{"/proc/self/uid_map": &maps.users, "/proc/self/gid_map": &maps.groups} {
		text, err := os.ReadFile(path)
		if err != nil {
			return maps, fmt.Errorf("read id map: %w", err)
		}
		if *ranges, err = parseIDMap(string(text)); err != nil {
			return maps, fmt.Errorf("read id map %s: %w", path, err)
		}
	}
	setgroups, err := os.ReadFile("/proc/self/setgroups")
	if err != nil {
		return maps, fmt.Errorf("read id map: %w", err)
	}
	maps.fixedGroups = string(bytes.TrimSpace(setgroups)) == "deny"
	return maps, nil
}

func parseIDMap(text string) ([]idRange, error) {
	var ranges []idRange
	for line := range strings.Lines(text) {
		var r idRange
		var outside int64
		if _, err := fmt.Sscan(line, &r.first, &outside, &r.count); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func contains(ranges []idRange, id int64) bool {
	for _, r := range ranges {
		if id >= r.first && id-r.first < r.count {
			return true
		}
	}
	return false
}

// Mapped returns what says whether a user or a group id exists in this
// process's user namespace: files can be given to no others.
func Mapped() (user, group func(id int64) bool, err error) {
	maps, err := readIDMaps()
	if err != nil {
		return nil, nil, err
	}
	return func(id int64) bool { return contains(maps.users, id) }, func(id int64) bool { return contains(maps.groups, id) }, nil
}
