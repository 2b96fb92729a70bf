// Package actionkeys computes a key for each test out of Bazel's action graph, without
// executing anything.
//
// A test's key is a hash over its TestRunner actions. That of an action is a hash over
// Bazel's own key for it, which stands for command line, environment and execution
// info, and over its inputs: a source counts with its content, an output with the hash
// of the action that makes it. Two commits whose tests have the same keys make the same
// test runs. The reverse does not hold: an action whose inputs changed may write the
// same output again, and Bazel then runs nothing that follows (early cut-off). So tests
// that Bazel runs again are always among those whose keys differ here.
//
// A test's verdict is also that of the validation actions which `bazel test` runs with
// it (--run_validations), such as rules_go's nogo: they are part of its key.
package actionkeys

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Key is a test's.
type Key [sha256.Size]byte

// Graph is an action graph as `bazel aquery --output=proto` writes it.
type Graph struct {
	artifacts map[uint64]uint64 // to path fragments
	fragments map[uint64]fragment
	labels    map[uint64]string
	depsets   map[uint64]depset
	actions   []action

	// WithoutMappings leaves out Bazel's own keys of the actions that write which names a
	// test's repositories have for each other. These have all names of the main repository,
	// so that they change for all tests with any use_repo; the files mostly do not.
	WithoutMappings bool
}

// repositoryMapping is the mnemonic of these actions.
const repositoryMapping = "RepoMappingManifest"

type fragment struct {
	name   string
	parent uint64
}

type depset struct{ transitive, direct []uint64 }

type action struct {
	target          uint64
	key, mnemonic   string
	configuration   uint64
	inputs, outputs []uint64
}

// testRunner is the mnemonic of the action that runs a test, or a shard of it.
const testRunner = "TestRunner"

// validations are mnemonics of actions that decide on a test's verdict without being an
// input of it: rules_go's, from 0.50 on.
var validations = []string{"RunNogo", "ValidateNogo"}

// Content returns a digest of a source's content, given its path in the execution root.
type Content func(path string) (string, error)

// Keys returns each test's key by label.
func (g *Graph) Keys(content Content) (map[string]Key, error) {
	h := &hasher{
		graph: g, content: content, paths: map[uint64]string{}, sources: map[uint64]Key{},
		hashes: make([]*Key, len(g.actions)), entered: make([]bool, len(g.actions)), makers: map[uint64]int{},
	}
	validating := map[[2]uint64][]int{} // by target and configuration
	for i, a := range g.actions {
		for _, output := range a.outputs {
			h.makers[output] = i
		}
		if slices.Contains(validations, a.mnemonic) {
			owner := [2]uint64{a.target, a.configuration}
			validating[owner] = append(validating[owner], i)
		}
	}
	shards := map[string][]string{}
	for i, a := range g.actions {
		if a.mnemonic != testRunner {
			continue
		}
		key, err := h.action(i)
		if err != nil {
			return nil, err
		}
		label := g.labels[a.target]
		shards[label] = append(shards[label], string(key[:]))
		checks, err := h.checksOf(i, validating)
		if err != nil {
			return nil, err
		}
		shards[label] = append(shards[label], checks...)
	}
	keys := map[string]Key{}
	for label, all := range shards {
		slices.Sort(all)
		keys[strings.TrimPrefix(label, "@@")] = sha256.Sum256([]byte(strings.Join(slices.Compact(all), "")))
	}
	return keys, nil
}

type hasher struct {
	graph   *Graph
	content Content
	paths   map[uint64]string
	sources map[uint64]Key
	makers  map[uint64]int // actions by output
	hashes  []*Key
	entered []bool
}

// action returns the hash of an action with all that it is made of.
func (h *hasher) action(i int) (Key, error) {
	if h.hashes[i] != nil {
		return *h.hashes[i], nil
	}
	a := h.graph.actions[i]
	if h.entered[i] {
		return Key{}, fmt.Errorf("action %s of %s is an input of itself", a.mnemonic, h.graph.labels[a.target])
	}
	h.entered[i] = true
	var inputs []string
	for _, artifact := range h.inputs(a) {
		key, err := h.artifact(artifact)
		if err != nil {
			return Key{}, fmt.Errorf("input of %s of %s: %w", a.mnemonic, h.graph.labels[a.target], err)
		}
		inputs = append(inputs, h.path(artifact)+"\x00"+string(key[:]))
	}
	// The order is in Bazel's key where it matters.
	slices.Sort(inputs)
	hash := sha256.New()
	write := func(text string) {
		var length [8]byte
		binary.LittleEndian.PutUint64(length[:], uint64(len(text)))
		hash.Write(length[:])
		hash.Write([]byte(text))
	}
	write(a.mnemonic)
	if !h.graph.WithoutMappings || a.mnemonic != repositoryMapping {
		write(a.key)
	}
	for _, output := range a.outputs {
		write(h.path(output))
	}
	for _, input := range inputs {
		write(input)
	}
	key := Key(hash.Sum(nil))
	h.hashes[i] = &key
	return key, nil
}

func (h *hasher) artifact(id uint64) (Key, error) {
	if maker, ok := h.makers[id]; ok {
		return h.action(maker)
	}
	if key, ok := h.sources[id]; ok {
		return key, nil
	}
	digest, err := h.content(h.path(id))
	if err != nil {
		return Key{}, err
	}
	key := Key(sha256.Sum256([]byte(digest)))
	h.sources[id] = key
	return key, nil
}

// inputs returns an action's inputs, each once.
func (h *hasher) inputs(a action) []uint64 {
	var artifacts []uint64
	sets, files := map[uint64]bool{}, map[uint64]bool{}
	pending := slices.Clone(a.inputs)
	for len(pending) > 0 {
		id := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if sets[id] {
			continue
		}
		sets[id] = true
		set := h.graph.depsets[id]
		pending = append(pending, set.transitive...)
		for _, file := range set.direct {
			if !files[file] {
				files[file] = true
				artifacts = append(artifacts, file)
			}
		}
	}
	return artifacts
}

// checksOf returns the hashes of validation actions of all that a test is made of: of
// the targets whose actions make its inputs.
func (h *hasher) checksOf(test int, validating map[[2]uint64][]int) ([]string, error) {
	if len(validating) == 0 {
		return nil, nil
	}
	var checks []string
	seen, owners := map[int]bool{test: true}, map[[2]uint64]bool{}
	for pending := []int{test}; len(pending) > 0; {
		i := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		a := h.graph.actions[i]
		if owner := [2]uint64{a.target, a.configuration}; !owners[owner] {
			owners[owner] = true
			for _, check := range validating[owner] {
				key, err := h.action(check)
				if err != nil {
					return nil, err
				}
				checks = append(checks, string(key[:]))
			}
		}
		for _, artifact := range h.inputs(a) {
			if maker, ok := h.makers[artifact]; ok && !seen[maker] {
				seen[maker] = true
				pending = append(pending, maker)
			}
		}
	}
	return checks, nil
}

// path returns an artifact's path in the execution root.
func (h *hasher) path(artifact uint64) string {
	if known, ok := h.paths[artifact]; ok {
		return known
	}
	var parts []string
	for id := h.graph.artifacts[artifact]; id != 0; id = h.graph.fragments[id].parent {
		parts = append(parts, h.graph.fragments[id].name)
	}
	slices.Reverse(parts)
	joined := path.Join(parts...)
	h.paths[artifact] = joined
	return joined
}
