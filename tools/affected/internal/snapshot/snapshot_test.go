package snapshot

import (
	"reflect"
	"testing"

	"stormgate.internal/tools/affected/internal/git"
)

func TestDiff(t *testing.T) {
	base := Of(map[string]string{
		"same": "1", "modified": "1", "mode": "#!x", "old/name": "moved", "deleted": "gone", "type": "x", "link": "-> same", "to": "-> modified",
	})
	head := Of(map[string]string{
		"same": "1", "modified": "2", "mode": "#!x", "new/name": "moved", "added": "new", "type": "-> same", "link": "-> same", "to": "-> modified",
	})
	// Of takes the mode from the content: change it as chmod does.
	for i := range head.Files {
		if head.Files[i].Path == "mode" {
			head.Files[i].Mode = git.Regular
		}
	}
	want := []Change{
		{Path: "added", Kind: "added"},
		{Path: "deleted", Kind: "deleted"},
		{Path: "mode", Kind: "mode"},
		{Path: "modified", Kind: "modified"},
		{Path: "new/name", Kind: "renamed", From: "old/name"},
		{Path: "to", Kind: "modified"}, // What it leads to is.
		{Path: "type", Kind: "type"},
	}
	if got := Diff(base, head); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestLinks: a link is what it leads to, in the workspace; it can't leave or loop.
func TestLinks(t *testing.T) {
	s := Of(map[string]string{
		"a/file": "content", "to_file": "-> a/file", "to_link": "-> to_file", "dir": "-> a", "b/up": "-> ../a", "b/deep": "-> up/file",
		"loop1": "-> loop2", "loop2": "-> loop1", "outside": "-> ../x", "absolute": "-> /etc/passwd", "dangling": "-> nothing", "a/self": "-> ../a",
	})
	for name, want := range map[string]string{
		"to_file": "a/file", "to_link": "a/file", "dir/file": "a/file", "b/up/file": "a/file", "b/deep": "a/file",
		"loop1": "", "outside": "", "absolute": "", "dangling": "", "a/self": "",
	} {
		e, ok := s.Lookup(name)
		if !ok || e.Link != want {
			t.Errorf("%s: %+v, %t; want a link to %q", name, e, ok, want)
		}
		if want != "" {
			if content, err := s.Read(t.Context(), name); err != nil || string(content) != "content" {
				t.Errorf("%s: %q, %v", name, content, err)
			}
		} else if e.Mode != git.Symlink {
			t.Errorf("%s has mode %s", name, e.Mode)
		}
	}
}
