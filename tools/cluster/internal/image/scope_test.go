package image

import (
	"errors"
	"strings"
	"testing"

	"stormgate.internal/tools/cluster/api"
)

func program(reference, path string) api.Image {
	return api.Image{Reference: reference, Files: map[string]string{"/app": path}}
}

// twoScopes is a cluster of two environments that give one reference different files.
func twoScopes(t *testing.T) *Table {
	t.Helper()
	table, err := NewTable(program("plain:1", "/plain"))
	if err != nil {
		t.Fatal(err)
	}
	for name, images := range map[string][]api.Image{
		"a": {program("app:dev", "/a"), program("only-a:1", "/only")},
		"b": {program("app:dev", "/b")},
	} {
		if err := table.PutScope(name, api.Scope{Namespaces: []string{name, name + "-lease"}, Images: images}); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

// Promise: what a reference means is the pod's namespace's affair, and no scope's images leak into another.
func TestScopesResolveByNamespace(t *testing.T) {
	table := twoScopes(t)
	for _, test := range []struct{ namespace, reference, want string }{
		{"a", "app:dev", "/a"},
		{"a-lease", "docker.io/library/app:dev", "/a"},
		{"b", "app:dev", "/b"},
		{"a", "only-a:1", "/only"},
		{"elsewhere", "plain:1", "/plain"},
	} {
		got, err := table.ResolveIn(test.namespace, test.reference)
		if err != nil || got.Files["/app"] != test.want {
			t.Errorf("%s in %s: %v, %v, want %s", test.reference, test.namespace, got.Files, err, test.want)
		}
	}
	for _, test := range []struct {
		namespace, reference string
		want                 []string
	}{
		{"a", "plain:1", []string{`"plain:1" is not part of scope "a", to which namespace "a" belongs`, "known images: app:dev, only-a:1"}},
		{"b", "only-a:1", []string{`not part of scope "b"`, "known images: app:dev", `scope "a" has it`}},
		{"elsewhere", "only-a:1", []string{"not part of this cluster", "known images: plain:1", `scope "a" has it`, `namespace "elsewhere" is not in that scope`}},
	} {
		_, err := table.ResolveIn(test.namespace, test.reference)
		if !errors.As(err, new(*UnknownError)) {
			t.Errorf("%s in %s: error %v", test.reference, test.namespace, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s in %s: error %q lacks %q", test.reference, test.namespace, err, want)
			}
		}
	}
	// Two have it: which one was meant can't be known.
	if _, err := table.ResolveIn("elsewhere", "app:dev"); err == nil || strings.Contains(err.Error(), "has it") {
		t.Errorf("error %v guesses a scope", err)
	}
}

// Promise: a scope is replaced as a whole, or not at all.
func TestPutScope(t *testing.T) {
	table := twoScopes(t)
	if err := table.PutScope("a", api.Scope{Namespaces: []string{"a", "new"}, Images: []api.Image{program("app:dev", "/a2")}}); err != nil {
		t.Fatal(err)
	}
	if got, err := table.ResolveIn("new", "app:dev"); err != nil || got.Files["/app"] != "/a2" {
		t.Errorf("a namespace that was added: %v, %v", got, err)
	}
	if _, err := table.ResolveIn("a", "only-a:1"); err == nil {
		t.Error("an image that was left out is still there")
	}
	if _, err := table.ResolveIn("a-lease", "plain:1"); err != nil {
		t.Errorf("a namespace that was left out does not have the table's images: %v", err)
	}
	for name, test := range map[string]struct {
		name  string
		scope api.Scope
		word  string
	}{
		"no name":               {"", api.Scope{}, "no name"},
		"namespace of another":  {"a", api.Scope{Namespaces: []string{"free", "b"}}, `namespace "b" belongs to scope "b"`},
		"namespace without one": {"a", api.Scope{Namespaces: []string{""}}, "no name"},
		"namespace twice":       {"a", api.Scope{Namespaces: []string{"x", "y", "x"}}, `"x" is given twice`},
		"image twice":           {"a", api.Scope{Images: []api.Image{{Reference: "x"}, {Reference: "x:latest"}}}, "twice"},
		"invalid image":         {"a", api.Scope{Images: []api.Image{{}}}, "without a reference"},
	} {
		err := table.PutScope(test.name, test.scope)
		if err == nil || !strings.Contains(err.Error(), test.word) {
			t.Errorf("%s: error %v lacks %s", name, err, test.word)
		}
		if got, err := table.ResolveIn("new", "app:dev"); err != nil || got.Files["/app"] != "/a2" {
			t.Errorf("%s: the scope was changed: %v, %v", name, got, err)
		}
	}
	if err := table.PutScope("c", api.Scope{Namespaces: []string{"b"}}); !errors.As(err, new(*ConflictError)) {
		t.Errorf("a namespace of another scope: %v", err)
	}
	table.DeleteScope("b")
	table.DeleteScope("b")
	if err := table.PutScope("c", api.Scope{Namespaces: []string{"b"}}); err != nil {
		t.Errorf("a namespace of a deleted scope: %v", err)
	}
}

// Promise: what is asked for without a namespace is found in all of them, by reference or by id.
func TestFind(t *testing.T) {
	table := twoScopes(t)
	if got := table.Find("app:dev"); len(got) != 2 {
		t.Errorf("app:dev = %v, want both", got)
	}
	for _, path := range []string{"/a", "/b"} {
		if got := table.Find(program("app:dev", path).ID()); len(got) != 1 || got[0].Files["/app"] != path {
			t.Errorf("found %v, want the image of %s", got, path)
		}
	}
	if err := table.PutScope("c", api.Scope{Images: []api.Image{program("docker.io/library/app:dev", "/a")}}); err != nil {
		t.Fatal(err)
	}
	if got := table.Find("app:dev"); len(got) != 2 {
		t.Errorf("app:dev = %v, want the one that two scopes share once", got)
	}
	if got := table.All(); len(got) != 4 {
		t.Errorf("all images: %v", got)
	}
}
