package ginkgo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPlanBalancesByTimings(t *testing.T) {
	sixSpecs := [][2]string{{"a", "1"}, {"a", "2"}, {"a", "3"}, {"b", "1"}, {"c", "1"}, {"d", "1"}}
	for _, c := range []struct {
		name     string
		labels   map[string][]string
		measured string
		want     []int // milliseconds
	}{
		{"all measured", nil, `{"a 1": 0.1, "a 2": 0.1, "a 3": 0.1, "b 1": 2, "c 1": 1.5, "d 1": 0.4}`, []int{2000, 2200}},
		{"new specs take the mean", nil, `{"b 1": 2, "c 1": 1}`, []int{4500, 4500}},
		{"specs that are gone don't count", nil, `{"b 1": 2, "c 1": 1, "e 1": 3600}`, []int{4500, 4500}},
		{"measured goes before declared", map[string][]string{"b": {"weight:100"}}, `{"a 1": 1, "a 2": 1, "a 3": 1, "b 1": 1, "c 1": 1, "d 1": 1}`, []int{3000, 3000}},
		{"declared is in means", map[string][]string{"a": {"weight:5"}}, `{"b 1": 2, "c 1": 2, "d 1": 2}`, []int{6000, 10000}},
		{"declared once for the rest of a container", map[string][]string{"a": {"weight:2"}}, `{"a 1": 1, "b 1": 1, "c 1": 1, "d 1": 1}`, []int{3000, 3000}},
		{"nothing of this suite", nil, `{"x": 7}`, []int{3, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			measured, err := parseTimings([]byte(c.measured))
			if err != nil {
				t.Fatal(err)
			}
			p, err := newPlan(suiteOf(c.labels, sixSpecs...), 2, measured)
			if err != nil {
				t.Fatal(err)
			}
			if got := loads(p); !slices.Equal(got, c.want) {
				t.Errorf("weights of the shards: %v, want %v", got, c.want)
			}
		})
	}
}

func TestTimingsThatAreNone(t *testing.T) {
	for _, content := range []string{"", "null", "[]", `{"a": "1s"}`, `{"a": -1}`, `{"a": 86401}`, `{"a": 1e400}`, `{"a": 1} {}`} {
		if got, err := parseTimings([]byte(content)); err == nil {
			t.Errorf("%q was read as %v", content, got)
		}
	}
	got, err := parseTimings([]byte(`{"a": 0, "b": 1.2345}`))
	if err != nil || got["a"] != time.Millisecond || got["b"] != 1235*time.Millisecond && got["b"] != 1234*time.Millisecond {
		t.Errorf("timings %v, error %v", got, err)
	}
}

// The file is a runfile, named relative to TEST_SRCDIR, and decides which shard
// runs what; every spec still runs once.
func TestTimingsOfATarget(t *testing.T) {
	runfiles := t.TempDir()
	file := filepath.Join(runfiles, "_main", "e2e", "sample_test.timings.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(content string) [2][]string {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		var ran [2][]string
		for index := range ran {
			o := shard{sample: "varied", index: index, total: 2, environment: []string{
				"TEST_SRCDIR=" + runfiles, timingsVariable + "=_main/e2e/sample_test.timings.json",
			}}.run(t)
			wantExit(t, o, 0)
			ran[index] = o.trace
		}
		all := slices.Concat(ran[0], ran[1])
		slices.Sort(all)
		if !slices.Equal(all, variedSpecs) {
			t.Errorf("specs that ran: %q", all)
		}
		return ran
	}
	uneven := map[string]float64{}
	for _, text := range variedSpecs {
		uneven[text] = 0.1
	}
	uneven["loop 2 turns"] = 100
	content, err := json.Marshal(uneven)
	if err != nil {
		t.Fatal(err)
	}
	if ran := run(string(content)); !slices.Equal(ran[0], []string{"loop 2 turns"}) && !slices.Equal(ran[1], []string{"loop 2 turns"}) {
		t.Errorf("the long spec has company: %q", ran)
	}
	if ran := run(`{}`); len(ran[0]) < 8 || len(ran[1]) < 8 {
		t.Errorf("without measurements: %q", ran)
	}
}

func FuzzParseTimings(f *testing.F) {
	for _, seed := range []string{`{"a b": 1.5}`, `{}`, `null`, `{"a": 1e300}`, `{"a": 0.0000001}`, `{"": 1, "": 2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		measured, err := parseTimings(content)
		if err != nil {
			return
		}
		for text, took := range measured {
			if took < time.Millisecond || took > longestTiming*time.Second {
				t.Fatalf("%q takes %v", text, took)
			}
		}
		specs := suiteOf(nil, [2]string{"a", "b"}, [2]string{"c", "d"})
		for text := range measured {
			specs = append(specs, spec{Text: text, Leaf: level{Text: text}})
		}
		if _, err := newPlan(specs, 3, measured); err != nil {
			t.Fatal(err)
		}
	})
}

// A tree of any shape is divided without loss, with no shard heavier than the
// rule's bound: the mean plus one unit.
func FuzzPlan(f *testing.F) {
	f.Add("a b\na c\nd e\nd e", 2, `{"a b": 3}`)
	f.Add("x\ny\nx y\nz x y", 5, `{}`)
	f.Add("a weight:7\nb\nc", 3, `{"c": 0}`)
	f.Fuzz(func(t *testing.T, lines string, shards int, measurements string) {
		shards = 1 + (shards&0xff)%9
		var measured timings
		if json.Valid([]byte(measurements)) {
			measured, _ = parseTimings([]byte(measurements)) // or none
		}
		var specs []spec
		for line := range strings.Lines(lines) {
			words := strings.Fields(line)
			s := spec{Text: strings.Join(words, " ")}
			for _, word := range words {
				s.Containers = append(s.Containers, level{Text: word, Labels: []string{word}})
			}
			specs = append(specs, s)
		}
		p, err := newPlan(specs, shards, measured)
		if err != nil {
			if strings.Contains(lines, weightLabel) {
				return
			}
			t.Fatal(err)
		}
		total, heaviestUnit := 0, 0
		for _, u := range p.units {
			total += u.weight
			heaviestUnit = max(heaviestUnit, u.weight)
		}
		if most := slices.Max(loads(p)); most > total/shards+heaviestUnit {
			t.Fatalf("a shard has %d of %d in %d shards, with units of at most %d", most, total, shards, heaviestUnit)
		}
		texts := map[string]int{}
		for shard := range shards {
			for _, s := range p.specsOfShard(shard) {
				texts[s.Text]++
			}
		}
		for _, s := range specs {
			texts[s.Text]--
		}
		for text, n := range texts {
			if n != 0 {
				t.Fatalf("%q is %+d times too often in the shards", text, n)
			}
		}
	})
}

// Nonsense in the environment is an error or is within bounds.
func FuzzProtocol(f *testing.F) {
	f.Add("2", "3", "60", "7", "//e2e:x")
	f.Add("-1", "3", "x", "", "@@//")
	f.Add("3", "3", "99999999999", "0", "//:::")
	f.Fuzz(func(t *testing.T, index, total, timeout, seed, target string) {
		environment := map[string]string{"TEST_SHARD_INDEX": index, "TEST_TOTAL_SHARDS": total, "TEST_TIMEOUT": timeout, "TEST_RANDOM_SEED": seed, "TEST_TARGET": target}
		p, err := readProtocol(func(name string) string { return environment[name] })
		if err != nil {
			return
		}
		if p.shards < 1 || p.shard < 0 || p.shard >= p.shards || p.timeout < 0 || p.seed < 0 {
			t.Fatalf("%+v", p)
		}
		if p.className("suite") == "" && target == "" || p.position() == "" && p.shards > 1 {
			t.Fatalf("%+v", p)
		}
		_ = p.logsFolder()
	})
}
