package benchmark

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
)

// Promise: what is written is what benchstat reads, value by value.
func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.txt")
	err := Write(path, []Series{
		{"boot/first pod Ready", Seconds, []float64{1.5, 1.625}},
		{"idle", Cores, []float64{0.04}},
		{"nothing measured", Bytes, nil},
		{"storm/64 clients", PerSecond, []float64{1512}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var got []string
	reader := benchfmt.NewReader(file, "results.txt")
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.Result:
			if record.GetConfig("goos") == "" || record.GetConfig("cpus") == "" {
				t.Errorf("%s has no system or no number of CPUs", record.Name)
			}
			for _, value := range record.Values {
				got = append(got, fmt.Sprint(string(record.Name), " ", value.Value, " ", value.Unit))
			}
		case *benchfmt.SyntaxError:
			t.Errorf("not in the format: %v", record)
		}
	}
	want := []string{"Boot/first-pod-Ready 1.5 sec/op", "Boot/first-pod-Ready 1.625 sec/op", "Idle 0.04 cores", "Storm/64-clients 1512 op/s"}
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if better := reader.Units().Get(PerSecond, "better"); better == nil || better.Value != "higher" {
		t.Errorf("of %s, %v is better", PerSecond, better)
	}
}

// Promise: a series that benchstat could not tell from another is refused by name.
func TestWriteRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.txt")
	for _, series := range []Series{{"", Seconds, nil}, {"boot", "", nil}, {"boot", "two words", nil}} {
		if err := Write(path, []Series{series}); err == nil || !strings.Contains(err.Error(), "both must be given") {
			t.Errorf("%+v: error %v", series, err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file was left: %v", err)
	}
}

// Promise: what is no number is not kept as one.
func TestWriteRefusesWhatIsNoMeasurement(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.txt")
	for _, value := range []float64{math.NaN(), math.Inf(1)} {
		err := Write(path, []Series{{"boot", Ratio, []float64{value}}})
		if err == nil || !strings.Contains(err.Error(), "no measurement") {
			t.Errorf("value %v: error %v", value, err)
		}
	}
}
