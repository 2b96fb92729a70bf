package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// Promise: the wire form of events is what tools/fixture reads.
func TestEventEncoding(t *testing.T) {
	for _, test := range []struct {
		event Event
		want  string
	}{
		{Event{Kind: EventAPI}, `{"event":"api"}`},
		{Event{Kind: EventStep, Step: &Step{Name: "etcd", Start: 0.1, End: 0.25, Usage: Usage{CPUSeconds: 1.5, RSSBytes: 7}}},
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
		Steps: []Step{{Name: "etcd", Start: 0.1, End: 0.25, Usage: Usage{CPUSeconds: 0.05, RSSBytes: 40 << 20}}},
		Components: []ComponentUsage{
			{Name: "init", Usage: Usage{CPUSeconds: 1, RSSBytes: 10 << 20}},
			{Name: "etcd", Usage: Usage{CPUSeconds: 0.5, RSSBytes: 50 << 20}},
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
