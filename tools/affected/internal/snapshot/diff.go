package snapshot

import (
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/git"
)

// Change is a path that two snapshots have differently.
type Change struct {
	Path string `json:"path"`
	// Kind is added, deleted, modified, mode (of execution, content as before), type
	// (file, link, submodule), submodule (another commit) or renamed.
	Kind string `json:"kind"`
	// From is the old path of a rename, else empty.
	From string `json:"from"`
}

// Diff lists what differs, in the order of paths. A rename is a deletion and an
// addition with the same content.
func Diff(base, head *Snapshot) []Change {
	var changes []Change
	gone := map[string][]int{}
	i, j := 0, 0
	for i < len(base.Files) || j < len(head.Files) {
		switch {
		case j == len(head.Files) || i < len(base.Files) && base.Files[i].Path < head.Files[j].Path:
			gone[base.Files[i].ID] = append(gone[base.Files[i].ID], len(changes))
			changes = append(changes, Change{Path: base.Files[i].Path, Kind: "deleted"})
			i++
		case i == len(base.Files) || head.Files[j].Path < base.Files[i].Path:
			changes = append(changes, Change{Path: head.Files[j].Path, Kind: "added"})
			j++
		default:
			a, b := base.Files[i], head.Files[j]
			if kind := differ(base, head, a, b); kind != "" {
				changes = append(changes, Change{Path: b.Path, Kind: kind})
			}
			i++
			j++
		}
	}
	renamed := map[int]bool{}
	for k := range changes {
		if changes[k].Kind != "added" {
			continue
		}
		entry, _ := head.Lookup(changes[k].Path)
		if olds := gone[entry.ID]; len(olds) > 0 {
			renamed[olds[0]] = true
			changes[k].Kind, changes[k].From = "renamed", changes[olds[0]].Path
			gone[entry.ID] = olds[1:]
		}
	}
	kept := changes[:0]
	for k, c := range changes {
		if !renamed[k] {
			kept = append(kept, c)
		}
	}
	slices.SortFunc(kept, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return kept
}

func differ(base, head *Snapshot, a, b Entry) string {
	switch {
	case base.Mode(a.Path) != head.Mode(b.Path) && kind(base.Mode(a.Path)) != kind(head.Mode(b.Path)):
		return "type"
	case a.ID != b.ID && a.Mode == git.Submodule:
		return "submodule"
	case a.ID != b.ID:
		return "modified"
	case a.Mode != b.Mode:
		return "mode"
	}
	return ""
}

func kind(m git.Mode) git.Mode {
	if m == git.Executable {
		return git.Regular
	}
	return m
}
