package actionkeys

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of fields in Bazel's src/main/protobuf/analysis_v2.proto.
const (
	containerArtifacts, containerActions, containerTargets, containerDepSets, containerFragments = 1, 2, 3, 4, 8

	artifactID, artifactFragment = 1, 2

	actionTarget, actionKey, actionMnemonic, actionConfiguration, actionInputs, actionOutputs = 1, 3, 4, 5, 8, 9

	targetID, targetLabel = 1, 2

	depSetID, depSetTransitive, depSetDirect = 1, 2, 3

	fragmentID, fragmentLabel, fragmentParent = 1, 2, 3
)

// Read reads an analysis.ActionGraphContainer, `bazel aquery --output=proto`.
func Read(message []byte) (*Graph, error) {
	g := &Graph{artifacts: map[uint64]uint64{}, fragments: map[uint64]fragment{}, labels: map[uint64]string{}, depsets: map[uint64]depset{}}
	err := fields(message, func(number protowire.Number, f field) error {
		switch number {
		case containerArtifacts:
			var id, path uint64
			err := fields(f.bytes, func(n protowire.Number, f field) error {
				switch n {
				case artifactID:
					id = f.number
				case artifactFragment:
					path = f.number
				}
				return nil
			})
			g.artifacts[id] = path
			return err
		case containerActions:
			a, err := readAction(f.bytes)
			g.actions = append(g.actions, a)
			return err
		case containerTargets:
			var id uint64
			var label string
			err := fields(f.bytes, func(n protowire.Number, f field) error {
				switch n {
				case targetID:
					id = f.number
				case targetLabel:
					label = string(f.bytes)
				}
				return nil
			})
			g.labels[id] = label
			return err
		case containerDepSets:
			var id uint64
			var set depset
			err := fields(f.bytes, func(n protowire.Number, f field) (err error) {
				switch n {
				case depSetID:
					id = f.number
				case depSetTransitive:
					set.transitive, err = f.appendTo(set.transitive)
				case depSetDirect:
					set.direct, err = f.appendTo(set.direct)
				}
				return err
			})
			g.depsets[id] = set
			return err
		case containerFragments:
			var id uint64
			var part fragment
			err := fields(f.bytes, func(n protowire.Number, f field) error {
				switch n {
				case fragmentID:
					id = f.number
				case fragmentLabel:
					part.name = string(f.bytes)
				case fragmentParent:
					part.parent = f.number
				}
				return nil
			})
			g.fragments[id] = part
			return err
		}
		return nil
	})
	if err == nil {
		err = g.endless()
	}
	if err != nil {
		return nil, fmt.Errorf("read Bazel's action graph: %w", err)
	}
	return g, nil
}

// endless fails if a part of a path is below itself.
func (g *Graph) endless() error {
	for id := range g.fragments {
		steps := 0
		for at := id; at != 0; at = g.fragments[at].parent {
			if steps++; steps > len(g.fragments)+1 { // The last may be one that is not there.
				return fmt.Errorf("part %d of a path is below itself", id)
			}
		}
	}
	return nil
}

func readAction(message []byte) (a action, err error) {
	err = fields(message, func(number protowire.Number, f field) (err error) {
		switch number {
		case actionTarget:
			a.target = f.number
		case actionKey:
			a.key = string(f.bytes)
		case actionMnemonic:
			a.mnemonic = string(f.bytes)
		case actionConfiguration:
			a.configuration = f.number
		case actionInputs:
			a.inputs, err = f.appendTo(a.inputs)
		case actionOutputs:
			a.outputs, err = f.appendTo(a.outputs)
		}
		return err
	})
	return a, err
}

// field is a field's value: a number, or bytes if they are not nil.
type field struct {
	number uint64
	bytes  []byte
}

// appendTo appends a repeated number, which may be packed.
func (f field) appendTo(numbers []uint64) ([]uint64, error) {
	if f.bytes == nil {
		return append(numbers, f.number), nil
	}
	for rest := f.bytes; len(rest) > 0; {
		number, n := protowire.ConsumeVarint(rest)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		numbers = append(numbers, number)
		rest = rest[n:]
	}
	return numbers, nil
}

// fields calls do for each field of a message.
func fields(message []byte, do func(protowire.Number, field) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		var f field
		switch kind {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(message)
			if n >= 0 && f.bytes == nil {
				f.bytes = []byte{}
			}
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := do(number, f); err != nil {
			return err
		}
	}
	return nil
}
