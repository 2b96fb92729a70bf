// Package image holds the images that a cluster's node knows.
//
// Nothing is pulled. A Table maps references to images; the node's runtime looks
// them up there. What a reference means depends on the pod's namespace: namespaces
// with a scope have the images of that, all others those of the table itself.
package image

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"stormgate.internal/tools/cluster/api"
)

// Table is the set of images a cluster knows. The zero value is empty and
// ready to use; all methods may be called concurrently.
type Table struct {
	mu     sync.RWMutex
	images map[string]api.Image // by normal reference
	scopes map[string]scope     // by name
	owners map[string]string    // scope names by namespace
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
	fresh, err := index(images)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.images == nil {
		t.images = map[string]api.Image{}
	}
	maps.Copy(t.images, fresh)
	return nil
}

// index checks images and arranges copies by normal reference.
func index(images []api.Image) (map[string]api.Image, error) {
	indexed := make(map[string]api.Image, len(images))
	for _, i := range images {
		if err := i.Validate(); err != nil {
			return nil, err
		}
		key := api.NormalizeReference(i.Reference)
		if _, twice := indexed[key]; twice {
			return nil, fmt.Errorf("image %q is given twice", key)
		}
		indexed[key] = i.Clone()
	}
	return indexed, nil
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
