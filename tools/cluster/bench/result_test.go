package main

import (
	"bytes"
	"reflect"
	"slices"
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
	if !hasPodReady("1.0") || strings.Contains(out.String(), "idle") {
		t.Errorf("table:\n%s", out.String())
	}
	out.Reset()
	result.Sandboxed = true
	if err := result.WriteTable(&out); err != nil || !hasPodReady("1.5") {
		t.Errorf("%v, table of a private cluster:\n%s", err, out.String())
	}
	result.Runs[0].Idle = &Idle{Seconds: 30, CPUPercent: 4.2, RSSBytes: 600 << 20}
	if err := result.WriteTable(&out); err != nil || !strings.Contains(out.String(), "idle CPU over 30 s") {
		t.Errorf("%v, table:\n%s", err, out.String())
	}
}

// Promise: what is compared later has every run, and idle cost only where it was measured.
func TestSeries(t *testing.T) {
	result := Result{Runs: []Run{{PodReady: 2.5}, {PodReady: 3.5}}}
	find := func(name string) []float64 {
		for _, series := range result.Series() {
			if series.Name == name {
				return series.Values
			}
		}
		return nil
	}
	if got := find("boot/first pod Ready"); !slices.Equal(got, []float64{2.5, 3.5}) || find("idle/CPU") != nil {
		t.Errorf("series %v", result.Series())
	}
	result.Sandboxed = true
	result.Runs[0].Idle = &Idle{CPUPercent: 4}
	if find("boot/first pod Ready") != nil || find("sandboxed boot/first pod Ready") == nil || !slices.Equal(find("idle/CPU"), []float64{0.04}) {
		t.Errorf("series of a private cluster %v", result.Series())
	}
}
