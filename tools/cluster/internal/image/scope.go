package image

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"stormgate.internal/tools/cluster/api"
)

// scope is what some namespaces have instead of the table's own images.
type scope struct {
	namespaces []string
	images     map[string]api.Image // by normal reference
}

// ConflictError says that a namespace can't enter a scope because it is in another.
type ConflictError struct {
	Namespace, Scope, Owner string
}

var _ error = (*ConflictError)(nil)

// Error names the namespace and the scope to delete or change first.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("put scope %q: namespace %q belongs to scope %q: take it out of that one first", e.Scope, e.Namespace, e.Owner)
}

// PutScope makes or replaces the scope of the name. It is all or nothing. The error
// is a *ConflictError if a namespace belongs to another scope. Containers that were
// made before keep the image they were made from.
func (t *Table) PutScope(name string, s api.Scope) error {
	if name == "" {
		return errors.New("put scope: it has no name")
	}
	images, err := index(s.Images)
	if err != nil {
		return fmt.Errorf("put scope %q: %w", name, err)
	}
	namespaces := slices.Sorted(slices.Values(s.Namespaces))
	for i, namespace := range namespaces {
		if namespace == "" {
			return fmt.Errorf("put scope %q: one of its namespaces has no name", name)
		}
		if i > 0 && namespace == namespaces[i-1] {
			return fmt.Errorf("put scope %q: namespace %q is given twice", name, namespace)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, namespace := range namespaces {
		if owner, owned := t.owners[namespace]; owned && owner != name {
			return &ConflictError{Namespace: namespace, Scope: name, Owner: owner}
		}
	}
	t.deleteScope(name)
	if t.scopes == nil {
		t.scopes, t.owners = map[string]scope{}, map[string]string{}
	}
	t.scopes[name] = scope{namespaces: namespaces, images: images}
	for _, namespace := range namespaces {
		t.owners[namespace] = name
	}
	return nil
}

// ScopeOf names the scope that a namespace is in; empty if it is in none.
func (t *Table) ScopeOf(namespace string) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.owners[namespace]
}

// DeleteScope forgets a scope. One that does not exist is no error.
func (t *Table) DeleteScope(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deleteScope(name)
}

// deleteScope is DeleteScope under the lock.
func (t *Table) deleteScope(name string) {
	for _, namespace := range t.scopes[name].namespaces {
		delete(t.owners, namespace)
	}
	delete(t.scopes, name)
}

// ResolveIn finds the image that a reference stands for in a namespace: among those
// of the namespace's scope, or of the table itself where it has no scope. The error
// is an *UnknownError.
func (t *Table) ResolveIn(namespace, reference string) (api.Image, error) {
	key := api.NormalizeReference(reference)
	t.mu.RLock()
	defer t.mu.RUnlock()
	images, owner := t.images, t.owners[namespace]
	if owner != "" {
		images = t.scopes[owner].images
	}
	if i, found := images[key]; found {
		return i.Clone(), nil
	}
	unknown := &UnknownError{
		Reference: reference, Namespace: namespace, Scope: owner, Known: slices.Sorted(maps.Keys(images)),
	}
	for _, name := range slices.Sorted(maps.Keys(t.scopes)) {
		if _, found := t.scopes[name].images[key]; found {
			unknown.Elsewhere = append(unknown.Elsewhere, name)
		}
	}
	return api.Image{}, unknown
}

// Find returns the images, each once, that a reference or an image id stands for in
// any namespace.
func (t *Table) Find(name string) []api.Image {
	key := api.NormalizeReference(name)
	return t.distinct(func(reference, id string) bool { return reference == key || id == name })
}

// All returns the images of the table and of all scopes, each once.
func (t *Table) All() []api.Image {
	return t.distinct(func(string, string) bool { return true })
}

// distinct returns images in the order of their references and ids.
func (t *Table) distinct(wanted func(reference, id string) bool) []api.Image {
	t.mu.RLock()
	defer t.mu.RUnlock()
	found := map[string]api.Image{}
	add := func(images map[string]api.Image) {
		for reference, i := range images {
			if id := i.ID(); wanted(reference, id) {
				found[reference+" "+id] = i.Clone()
			}
		}
	}
	add(t.images)
	for _, s := range t.scopes {
		add(s.images)
	}
	images := make([]api.Image, 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		images = append(images, found[key])
	}
	return images
}

// UnknownError says that no image has the reference that was asked for.
type UnknownError struct {
	Reference string
	// Namespace is where it was asked for, and Scope the scope of that; both may be empty.
	Namespace, Scope string
	// Known holds the normal references of the table or the scope, sorted.
	Known []string
	// Elsewhere are the scopes that have the reference, sorted.
	Elsewhere []string
}

var _ error = (*UnknownError)(nil)

// Error lists the known references: nothing is ever pulled, so one of them
// must have been meant. If another scope has the reference, it names that: then the
// namespace is in the wrong one.
func (e *UnknownError) Error() string {
	known := "none"
	if len(e.Known) > 0 {
		known = strings.Join(e.Known, ", ")
	}
	text := fmt.Sprintf("image %q is not part of this cluster, which pulls nothing; known images: %s", e.Reference, known)
	if e.Scope != "" {
		text = fmt.Sprintf("image %q is not part of scope %q, to which namespace %q belongs, and nothing is pulled; known images: %s", e.Reference, e.Scope, e.Namespace, known)
	}
	if len(e.Elsewhere) == 1 {
		text += fmt.Sprintf("; scope %q has it, and namespace %q is not in that scope: run the pod in a namespace that is, or add this one", e.Elsewhere[0], e.Namespace)
	}
	return text
}
