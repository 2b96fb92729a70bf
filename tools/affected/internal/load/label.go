package load

import (
	"fmt"
	"path"
	"strings"
)

// Label names a target or a file. Its repository is empty for the main one.
type Label struct {
	Repo, Package, Name string
}

// String is `//package:name`, of other repositories with `@repo` before it.
func (l Label) String() string {
	repo := ""
	if l.Repo != "" {
		repo = "@" + l.Repo
	}
	return repo + "//" + l.Package + ":" + l.Name
}

// ParseLabel reads what Label.String writes.
func ParseLabel(text string) (Label, error) {
	return parseLabel(text, Label{}, nil)
}

// parseLabel reads a label as it is written in a file of package `in`. Mapping is the
// file's repository mapping: the name that it has for a repository to the one that
// is used here. A name that is not in it stands for itself.
func parseLabel(text string, in Label, mapping map[string]string) (Label, error) {
	l := Label{Repo: in.Repo, Package: in.Package}
	rest := text
	if strings.HasPrefix(rest, "@") {
		canonical := strings.HasPrefix(rest, "@@")
		rest = strings.TrimLeft(rest, "@")
		repo, after, ok := strings.Cut(rest, "//")
		if !ok {
			// @repo is short for @repo//:repo.
			if repo == "" || strings.ContainsAny(repo, "/:") {
				return Label{}, fmt.Errorf("parse label %q: no // after the repository", text)
			}
			rest = "//:" + repo
		} else {
			rest = "//" + after
		}
		if mapped, ok := mapping[repo]; ok && !canonical {
			repo = mapped
		}
		if canonical {
			repo = ownName(repo)
		}
		l.Repo = repo
	}
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		pkg, name, named := strings.Cut(after, ":")
		if !named {
			name = path.Base(pkg)
		}
		l.Package, l.Name = pkg, name
	} else {
		l.Name = strings.TrimPrefix(rest, ":")
	}
	if l.Name == "" || l.Name == "." && l.Package == "" || strings.HasPrefix(l.Name, "/") ||
		strings.HasPrefix(l.Package, "/") || strings.HasSuffix(l.Package, "/") || strings.ContainsAny(text, "\n\x00") {
		return Label{}, fmt.Errorf("parse label %q: not a label", text)
	}
	return l, nil
}

// ownName is the name that is used here for a repository by its canonical name: name~, name+,
// or what follows the extension that makes it.
func ownName(canonical string) string {
	parts := strings.FieldsFunc(canonical, func(r rune) bool { return r == '~' || r == '+' })
	if len(parts) == 0 {
		return canonical
	}
	return parts[len(parts)-1]
}

// ParseMapped reads a label as the main module's files have it.
func ParseMapped(text string, mapping map[string]string) (Label, error) {
	return parseLabel(text, Label{}, mapping)
}

// ParseIn reads a label as a file of a package has it.
func ParseIn(text string, in Label, mapping map[string]string) (Label, error) {
	return parseLabel(text, in, mapping)
}

// LabelDigest is the Digest of an attribute whose value is a label.
func LabelDigest(label string) string { return digest(label) }

// ValueDigest is the Digest of an attribute whose value is written as text.
func ValueDigest(text string) string { return digest(text) }
