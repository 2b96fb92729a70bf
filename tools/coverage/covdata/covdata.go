// Package covdata decodes the coverage that a Go program built with instrumentation
// writes: the meta-data and the counters of package runtime/coverage, or the files of
// GOCOVERDIR. The toolchain's own decoder (internal/coverage) can't be imported, and its
// program (go tool covdata) is not part of the Go that tests find in a sandbox.
//
// The format is that of internal/coverage/defs.go of Go 1.20 to 1.26, version 1. Another
// version is refused.
package covdata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Block is a piece of code without branches.
type Block struct {
	// File is the import path of its package, a slash and the name of the file; or what
	// a //line directive says.
	File string
	// Line and Column begin it, EndLine and EndColumn end it; they count from 1.
	Line, Column, EndLine, EndColumn int
	Statements                       int
	// Count is how often it was executed. In mode "set" it is at most 1.
	Count uint32
}

// Meta is decoded meta-data: the blocks of a program, whatever ran of them.
type Meta struct {
	hash     [16]byte
	perBlock bool
	packages [][]function
}

type function struct{ blocks []Block }

// MetaFile is the name that the meta-data has in a directory of GOCOVERDIR's kind, which
// go tool covdata reads.
func (m *Meta) MetaFile() string { return fmt.Sprintf("covmeta.%x", m.hash) }

// CounterFile is the name of counters there. Process and serial number tell the counters
// of a program's processes apart.
func (m *Meta) CounterFile(process, serial int) string {
	return fmt.Sprintf("covcounters.%x.%d.%d", m.hash, process, serial)
}

const (
	metaMagic    = "\x00\x63\x76\x6d"
	counterMagic = "\x00\x63\x77\x6d"
	version      = 1

	perBlock = 1 // a counter granularity

	raw     = 1 // counter flavors
	uleb128 = 2

	metaHeaderSize    = 56
	packageHeaderSize = 44
	counterHeaderSize = 32
	footerSize        = 16
)

// errShort is the end of the data within something.
var errShort = errors.New("it ends too early")

// ParseMeta decodes what runtime/coverage.WriteMeta wrote, or a file covmeta.*.
func ParseMeta(data []byte) (m *Meta, err error) {
	defer explain("coverage meta-data", &err)
	r := reader{data: data}
	if string(r.bytes(4)) != metaMagic {
		return nil, errors.New("it does not begin as such")
	}
	if v := r.uint32(); v != version {
		return nil, fmt.Errorf("version %d is not known, only %d", v, version)
	}
	if length := r.uint64(); length != uint64(len(data)) {
		return nil, fmt.Errorf("it says that it has %d bytes, and has %d", length, len(data))
	}
	entries := r.uint64()
	m = &Meta{}
	copy(m.hash[:], r.bytes(16))
	r.bytes(9) // where the string table lies, of which nothing is needed here; mode
	m.perBlock = r.byte() == perBlock
	r.at = metaHeaderSize
	if entries > uint64(len(data)/packageHeaderSize) {
		return nil, fmt.Errorf("%d packages don't fit into it", entries)
	}
	offsets, lengths := make([]uint64, entries), make([]uint64, entries)
	for _, list := range [][]uint64{offsets, lengths} {
		for i := range list {
			list[i] = r.uint64()
		}
	}
	for i := range offsets {
		from, to := offsets[i], offsets[i]+lengths[i]
		if from > to || to > uint64(len(data)) {
			return nil, fmt.Errorf("package %d lies outside of it", i)
		}
		functions, err := parsePackage(data[from:to])
		if err != nil {
			return nil, fmt.Errorf("package %d: %w", i, err)
		}
		m.packages = append(m.packages, functions)
	}
	return m, nil
}

func parsePackage(data []byte) (functions []function, err error) {
	defer explain("package", &err)
	r := reader{data: data, at: packageHeaderSize - 4}
	count := r.uint32()
	if uint64(count) > uint64(len(data)/4) {
		return nil, fmt.Errorf("%d functions don't fit into it", count)
	}
	offsets := make([]uint32, count)
	for i := range offsets {
		offsets[i] = r.uint32()
	}
	strings := r.stringTable()
	for _, offset := range offsets {
		r.at = int(offset)
		units := r.uleb()
		r.uleb() // name
		file := r.uleb()
		if file >= uint64(len(strings)) {
			return nil, fmt.Errorf("no string has the number %d", file)
		}
		if units > uint64(len(data)) {
			return nil, fmt.Errorf("%d blocks don't fit into it", units)
		}
		f := function{blocks: make([]Block, units)}
		for i := range f.blocks {
			f.blocks[i] = Block{
				File: strings[file],
				Line: int(r.uleb()), Column: int(r.uleb()), EndLine: int(r.uleb()), EndColumn: int(r.uleb()),
				Statements: int(r.uleb()),
			}
		}
		functions = append(functions, f)
	}
	return functions, nil
}

// Blocks returns the program's blocks with the counts of what
// runtime/coverage.WriteCounters wrote, or of a file covcounters.*. Without counters, nil,
// all counts are 0. It is an error if the counters are another program's.
func (m *Meta) Blocks(counters []byte) (blocks []Block, err error) {
	defer explain("coverage counters", &err)
	counts := map[[2]uint32][]uint32{}
	if counters != nil {
		if counts, err = m.parseCounters(counters); err != nil {
			return nil, err
		}
	}
	for p, functions := range m.packages {
		for f, function := range functions {
			blocks = append(blocks, function.blocks...)
			found := counts[[2]uint32{uint32(p), uint32(f)}]
			if found == nil {
				continue
			}
			last := blocks[len(blocks)-len(function.blocks):]
			switch {
			case len(found) == len(last):
				for i := range last {
					last[i].Count = found[i]
				}
			case !m.perBlock && len(found) == 1:
				for i := range last {
					last[i].Count = found[0]
				}
			default:
				return nil, fmt.Errorf("function %d of package %d has %d blocks and %d counters", f, p, len(last), len(found))
			}
		}
	}
	return blocks, nil
}

// Lines returns how often each line of each file was executed. As rules_go has it, a line is
// as covered as the block of it that ran most.
func Lines(blocks []Block) map[string]map[int]uint64 {
	files := map[string]map[int]uint64{}
	for _, b := range blocks {
		if files[b.File] == nil {
			files[b.File] = map[int]uint64{}
		}
		for line := b.Line; line <= b.EndLine; line++ {
			files[b.File][line] = max(files[b.File][line], uint64(b.Count))
		}
	}
	return files
}

func (m *Meta) parseCounters(data []byte) (map[[2]uint32][]uint32, error) {
	r := reader{data: data}
	if string(r.bytes(4)) != counterMagic {
		return nil, errors.New("they do not begin as such")
	}
	if v := r.uint32(); v != version {
		return nil, fmt.Errorf("version %d is not known, only %d", v, version)
	}
	if !slices.Equal(r.bytes(16), m.hash[:]) {
		return nil, errors.New("they are those of another program than the meta-data")
	}
	flavor, bigEndian := r.byte(), r.byte() != 0
	number := func() uint32 { return uint32(r.uleb()) }
	switch {
	case flavor == raw && bigEndian:
		number = func() uint32 { return binary.BigEndian.Uint32(r.bytes(4)) }
	case flavor == raw:
		number = r.uint32
	case flavor != uleb128:
		return nil, fmt.Errorf("encoding %d is not known", flavor)
	}
	footer := reader{data: data, at: len(data) - footerSize}
	if len(data) < counterHeaderSize+footerSize || string(footer.bytes(4)) != counterMagic {
		return nil, errShort
	}
	footer.bytes(4)
	segments := footer.uint32()
	r.at = counterHeaderSize
	counts := map[[2]uint32][]uint32{}
	for range segments {
		functions := r.uint64()
		r.bytes(int(r.uint32()) + int(r.uint32())) // strings and arguments of the process
		r.at += (4 - r.at%4) % 4
		for range functions {
			n, id := number(), [2]uint32{number(), number()}
			if uint64(n) > uint64(len(data)) {
				return nil, errShort
			}
			known := counts[id]
			if known == nil {
				known = make([]uint32, n)
			}
			if len(known) != int(n) {
				return nil, fmt.Errorf("function %v has %d counters and %d", id, len(known), n)
			}
			for i := range known {
				c := number()
				known[i] = max(known[i]+c, known[i], c) // no overflow to 0
			}
			counts[id] = known
		}
		r.bytes(footerSize)
	}
	return counts, nil
}

// reader reads numbers. At the end of the data it panics with errShort, for explain.
type reader struct {
	data []byte
	at   int
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || r.at < 0 || n > len(r.data)-r.at {
		panic(errShort)
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

func (r *reader) byte() byte     { return r.bytes(1)[0] }
func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.bytes(4)) }
func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.bytes(8)) }

func (r *reader) uleb() uint64 {
	if r.at < 0 || r.at > len(r.data) {
		panic(errShort)
	}
	value, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 {
		panic(errShort)
	}
	r.at += n
	return value
}

func (r *reader) stringTable() []string {
	var strings []string
	for range r.uleb() {
		strings = append(strings, string(r.bytes(int(r.uleb()))))
	}
	return strings
}

// explain says what was decoded, and turns the panic of a reader into an error.
func explain(what string, err *error) {
	if p := recover(); p != nil {
		if p != errShort {
			panic(p)
		}
		*err = errShort
	}
	if *err != nil && what != "package" {
		*err = fmt.Errorf("decode %s: %w", what, *err)
	}
}
