package deploy_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"stormgate.internal/gateway/deploy"
	"stormgate.internal/gateway/metrics"
)

// newMetrics returns the metrics of a gateway that has just started.
func newMetrics() *metrics.Metrics {
	m := metrics.New()
	m.WatchPool(func() *redis.PoolStats { return &redis.PoolStats{} }, 1)
	return m
}

// exposed returns what the gateway exposes: names, and the labels of each.
func exposed(t *testing.T) map[string][]string {
	t.Helper()
	m := newMetrics()
	families := m.Families()
	// Those of the process and the runtime always have samples.
	gathered, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range gathered {
		if _, ok := families[family.GetName()]; !ok {
			families[family.GetName()] = nil
		}
	}
	return families
}

// series are those of one metric, each as its labels.
type series []map[string]string

// atStart returns the series that a gateway has before anything happens, by their metric.
func atStart(t *testing.T) map[string]series {
	t.Helper()
	gathered, err := newMetrics().Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]series)
	for _, family := range gathered {
		for _, sample := range family.GetMetric() {
			labels := make(map[string]string)
			for _, label := range sample.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			all[family.GetName()] = append(all[family.GetName()], labels)
		}
	}
	return all
}

// scraped are labels that Prometheus adds to what it scrapes.
var scraped = []string{"instance", "job", "pod"}

var (
	token     = regexp.MustCompile(`"[^"]*"|\[[^\]]*\]|[a-zA-Z_:$][a-zA-Z0-9_:]*|[0-9.]+[a-z]*|[=!<>~]+|\s+|.`)
	name      = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	functions = []string{"absent", "avg", "histogram_quantile", "increase", "max", "min", "rate", "sum", "time", "topk"}
	operators = []string{"offset", "or", "unless"}
)

// problems returns what is wrong with a PromQL expression, given the metrics that
// there are. It knows as much of the language as is used here, and refuses more.
func problems(expression string, families map[string][]string) []string {
	var found []string
	var tokens []string
	for _, text := range token.FindAllString(expression, -1) {
		if strings.TrimSpace(text) != "" {
			tokens = append(tokens, text)
		}
	}
	next := func(i int) string {
		if i+1 < len(tokens) {
			return tokens[i+1]
		}
		return ""
	}
	var labels, used []string
	depth := 0
	for i := 0; i < len(tokens); i++ {
		switch text := tokens[i]; {
		case text == "(":
			depth++
		case text == ")":
			if depth--; depth < 0 {
				return append(found, "a parenthesis is closed that was not opened")
			}
		case !name.MatchString(text), slices.Contains(operators, text):
		case text == "by" || text == "without":
			for i += 2; i < len(tokens) && tokens[i] != ")"; i++ {
				if tokens[i] != "," {
					used = append(used, tokens[i])
				}
			}
		case next(i) == "(" || next(i) == "by" || next(i) == "without":
			if !slices.Contains(functions, text) {
				found = append(found, fmt.Sprintf("function %s is not known", text))
			}
		default:
			own, ok := lookUp(text, families)
			if !ok {
				found = append(found, fmt.Sprintf("metric %s is not exposed", text))
			}
			labels = append(labels, own...)
			if next(i) != "{" {
				continue
			}
			for i += 2; i < len(tokens) && tokens[i] != "}"; i++ {
				if name.MatchString(tokens[i]) && !slices.Contains(own, tokens[i]) {
					found = append(found, fmt.Sprintf("metric %s has no label %s", text, tokens[i]))
				}
			}
		}
	}
	if depth != 0 {
		found = append(found, "a parenthesis is not closed")
	}
	for _, label := range used {
		if !slices.Contains(labels, label) {
			found = append(found, "no metric has the label "+label)
		}
	}
	return found
}

// lookUp returns the labels that a metric has in Prometheus.
func lookUp(metric string, families map[string][]string) ([]string, bool) {
	if own, ok := families[metric]; ok {
		return append(slices.Clone(own), scraped...), !strings.HasSuffix(metric, "_duration_seconds")
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		histogram, ok := strings.CutSuffix(metric, suffix)
		if own, known := families[histogram]; ok && known && strings.HasSuffix(histogram, "_duration_seconds") {
			return append(append(slices.Clone(own), scraped...), "le"), true
		}
	}
	return nil, false
}

// The test of the tests: what is wrong is found.
func TestProblemsOfExpressionsAreFound(t *testing.T) {
	families := exposed(t)
	for expression, want := range map[string]string{
		`sum by (reason) (rate(gateway_signals_failed_total{pod=~"$pod"}[$__rate_interval])) > 0.5`:                 "",
		`histogram_quantile(0.9, sum by (le) (rate(gateway_http_request_duration_seconds_bucket[5m])))`:             "",
		`(gateway_signals_failed_total unless gateway_signals_failed_total offset 5m) or (gateway_redis_available)`: "",
		`gateway_signals_failed_total unless gateway_signals_lost_total offset 5m`:                                  "metric gateway_signals_lost_total is not exposed",
		`rate(gateway_signals_lost_total[5m])`:                                                                      "metric gateway_signals_lost_total is not exposed",
		`rate(gateway_http_request_duration_seconds[5m])`:                                                           "metric gateway_http_request_duration_seconds is not exposed",
		`gateway_redis_available_bucket`:                                                                            "metric gateway_redis_available_bucket is not exposed",
		`gateway_signals_failed_total{cause="x"}`:                                                                   "metric gateway_signals_failed_total has no label cause",
		`sum by (cause) (gateway_signals_failed_total)`:                                                             "no metric has the label cause",
		`maximum(gateway_redis_available)`:                                                                          "function maximum is not known",
		`sum(gateway_redis_available`:                                                                               "a parenthesis is not closed",
		`sum(gateway_redis_available))`:                                                                             "a parenthesis is closed that was not opened",
	} {
		if got := strings.Join(problems(expression, families), "; "); got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}

// chosen are the labels whose values are chosen by senders, by owners of namespaces or by
// whoever configures the gateway, or are too many. Their series appear with their first event.
var chosen = []string{"attempt", "environment", "namespace", "signal_name", "source_ip", "status_code"}

// firstEvent begins what unseen says of series that can't be there from the start.
const firstEvent = "the first event"

var (
	compared = regexp.MustCompile(`\b(?:rate|increase)\((\w+(?:\{[^}]*\})?)\[([^\]]*)\]\)`)
	selector = regexp.MustCompile(`^(\w+)(?:\{(.*)\})?$`)
	matcher  = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
)

// unseen returns what an expression compares over time although it may lack the sample
// before the first event. What is needed is that the series is there from the start, or,
// if that can't be, that the expression counts new series from 0. Labels whose values are
// known are compared with values that there are. Histograms are left out: a quantile is of
// many observations.
func unseen(expression string, families map[string][]string, start map[string]series) []string {
	plain := strings.Join(strings.Fields(expression), " ")
	comparisons := compared.FindAllStringSubmatch(plain, -1)
	if n := len(regexp.MustCompile(`\b(rate|increase)\b`).FindAllString(plain, -1)); n != len(comparisons) {
		return []string{fmt.Sprintf("%d of %d comparisons over time are understood", len(comparisons), n)}
	}
	var found []string
	for _, comparison := range comparisons {
		selected, span := comparison[1], comparison[2]
		parts := selector.FindStringSubmatch(selected)
		metric := parts[1]
		switch {
		case strings.HasSuffix(metric, "_bucket"):
		case start[metric] != nil:
			found = append(found, unmatched(parts[2], metric, start[metric])...)
		case strings.Contains(plain, fmt.Sprintf("(%s unless %s offset %s) or %s", selected, selected, span, comparison[0])):
		case !slices.ContainsFunc(families[metric], func(label string) bool { return slices.Contains(chosen, label) }):
			found = append(found, fmt.Sprintf("%s is not there before its first event, and all values of its labels are known", metric))
		default:
			found = append(found, fmt.Sprintf("%s of %s is not seen", firstEvent, metric))
		}
	}
	return found
}

// unmatched returns the values in matchers that no series has. The labels that Prometheus
// adds match.
func unmatched(matchers, metric string, all series) []string {
	var found []string
	for _, m := range matcher.FindAllStringSubmatch(matchers, -1) {
		label, values := m[1], []string{m[3]}
		if slices.Contains(scraped, label) {
			continue
		}
		if strings.HasSuffix(m[2], "~") {
			values = strings.Split(m[3], "|")
		}
		for _, value := range values {
			if !slices.ContainsFunc(all, func(labels map[string]string) bool { return labels[label] == value }) {
				found = append(found, fmt.Sprintf("no series of %s has %s=%q", metric, label, value))
			}
		}
	}
	return found
}

// The test of the test: what is not seen is found.
func TestUnseenFirstEventsAreFound(t *testing.T) {
	families, start := exposed(t), atStart(t)
	families["gateway_new_total"] = []string{"reason"}
	const overflows = "gateway_storm_buffer_overflow_total"
	for expression, want := range map[string]string{
		`increase(gateway_alerts_truncated_total[15m]) > 0`:                                  "",
		`rate(gateway_redis_pool_timeouts_total{pod=~"$pod"}[5m])`:                           "",
		`rate(gateway_http_request_duration_seconds_bucket[5m])`:                             "",
		`increase(gateway_requests_rejected_total{reason="too_large"}[15m])`:                 "",
		`increase(gateway_requests_rejected_total{reason!~"too_large|method",pod="a"}[15m])`: "",
		`increase(gateway_requests_rejected_total{reason!~"too_large|metod"}[15m])`:          `no series of gateway_requests_rejected_total has reason="metod"`,
		`increase(gateway_new_total[5m])`:                                                    "gateway_new_total is not there before its first event, and all values of its labels are known",
		`increase(OVERFLOWS[10m])`:                                                           "the first event of " + overflows + " is not seen",
		"(OVERFLOWS unless\n  OVERFLOWS offset 10m)\n  or increase(OVERFLOWS[10m])":          "",
		// A series that began between these times is neither new nor compared with 0.
		`(OVERFLOWS unless OVERFLOWS offset 5m) or increase(OVERFLOWS[10m])`: "the first event of " + overflows + " is not seen",
		`increase(sum(gateway_alerts_truncated_total)[15m:])`:                "0 of 1 comparisons over time are understood",
	} {
		expression = strings.ReplaceAll(expression, "OVERFLOWS", overflows)
		if got := strings.Join(unseen(expression, families, start), "; "); got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}

var labelReference = regexp.MustCompile(`\$labels\.([a-zA-Z_]+)`)

func TestAlertRules(t *testing.T) {
	rules, err := deploy.AlertRules()
	if err != nil {
		t.Fatal(err)
	}
	families, start := exposed(t), atStart(t)
	seen := map[string]bool{}
	for _, rule := range rules {
		if seen[rule.Alert] || rule.Alert == "" {
			t.Errorf("alert %q is there twice", rule.Alert)
		}
		seen[rule.Alert] = true
		for _, problem := range append(problems(rule.Expr, families), unseen(rule.Expr, families, start)...) {
			t.Errorf("alert %s: %s", rule.Alert, problem)
		}
		if _, err := time.ParseDuration(rule.For); rule.For != "" && err != nil {
			t.Errorf("alert %s: %v", rule.Alert, err)
		}
		if s := rule.Labels["severity"]; s != "critical" && s != "warning" && s != "info" || rule.Annotations["summary"] == "" {
			t.Errorf("alert %s: labels %v, annotations %v", rule.Alert, rule.Labels, rule.Annotations)
		}
		for _, text := range rule.Annotations {
			for _, reference := range labelReference.FindAllStringSubmatch(text, -1) {
				if !regexp.MustCompile(`by \([^)]*\b` + reference[1] + `\b`).MatchString(rule.Expr) {
					t.Errorf("alert %s: the result has no label %s", rule.Alert, reference[1])
				}
			}
		}
	}
	if len(seen) == 0 {
		t.Error("no alerts")
	}
}

// What is refused for a while, or has a rule of its own, is not called malformed: whoever is
// called would look at the sender. What is put off for want of room has a rule, too.
func TestRefusalsThatPassAreNotCalledMalformed(t *testing.T) {
	rules, err := deploy.AlertRules()
	if err != nil {
		t.Fatal(err)
	}
	var malformed, own []string
	for _, rule := range rules {
		if rule.Alert == "GatewayRequestsMalformed" {
			malformed = strings.Split(regexp.MustCompile(`reason!~"([^"]*)"`).FindStringSubmatch(rule.Expr)[1], "|")
		}
		for _, match := range regexp.MustCompile(`gateway_requests_rejected_total\{reason="([^"]*)"`).FindAllStringSubmatch(rule.Expr, -1) {
			own = append(own, match[1])
		}
	}
	for _, reason := range append([]string{"memory", "rate_limit", "undecided"}, own...) {
		if !slices.Contains(malformed, reason) {
			t.Errorf("requests refused by %s are called malformed", reason)
		}
	}
	if !slices.Contains(own, "memory") {
		t.Errorf("no rule is about what is put off for want of room: %v", own)
	}
}

// highest returns the highest bounds of the histograms, as a reader of the dashboard sees
// them.
func highest(t *testing.T) map[string]string {
	t.Helper()
	m := newMetrics()
	m.RequestEnded("/", "GET", 200, time.Second)
	m.RetryDuration("timeout", time.Second)
	m.RedisOperation("storm_detection", time.Second)
	m.WindowClosed("shop", "A", time.Second)
	gathered, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	bounds := make(map[string]string)
	for _, family := range gathered {
		for _, bucket := range family.GetMetric()[0].GetHistogram().GetBucket() { // in order
			if top := bucket.GetUpperBound(); top < 1 {
				bounds[family.GetName()+"_bucket"] = fmt.Sprintf("%.4g ms", top*1000)
			} else {
				bounds[family.GetName()+"_bucket"] = fmt.Sprintf("%.4g s", top)
			}
		}
	}
	return bounds
}

var quantileOf = regexp.MustCompile(`histogram_quantile\(.*\b(gateway_\w+_bucket)`)

func TestDashboard(t *testing.T) {
	var dashboard struct {
		Title      string
		Templating struct {
			List []struct{ Name, Query string }
		}
		Panels []struct {
			ID          int
			Type, Title string
			Description string
			GridPos     struct{ H, W, X, Y int }
			Targets     []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(deploy.Dashboard, &dashboard); err != nil {
		t.Fatal(err)
	}
	families, start, bounds := exposed(t), atStart(t), highest(t)
	ids := map[int]bool{}
	expressions := 0
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] || panel.Title == "" || panel.GridPos.X+panel.GridPos.W > 24 {
			t.Errorf("panel %d %q at %+v", panel.ID, panel.Title, panel.GridPos)
		}
		ids[panel.ID] = true
		if (panel.Type == "row") != (len(panel.Targets) == 0) {
			t.Errorf("panel %q of type %s has %d queries", panel.Title, panel.Type, len(panel.Targets))
		}
		for _, target := range panel.Targets {
			expressions++
			for _, problem := range problems(target.Expr, families) {
				t.Errorf("panel %q: %s", panel.Title, problem)
			}
			for _, problem := range unseen(target.Expr, families, start) {
				// A line may begin with its second event, where nothing else can be.
				if !strings.HasPrefix(problem, firstEvent) {
					t.Errorf("panel %q: %s", panel.Title, problem)
				}
			}
			if quantile := quantileOf.FindStringSubmatch(target.Expr); quantile != nil {
				if bound := bounds[quantile[1]]; bound == "" || !strings.Contains(panel.Description, "at "+bound+" means longer") {
					t.Errorf("panel %q: the description %q does not say that a line at %s means longer", panel.Title, panel.Description, bound)
				}
			}
			for _, reference := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if grouped := regexp.MustCompile(`by \(([^)]*)\)`).FindStringSubmatch(target.Expr); grouped != nil && !strings.Contains(grouped[1], reference[1]) {
					t.Errorf("panel %q: the result has no label %s", panel.Title, reference[1])
				}
			}
		}
	}
	for _, variable := range dashboard.Templating.List {
		if query, ok := strings.CutPrefix(variable.Query, "label_values("); ok {
			metric, label, _ := strings.Cut(strings.TrimSuffix(query, ")"), ", ")
			if own, ok := lookUp(metric, families); !ok || !slices.Contains(own, label) {
				t.Errorf("variable %s: %s", variable.Name, variable.Query)
			}
		}
	}
	if dashboard.Title == "" || expressions == 0 {
		t.Error("the dashboard is empty")
	}
}
