// Package grafana reads dashboards of Grafana (schema 39) as far as this project uses
// the format, which is rows, time series, single values and Prometheus' expressions.
// What it can't draw it refuses, so that a drawing of a dashboard lacks nothing.
package grafana

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Columns is the width of a dashboard's grid.
const Columns = 24

// maxRows bounds the height of a dashboard's grid, in the grid's rows.
const maxRows = 1000

// Types of panels.
const (
	Row        = "row"
	TimeSeries = "timeseries"
	Stat       = "stat"
)

// Units are those that values of panels may have: Grafana's names.
var Units = []string{"none", "short", "s", "bytes", "percent", "percentunit", "cps", "reqps"}

// Dashboard is what is drawn of a dashboard.
type Dashboard struct {
	Title      string  `json:"title"`
	Panels     []Panel `json:"panels"`
	Templating struct {
		List []Variable `json:"list"`
	} `json:"templating"`
}

// Variable is what a reader of the dashboard can choose.
type Variable struct {
	Name string `json:"name"`
	// Type is "query", or "datasource", of which nothing is drawn.
	Type string `json:"type"`
	// Query is "label_values(METRIC, LABEL)" if the type is query.
	Query string `json:"query"`
	// AllValue stands for all values together. Required if the type is query.
	AllValue string `json:"allValue"`
}

// Panel is a rectangle of a dashboard.
type Panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	GridPos     Grid   `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit string   `json:"unit"`
			Min  *float64 `json:"min"`
			Max  *float64 `json:"max"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []Target `json:"targets"`
	// Panels are those of a row that is collapsed, which is refused.
	Panels []json.RawMessage `json:"panels"`
}

// Grid is where a panel is: in columns and rows of the grid, from the upper left.
type Grid struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

// overlaps reports whether the two have a cell in common.
func (g Grid) overlaps(o Grid) bool {
	return g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H
}

// Target is a query of a panel.
type Target struct {
	RefID string `json:"refId"`
	Expr  string `json:"expr"`
	// LegendFormat names a series, with its labels as {{label}}.
	LegendFormat string `json:"legendFormat"`
}

// Read reads a dashboard. The error names all problems, each by panel and field.
func Read(content []byte) (*Dashboard, error) {
	d := &Dashboard{}
	decoder := json.NewDecoder(bytes.NewReader(content))
	if err := decoder.Decode(d); err != nil {
		return nil, fmt.Errorf("read dashboard: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("read dashboard: something follows the JSON object")
	}
	if err := d.validate(); err != nil {
		return nil, fmt.Errorf("dashboard %q: %w", d.Title, err)
	}
	return d, nil
}

func (d *Dashboard) validate() error {
	var problems []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	require(d.Title != "", "title is required")
	require(len(d.Panels) > 0, "panels is empty")
	values := builtin(0, 0, 0)
	for _, v := range d.Templating.List {
		switch v.Type {
		case "datasource": // its name is no value of an expression
		case "query":
			values[v.Name] = ""
			_, _, err := v.Source()
			require(err == nil, "variable %s: %w", v.Name, err)
			require(v.AllValue != "", "variable %s: allValue is required: all values are drawn", v.Name)
		default:
			require(false, "variable %s: type is %q, want query or datasource", v.Name, v.Type)
		}
	}
	ids := map[int]bool{}
	for i, p := range d.Panels {
		fail := func(ok bool, format string, args ...any) {
			require(ok, "panel %d %q: "+format, append([]any{p.ID, p.Title}, args...)...)
		}
		fail(!ids[p.ID], "id is another panel's, too")
		ids[p.ID] = true
		fail(p.Title != "", "title is required")
		g := p.GridPos
		fail(g.X >= 0 && g.Y >= 0 && g.W > 0 && g.H > 0 && g.W <= Columns && g.X <= Columns-g.W && g.Y < maxRows && g.H < maxRows,
			"gridPos is %+v, want a rectangle in %d columns and %d rows", g, Columns, maxRows)
		for _, o := range d.Panels[:i] {
			fail(!g.overlaps(o.GridPos), "gridPos %+v overlaps panel %d %q", g, o.ID, o.Title)
		}
		if p.Type == Row {
			fail(len(p.Targets) == 0, "a row has targets")
			fail(len(p.Panels) == 0, "the row is collapsed: put its panels into the dashboard's")
			continue
		}
		fail(p.Type == TimeSeries || p.Type == Stat, "type is %q, want %s, %s or %s", p.Type, Row, TimeSeries, Stat)
		fail(slices.Contains(Units, p.FieldConfig.Defaults.Unit), "fieldConfig.defaults.unit is %q, want one of %s", p.FieldConfig.Defaults.Unit, strings.Join(Units, ", "))
		fail(len(p.Targets) > 0, "targets is empty")
		refs := map[string]bool{}
		for _, target := range p.Targets {
			fail(target.RefID != "" && !refs[target.RefID], "refId %q is empty, or another target's, too", target.RefID)
			refs[target.RefID] = true
			_, err := Substitute(target.Expr, values)
			fail(err == nil, "target %s: %w", target.RefID, err)
			fail(strings.TrimSpace(target.Expr) != "", "target %s: expr is required", target.RefID)
		}
	}
	return errors.Join(problems...)
}

var labelValues = regexp.MustCompile(`^label_values\(\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*,\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\)$`)

// Source returns the metric and the label whose values the variable can have.
func (v *Variable) Source() (metric, label string, err error) {
	found := labelValues.FindStringSubmatch(v.Query)
	if found == nil {
		return "", "", fmt.Errorf("query is %q, want label_values(METRIC, LABEL)", v.Query)
	}
	return found[1], found[2], nil
}

// Values returns what all variables stand for, the dashboard's own and Grafana's, in a
// drawing of a span whose points are a step apart, of data scraped at an interval.
func (d *Dashboard) Values(span, step, scrape time.Duration) map[string]string {
	values := builtin(span, step, scrape)
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			values[v.Name] = v.AllValue
		}
	}
	return values
}

// builtin are Grafana's own variables. The rate interval is as Grafana documents it: the
// step and a scrape, so that each rate sees what came since the last point, but at least
// four scrapes.
func builtin(span, step, scrape time.Duration) map[string]string {
	return map[string]string{
		"__interval":      promDuration(step),
		"__rate_interval": promDuration(max(step+scrape, 4*scrape)),
		"__range":         promDuration(span),
	}
}

// promDuration writes a duration for PromQL.
func promDuration(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

var reference = regexp.MustCompile(`\$(?:(\w+)|\{([^}]*)\})|\[\[([^\]]*)\]\]`)

// Substitute replaces $name and ${name}. A variable that has no value is an error, and so
// are formats, as in ${name:csv}.
func Substitute(expr string, values map[string]string) (string, error) {
	var problems []error
	result := reference.ReplaceAllStringFunc(expr, func(text string) string {
		found := reference.FindStringSubmatch(text)
		name := found[1] + found[2] + found[3]
		value, ok := values[name]
		if !ok {
			problems = append(problems, fmt.Errorf("expr has the variable %s, which there is not", text))
		}
		return value
	})
	return result, errors.Join(problems...)
}

var labelReference = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// Legend is the name of a series with these labels. Without a format it is the labels.
func (t *Target) Legend(labels map[string]string) string {
	if t.LegendFormat == "" {
		var pairs []string
		for name, value := range labels {
			pairs = append(pairs, fmt.Sprintf("%s=%q", name, value))
		}
		slices.Sort(pairs)
		return "{" + strings.Join(pairs, ", ") + "}"
	}
	return labelReference.ReplaceAllStringFunc(t.LegendFormat, func(text string) string {
		return labels[labelReference.FindStringSubmatch(text)[1]]
	})
}
