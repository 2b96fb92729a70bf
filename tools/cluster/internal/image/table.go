// Package image holds the images that a cluster's node knows.
//
// Nothing is pulled. A Table maps references to images; the node's runtime looks
// them up there.
package image

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"stormgate.internal/tools/cluster/api"
)

// Table is the set of images a cluster knows. The zero value is empty and
// ready to use; all methods may be called concurrently.
type Table struct {
	mu     sync.RWMutex
	images map[string]api.Image // by normal reference
}

// NewTable returns a table of the given images, or the error of Put.
func NewTable(images ...api.Image) (*Table, error) {
	t := &Table{}
	if err := t.Put(images...); err != nil {
		return nil, err
	}
	return t, nil
}

// Put adds images, replacing those of the same reference. Either all of them
// enter the table or, when one is invalid or given twice, none does.
// Containers that were made before keep the image they were made from.
func (t *Table) Put(images ...api.Image) error {
	fresh := make(map[string]api.Image, len(images))
	for _, i := range images {
		if err := i.Validate(); err != nil {
			return err
		}
		key := api.NormalizeReference(i.Reference)
		if _, twice := fresh[key]; twice {
			return fmt.Errorf("image %q is given twice", key)
		}
		fresh[key] = i.Clone()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.images == nil {
		t.images = map[string]api.Image{}
	}
	maps.Copy(t.images, fresh)
	return nil
}

// Lookup finds the image that a reference, in any form, stands for.
func (t *Table) Lookup(reference string) (api.Image, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, found := t.images[api.NormalizeReference(reference)]
	return i.Clone(), found
}

// List returns all images in the order of their normal references.
func (t *Table) List() []api.Image {
	t.mu.RLock()
	defer t.mu.RUnlock()
	images := make([]api.Image, 0, len(t.images))
	for _, key := range slices.Sorted(maps.Keys(t.images)) {
		images = append(images, t.images[key].Clone())
	}
	return images
}

// UnknownError says that no image has the reference that was asked for.
type UnknownError struct {
	Reference string
	// Known holds the normal references of the table, sorted.
	Known []string
}

var _ error = (*UnknownError)(nil)

// Error lists the known references: nothing is ever pulled, so one of them
// must have been meant.
func (e *UnknownError) Error() string {
	known := "none"
	if len(e.Known) > 0 {
		known = strings.Join(e.Known, ", ")
	}
	return fmt.Sprintf("image %q is not part of this cluster, which pulls nothing; known images: %s", e.Reference, known)
}

// Resolve is Lookup with an *UnknownError in place of false.
func (t *Table) Resolve(reference string) (api.Image, error) {
	if i, found := t.Lookup(reference); found {
		return i, nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return api.Image{}, &UnknownError{Reference: reference, Known: slices.Sorted(maps.Keys(t.images))}
}
