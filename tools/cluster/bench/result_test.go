package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"stormgate.internal/tools/cluster/api"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{2}, 2}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3},
	} {
		if got := median(test.values); got != test.want {
			t.Errorf("median of %v = %v, want %v", test.values, got, test.want)
		}
	}
}

// Promise: the table sets each median beside its budget and leaves idle cost out where it was not measured.
func TestTable(t *testing.T) {
	usage := []api.ComponentUsage{{Name: "etcd", Usage: api.Usage{CPUSeconds: 0.5, RSSBytes: 40 << 20}}}
	result := Result{Runs: []Run{
		{PodReady: 2.5, Components: usage}, {PodReady: 3.5, Components: usage}, {PodReady: 2.75, Components: usage},
	}}
	var out bytes.Buffer
	if err := result.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	hasPodReady := func(budget string) bool {
		for line := range strings.Lines(out.String()) {
			if reflect.DeepEqual(strings.Fields(line), []string{"first", "pod", "Ready,", "s", "2.75", "2.50", "3.50", budget}) {
				return true
			}
		}
		return false
	}
	if !hasPodReady("3.0") || strings.Contains(out.String(), "idle") {
		t.Errorf("table:\n%s", out.String())
	}
	out.Reset()
	result.Sandboxed = true
	if err := result.WriteTable(&out); err != nil || !hasPodReady("4.5") {
		t.Errorf("%v, table of a private cluster:\n%s", err, out.String())
	}
	result.Runs[0].Idle = &Idle{Seconds: 30, CPUPercent: 4.2, RSSBytes: 600 << 20}
	if err := result.WriteTable(&out); err != nil || !strings.Contains(out.String(), "idle CPU over 30 s") {
		t.Errorf("%v, table:\n%s", err, out.String())
	}
}
