package grafana

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// whole is a dashboard in which one thing of each kind is.
const whole = `{"title": "T", "schemaVersion": 39, "templating": {"list": [
  {"name": "datasource", "type": "datasource", "query": "prometheus"},
  {"name": "pod", "type": "query", "query": "label_values(up, pod)", "allValue": ".*"}]},
 "panels": [
  {"id": 1, "type": "row", "title": "R", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}},
  {"id": 2, "type": "timeseries", "title": "S", "gridPos": {"x": 0, "y": 1, "w": 12, "h": 7}, "fieldConfig": {"defaults": {"unit": "cps", "min": 0}},
   "targets": [{"refId": "A", "expr": "rate(a{pod=~\"$pod\"}[$__rate_interval])", "legendFormat": "{{pod}}"}, {"refId": "B", "expr": "b"}]},
  {"id": 3, "type": "stat", "title": "V", "gridPos": {"x": 12, "y": 1, "w": 12, "h": 7}, "fieldConfig": {"defaults": {"unit": "s"}}, "targets": [{"refId": "A", "expr": "c"}]}]}`

func TestRead(t *testing.T) {
	d, err := Read([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	p := d.Panels[1]
	if d.Title != "T" || len(d.Panels) != 3 || p.Title != "S" || p.GridPos != (Grid{0, 1, 12, 7}) || *p.FieldConfig.Defaults.Min != 0 || p.FieldConfig.Defaults.Unit != "cps" {
		t.Errorf("read %+v", d)
	}
	got, err := Substitute(p.Targets[0].Expr, d.Values(time.Minute, time.Second, time.Second))
	if want := `rate(a{pod=~".*"}[4000ms])`; got != want || err != nil {
		t.Errorf("expression %s, error %v, want %s", got, err, want)
	}
}

// Promise: what can't be drawn is refused, and the error names panel and field.
func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ old, replacement, want string }{
		{whole, `{`, "unexpected EOF"},
		{whole, `{"title": 1}`, "title"},
		{whole, whole + `{}`, "something follows"},
		{whole, `{"title": "T"}`, "panels is empty"},
		{`"title": "T"`, `"title": ""`, "title is required"},
		{`"type": "query"`, `"type": "custom"`, `variable pod: type is "custom"`},
		{`label_values(up, pod)`, `up`, `variable pod: query is "up"`},
		{`"allValue": ".*"`, `"allValue": ""`, "variable pod: allValue is required"},
		{`"id": 3`, `"id": 2`, `panel 2 "V": id is another panel's`},
		{`"title": "V"`, `"title": ""`, `panel 3 "": title is required`},
		{`"x": 12`, `"x": 13`, `panel 3 "V": gridPos is`},
		{`"x": 12`, `"x": -1`, `panel 3 "V": gridPos is`},
		{`"x": 12`, `"x": 9223372036854775807`, `panel 3 "V": gridPos is`},
		{`"x": 12`, `"x": 11`, `panel 3 "V": gridPos {X:11 Y:1 W:12 H:7} overlaps panel 2 "S"`},
		{`"w": 24, "h": 1}`, `"w": 24, "h": 1}, "targets": [{"refId": "A", "expr": "a"}]`, `panel 1 "R": a row has targets`},
		{`"w": 24, "h": 1}`, `"w": 24, "h": 1}, "panels": [{}]`, `panel 1 "R": the row is collapsed`},
		{`"type": "stat"`, `"type": "gauge"`, `panel 3 "V": type is "gauge"`},
		{`"unit": "s"`, `"unit": "parsec"`, `panel 3 "V": fieldConfig.defaults.unit is "parsec"`},
		{`"targets": [{"refId": "A", "expr": "c"}]`, `"targets": []`, `panel 3 "V": targets is empty`},
		{`"refId": "B"`, `"refId": "A"`, `panel 2 "S": refId "A"`},
		{`"expr": "c"`, `"expr": " "`, `panel 3 "V": target A: expr is required`},
		{`"expr": "c"`, `"expr": "c{x=\"$datasource\"}"`, `panel 3 "V": target A: expr has the variable $datasource`},
		{`"expr": "c"`, `"expr": "c[$span]"`, `panel 3 "V": target A: expr has the variable $span`},
	} {
		_, err := Read([]byte(strings.Replace(whole, c.old, c.replacement, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s for %.40s: error %v, want one with %s", c.replacement, c.old, err, c.want)
		}
	}
}

func TestSubstitute(t *testing.T) {
	values := map[string]string{"pod": "a|b", "p": "wrong"}
	for expr, want := range map[string]string{
		"up": "up", "$pod": "a|b", "${pod}": "a|b", "[[pod]]": "a|b", `up{pod=~"$pod"}[$p]`: `up{pod=~"a|b"}[wrong]`,
	} {
		if got, err := Substitute(expr, values); got != want || err != nil {
			t.Errorf("%s: %s, error %v, want %s", expr, got, err, want)
		}
	}
	for _, expr := range []string{"$pods", "${pod:csv}", "${}", "[[x]]", "$pod $a $b"} {
		if got, err := Substitute(expr, values); err == nil {
			t.Errorf("%s: %s, want an error", expr, got)
		}
	}
}

// Promise: intervals are Grafana's: the step and a scrape, at least four scrapes.
func TestRateInterval(t *testing.T) {
	for _, c := range []struct {
		step, scrape time.Duration
		want         string
	}{
		{time.Second, time.Second, "4000ms"},
		{time.Second, 15 * time.Second, "60000ms"},
		{time.Minute, 15 * time.Second, "75000ms"},
	} {
		if got := builtin(0, c.step, c.scrape)["__rate_interval"]; got != c.want {
			t.Errorf("step %s, scrape %s: %s, want %s", c.step, c.scrape, got, c.want)
		}
	}
}

func TestLegend(t *testing.T) {
	labels := map[string]string{"b": "2", "a": "1"}
	for format, want := range map[string]string{"x {{a}} {{ b }}": "x 1 2", "{{c}}": "", "": `{a="1", b="2"}`} {
		if got := (&Target{LegendFormat: format}).Legend(labels); got != want {
			t.Errorf("format %q: %q, want %q", format, got, want)
		}
	}
}

// What is read can be drawn: nothing overlaps or is outside of the grid, and each
// expression has all its variables.
func FuzzRead(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(strings.Replace(whole, `"x": 12`, `"x": 4611686018427387904`, 1)))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := Read(content)
		if err != nil {
			return
		}
		values := d.Values(time.Minute, time.Second, time.Second)
		taken := map[string]bool{}
		for _, p := range d.Panels {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					cell := fmt.Sprint(x, " ", y)
					if x < 0 || x >= Columns || y < 0 || taken[cell] {
						t.Fatalf("panel %q at %+v", p.Title, p.GridPos)
					}
					taken[cell] = true
				}
			}
			for _, target := range p.Targets {
				if _, err := Substitute(target.Expr, values); err != nil {
					t.Fatalf("panel %q: %v", p.Title, err)
				}
			}
		}
	})
}
