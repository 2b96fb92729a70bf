package remediation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"stormgate.internal/gateway/signal"
)

// storeLimit is what etcd takes by default.
const storeLimit = 1_500_000

// Whatever a sender writes within the limit of a body becomes an object that the API
// server's store takes, and the object says what it lacks.
func TestObjectsFit(t *testing.T) {
	many := func(n int, name, value string) map[string]string {
		all := map[string]string{"alertname": "A"}
		for i := range n {
			all[fmt.Sprintf("%s%06d", name, i)] = value
		}
		return all
	}
	for name, c := range map[string]struct {
		labels, annotations map[string]string
		payload             int
		cut                 string
	}{
		"usual":             {many(20, "l", "value"), many(5, "a", strings.Repeat("x", 500)), 4000, ""},
		"long annotation":   {many(1, "l", "v"), many(1, "a", strings.Repeat("x", 200_000)), 200_000, ""},
		"large payload":     {many(1, "l", "v"), many(1, "a", "v"), 4 << 20, "payload of 4194304 bytes after"},
		"long label":        {many(1, "l", strings.Repeat("v", 3<<20)), nil, 3 << 20, "labels after 253"},
		"long name":         {many(1, strings.Repeat("n", 100_000), "v"), many(1, strings.Repeat("m", 300), "v"), 100_000, "2 names"},
		"huge name":         {many(1, strings.Repeat("n", 1<<20), "v"), nil, 1 << 20, "1 names, payload"},
		"many labels":       {many(60_000, strings.Repeat("n", 20), "v"), nil, 3 << 20, "59501 labels"},
		"many annotations":  {nil, many(60_000, strings.Repeat("n", 20), "v"), 3 << 20, "59901 annotations"},
		"large annotations": {nil, many(14, "a", strings.Repeat("v", 262_000)), 4 << 20, "annotations after 2048"},
		"what JSON escapes": {many(1, "l", "v"), many(3, "a", strings.Repeat("\x01", 200_000)), 3 << 20, "annotations after 2048"},
	} {
		t.Run(name, func(t *testing.T) {
			sig := &signal.Signal{
				Name: "A", Labels: c.labels, Annotations: c.annotations, Payload: bytes.Repeat([]byte("p"), c.payload),
				Fingerprint: signal.Fingerprint("A", "", "", ""), ReceivedTime: time.Now(),
			}
			object, err := build(Draft{Signal: sig, Name: "n"}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			managed := 0
			for key := range object.Spec.SignalLabels {
				managed += len(key) + 8
			}
			for key := range object.Spec.SignalAnnotations {
				managed += len(key) + 8
			}
			if size := len(encoded) + managed; size > 1<<20 || size > storeLimit {
				t.Errorf("%d bytes", size)
			}
			if got := object.Annotations[AnnotationCut]; (got == "") != (c.cut == "") || !strings.Contains(got, c.cut) {
				t.Errorf("cut: %q, want %q", got, c.cut)
			}
			if c.cut == "" && (len(object.Spec.OriginalPayload) != c.payload || len(object.Spec.SignalLabels) != len(c.labels)) {
				t.Error("it fits, and something is missing")
			}
			if c.labels != nil && object.Spec.SignalLabels["alertname"] != "A" && len(c.labels) < maxCutLabels {
				t.Errorf("labels %v", object.Spec.SignalLabels)
			}
		})
	}
}

// Two long names stay two.
func TestLongNamesStayApart(t *testing.T) {
	long := strings.Repeat("ä", 300)
	got := cutKeys(map[string]string{long + "1": "a", long + "2": "b", "short": "c"})
	if len(got) != 3 || got["short"] != "c" {
		t.Errorf("%v", got)
	}
	for name := range got {
		if len(name) > maxKeyBytes || strings.ToValidUTF8(name, "?") != name {
			t.Errorf("name of %d bytes", len(name))
		}
	}
}

func FuzzFit(f *testing.F) {
	f.Add("name", "value", 3, 100)
	f.Add(strings.Repeat("n", 400), strings.Repeat("\x00", 3000), 500, 1_000_000)
	f.Fuzz(func(t *testing.T, name, value string, count, payload int) {
		if len(name)+len(value) > 5000 || payload > 4<<20 {
			return
		}
		values := make(map[string]string)
		for i := range min(max(count, 0), 2000) {
			values[fmt.Sprint(name, i)] = value
		}
		got := fit(&signal.Signal{Labels: values, Annotations: values, Payload: make([]byte, max(payload, 0))})
		if got.size() > maxObjectBytes {
			t.Fatalf("%d bytes: %s", got.size(), got.cut)
		}
	})
}
