// Package draw evaluates a dashboard and alert rules with a Prometheus, and draws the
// dashboard.
package draw

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheus "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"stormgate.internal/integration/dashboard/grafana"
)

// Span is the time that is drawn.
type Span struct {
	Start, End time.Time
	// Step is the time between two points, Scrape between two scrapes.
	Step, Scrape time.Duration
}

// Drawing is a dashboard with its data.
type Drawing struct {
	Title string `json:"title"`
	// Times are those of all points, in seconds since 1970.
	Times  []int64 `json:"times"`
	Panels []Panel `json:"panels"`
}

// Panel is one panel with its data.
type Panel struct {
	Title  string       `json:"title"`
	Type   string       `json:"type"`
	Unit   string       `json:"unit"`
	Grid   grafana.Grid `json:"grid"`
	Min    *float64     `json:"min"`
	Max    *float64     `json:"max"`
	Series []Series     `json:"series"`
}

// Series is a line, or a single value: that of its last point.
type Series struct {
	Name string `json:"name"`
	// Points has one for each time; nil where there is none.
	Points []*float64 `json:"points"`
}

// Client asks a Prometheus.
type Client struct{ api prometheus.API }

// Connect returns a client for the Prometheus at a URL.
func Connect(url string) (*Client, error) {
	client, err := api.NewClient(api.Config{Address: url})
	if err != nil {
		return nil, fmt.Errorf("connect to Prometheus: %w", err)
	}
	return &Client{prometheus.NewAPI(client)}, nil
}

// Targets returns how many targets were scraped successfully at the last attempt.
func (c *Client) Targets(ctx context.Context) (int, error) {
	value, _, _, err := c.api.Query(ctx, "sum(up)", time.Now())
	if err != nil {
		return 0, fmt.Errorf("ask Prometheus for its targets: %w", err)
	}
	if vector, ok := value.(model.Vector); ok && len(vector) == 1 {
		return int(vector[0].Value), nil
	}
	return 0, nil
}

// Evaluate evaluates every expression of every panel. The error names each panel with an
// expression that fails or has no data. All results but those are returned with it.
func (c *Client) Evaluate(ctx context.Context, d *grafana.Dashboard, span Span) (*Drawing, error) {
	drawing := &Drawing{Title: d.Title}
	for at := span.Start; !at.After(span.End); at = at.Add(span.Step) {
		drawing.Times = append(drawing.Times, at.Unix())
	}
	var problems []error
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		metric, label, err := v.Source()
		if err == nil {
			var found model.LabelValues
			if found, _, _, err = c.api.LabelValues(ctx, label, []string{metric}, span.Start, span.End); err == nil && len(found) == 0 {
				err = fmt.Errorf("no %s has a label %s", metric, label)
			}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("variable %s: %w", v.Name, err))
		}
	}
	values := d.Values(span.End.Sub(span.Start), span.Step, span.Scrape)
	for _, p := range d.Panels {
		panel := Panel{
			Title: p.Title, Type: p.Type, Unit: p.FieldConfig.Defaults.Unit, Grid: p.GridPos,
			Min: p.FieldConfig.Defaults.Min, Max: p.FieldConfig.Defaults.Max,
		}
		for _, target := range p.Targets {
			series, err := c.series(ctx, &target, values, span)
			if err != nil {
				problems = append(problems, fmt.Errorf("panel %q, target %s: %w\n\t%s", p.Title, target.RefID, err, target.Expr))
			}
			panel.Series = append(panel.Series, series...)
		}
		drawing.Panels = append(drawing.Panels, panel)
	}
	return drawing, errors.Join(problems...)
}

// series evaluates one expression.
func (c *Client) series(ctx context.Context, target *grafana.Target, values map[string]string, span Span) ([]Series, error) {
	expr, err := grafana.Substitute(target.Expr, values)
	if err != nil {
		return nil, err
	}
	matrix, err := c.matrix(ctx, expr, span)
	if err != nil {
		return nil, err
	}
	var all []Series
	for _, stream := range matrix {
		labels := map[string]string{}
		for name, value := range stream.Metric {
			labels[string(name)] = string(value)
		}
		s := Series{Name: target.Legend(labels), Points: make([]*float64, int(span.End.Sub(span.Start)/span.Step)+1)}
		some := false
		for _, pair := range stream.Values {
			i := int(pair.Timestamp.Time().Sub(span.Start).Round(span.Step) / span.Step)
			value := float64(pair.Value)
			if i < 0 || i >= len(s.Points) || math.IsNaN(value) || math.IsInf(value, 0) {
				continue
			}
			s.Points[i], some = &value, true
		}
		if some {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no data")
	}
	slices.SortFunc(all, func(a, b Series) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func (c *Client) matrix(ctx context.Context, expr string, span Span) (model.Matrix, error) {
	value, _, _, err := c.api.QueryRange(ctx, expr, prometheus.Range{Start: span.Start, End: span.End, Step: span.Step})
	if err != nil {
		return nil, err
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("the result is a %s, want a matrix", value.Type())
	}
	return matrix, nil
}

// Flat returns the panels whose values are all 0, as panel and series.
func (d *Drawing) Flat() []string {
	var flat []string
	for _, p := range d.Panels {
		for _, s := range p.Series {
			if !slices.ContainsFunc(s.Points, func(point *float64) bool { return point != nil && *point != 0 }) {
				flat = append(flat, p.Title+": "+s.Name)
			}
		}
	}
	return flat
}

// Rule is what became of an alert rule.
type Rule struct {
	Name string
	// True is the time in which its expression had a result, For how long it must have one
	// without a break to fire.
	True, For time.Duration
	// Fired is whether it did.
	Fired bool
}

// Rules evaluates the expression of each alert rule that Prometheus has, at each point
// of the span. The error names those that fail, here or in Prometheus itself.
func (c *Client) Rules(ctx context.Context, span Span) ([]Rule, error) {
	result, err := c.api.Rules(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus for its rules: %w", err)
	}
	fired, err := c.matrix(ctx, `ALERTS{alertstate="firing"}`, span)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus for alerts: %w", err)
	}
	var rules []Rule
	var problems []error
	for _, group := range result.Groups {
		for _, entry := range group.Rules {
			alert, ok := entry.(prometheus.AlertingRule)
			if !ok {
				continue
			}
			rule := Rule{Name: alert.Name, For: time.Duration(alert.Duration * float64(time.Second))}
			if alert.Health != prometheus.RuleHealthGood {
				problems = append(problems, fmt.Errorf("alert %s: Prometheus says it is %s: %s", alert.Name, alert.Health, alert.LastError))
			}
			matrix, err := c.matrix(ctx, alert.Query, span)
			if err != nil {
				problems = append(problems, fmt.Errorf("alert %s: %w", alert.Name, err))
			}
			at := map[model.Time]bool{}
			for _, stream := range matrix {
				for _, pair := range stream.Values {
					at[pair.Timestamp] = true
				}
			}
			rule.True = time.Duration(len(at)) * span.Step
			rule.Fired = slices.ContainsFunc(fired, func(s *model.SampleStream) bool { return string(s.Metric[model.AlertNameLabel]) == alert.Name })
			rules = append(rules, rule)
		}
	}
	if len(rules) == 0 {
		problems = append(problems, errors.New("Prometheus has no alert rules"))
	}
	return rules, errors.Join(problems...)
}

// String is a line of a report.
func (r Rule) String() string {
	switch {
	case r.Fired:
		return r.Name + ": fired"
	case r.True > 0:
		return fmt.Sprintf("%s: true for %s; it fires after %s without a break", r.Name, r.True, r.For)
	}
	return r.Name + ": quiet"
}
