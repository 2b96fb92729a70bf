package boot

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"stormgate.internal/tools/cluster/internal/controlplane"
)

// Promise: the wire form of events is what tools/fixture reads.
func TestEventEncoding(t *testing.T) {
	for _, test := range []struct {
		event Event
		want  string
	}{
		{Event{Kind: EventAPI}, `{"event":"api"}`},
		{Event{Kind: EventStep, Step: &Step{Name: "etcd", Start: 0.1, End: 0.25, Usage: controlplane.Usage{CPUSeconds: 1.5, RSSBytes: 7}}},
			`{"event":"step","name":"etcd","start":0.1,"end":0.25,"cpuSeconds":1.5,"rssBytes":7}`},
		{Event{Kind: EventFailed, Failure: &Failure{Component: "etcd", Message: "gone", LogTail: []string{"a"}}},
			`{"event":"failed","component":"etcd","error":"gone","logTail":["a"]}`},
	} {
		encoded, err := json.Marshal(test.event)
		if err != nil || string(encoded) != test.want {
			t.Errorf("encoded = %s, %v, want %s", encoded, err, test.want)
		}
		var decoded Event
		if err := json.Unmarshal(encoded, &decoded); err != nil || !reflect.DeepEqual(decoded, test.event) {
			t.Errorf("decoded = %+v, %v", decoded, err)
		}
	}
}

func TestTable(t *testing.T) {
	report := Report{
		Steps: []Step{{Name: "etcd", Start: 0.1, End: 0.25, Usage: controlplane.Usage{CPUSeconds: 0.05, RSSBytes: 40 << 20}}},
		Components: []ComponentUsage{
			{Name: "init", Usage: controlplane.Usage{CPUSeconds: 1, RSSBytes: 10 << 20}},
			{Name: "etcd", Usage: controlplane.Usage{CPUSeconds: 0.5, RSSBytes: 50 << 20}},
		},
	}
	var out bytes.Buffer
	if err := report.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{"step", "start", "s", "end", "s", "CPU", "s", "RSS", "MiB"}, {"etcd", "0.100", "0.250", "0.05", "40"}, {"total", "1.50", "60"}} {
		found := false
		for line := range strings.Lines(out.String()) {
			found = found || reflect.DeepEqual(strings.Fields(line), want)
		}
		if !found {
			t.Errorf("no line %q in:\n%s", want, out.String())
		}
	}
}

// Promise: the boot is counted from the execution of the binary, not from its first line of Go.
func TestProcessStart(t *testing.T) {
	if os.Getenv("BOOT_TEST_PRINT_START") != "" {
		start, err := processStart()
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("start=" + start.Format(time.RFC3339Nano) + "\n")
		return
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable, "-test.run=^TestProcessStart$", "-test.v")
	cmd.Env = append(os.Environ(), "BOOT_TEST_PRINT_START=1")
	before := time.Now()
	out, err := cmd.CombinedOutput()
	after := time.Now()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "start=")
	line, _, _ := strings.Cut(rest, "\n")
	start, err := time.Parse(time.RFC3339Nano, line)
	if err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	// The kernel counts in hundredths.
	const tick = 20 * time.Millisecond
	if start.Before(before.Add(-tick)) || start.After(after) {
		t.Errorf("start = %s, want between %s and %s", start, before, after)
	}
}
