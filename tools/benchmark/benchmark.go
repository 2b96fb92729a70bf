// Package benchmark writes measurements in the format of Go's benchmarks, so that
// results can be kept as files and compared by benchstat:
//
//	tools/bazel run //tools/benchmark:benchstat -- $PWD/docs/benchmarks/cluster.txt $PWD/new.txt
//
// The format is https://go.dev/design/14313-benchmark-format.
package benchmark

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/perf/benchfmt"
)

// Units of Series. Of those that end in "/s", more is better; of all others, less.
const (
	Seconds    = "sec/op"
	CPUSeconds = "cpu-sec/op"
	Bytes      = "B"
	// Cores is a share of one core: 0.04 is 4 %.
	Cores     = "cores"
	PerSecond = "op/s"
	// Ratio is a rate divided by that of the bare request in the same run.
	Ratio = "of-bare"
)

// Series is one quantity, measured as often as it has values.
type Series struct {
	// Name says what was measured, as words separated by slashes, such as
	// "boot/first pod Ready". White space becomes dashes.
	Name string
	// Unit is one of the constants.
	Unit   string
	Values []float64
}

// Write writes the series to the file, which it replaces. The file also states the
// system, the architecture and the number of CPUs. It states no more than that, since
// benchstat does not compare results of files that state different things.
func Write(path string, series []Series) error {
	var out bytes.Buffer
	if err := encode(&out, series); err != nil {
		return fmt.Errorf("write benchmark results to %s: %w", path, err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write benchmark results: %w", err)
	}
	return nil
}

func encode(out *bytes.Buffer, series []Series) error {
	writer := benchfmt.NewWriter(out)
	config := []benchfmt.Config{
		{Key: "goos", Value: []byte(runtime.GOOS), File: true},
		{Key: "goarch", Value: []byte(runtime.GOARCH), File: true},
		{Key: "cpus", Value: fmt.Append(nil, runtime.NumCPU()), File: true},
	}
	for _, unit := range []string{PerSecond, Ratio} {
		better := &benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: unit, Key: "better"}, OrigUnit: unit, Value: "higher"}
		if err := writer.Write(better); err != nil {
			return err
		}
	}
	for _, s := range series {
		name := strings.Join(strings.Fields(s.Name), "-")
		if name == "" || strings.ContainsFunc(s.Unit, func(r rune) bool { return r <= ' ' }) || s.Unit == "" {
			return fmt.Errorf("series %q has the unit %q: both must be given, the unit as one word", s.Name, s.Unit)
		}
		first, width := utf8.DecodeRuneInString(name)
		for _, value := range s.Values {
			if math.IsNaN(value) || math.IsInf(value, 0) {
				return fmt.Errorf("series %q has the value %v, which is no measurement", s.Name, value)
			}
			// The format demands an upper-case letter after the word "Benchmark".
			result := &benchfmt.Result{
				Config: config, Name: benchfmt.Name(strings.ToUpper(string(first)) + name[width:]), Iters: 1,
				Values: []benchfmt.Value{{Value: value, Unit: s.Unit}},
			}
			if err := writer.Write(result); err != nil {
				return err
			}
		}
	}
	return nil
}
