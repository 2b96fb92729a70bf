package boot

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

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
