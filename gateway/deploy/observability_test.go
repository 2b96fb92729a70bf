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
	"sigs.k8s.io/yaml"

	"stormgate.internal/gateway/deploy"
	"stormgate.internal/gateway/metrics"
)

// exposed returns what the gateway exposes: names, and the labels of each.
func exposed(t *testing.T) map[string][]string {
	t.Helper()
	m := metrics.New()
	m.WatchPool(func() *redis.PoolStats { return &redis.PoolStats{} }, 1)
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

// scraped are labels that Prometheus adds to what it scrapes.
var scraped = []string{"instance", "job", "pod"}

var (
	token     = regexp.MustCompile(`"[^"]*"|\[[^\]]*\]|[a-zA-Z_:$][a-zA-Z0-9_:]*|[0-9.]+[a-z]*|[=!<>~]+|\s+|.`)
	name      = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	functions = []string{"absent", "avg", "histogram_quantile", "increase", "max", "min", "rate", "sum", "time", "topk"}
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
		case !name.MatchString(text):
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
		`sum by (reason) (rate(gateway_signals_failed_total{pod=~"$pod"}[$__rate_interval])) > 0.5`:     "",
		`histogram_quantile(0.9, sum by (le) (rate(gateway_http_request_duration_seconds_bucket[5m])))`: "",
		`rate(gateway_signals_lost_total[5m])`:                                                          "metric gateway_signals_lost_total is not exposed",
		`rate(gateway_http_request_duration_seconds[5m])`:                                               "metric gateway_http_request_duration_seconds is not exposed",
		`gateway_redis_available_bucket`:                                                                "metric gateway_redis_available_bucket is not exposed",
		`gateway_signals_failed_total{cause="x"}`:                                                       "metric gateway_signals_failed_total has no label cause",
		`sum by (cause) (gateway_signals_failed_total)`:                                                 "no metric has the label cause",
		`maximum(gateway_redis_available)`:                                                              "function maximum is not known",
		`sum(gateway_redis_available`:                                                                   "a parenthesis is not closed",
		`sum(gateway_redis_available))`:                                                                 "a parenthesis is closed that was not opened",
	} {
		if got := strings.Join(problems(expression, families), "; "); got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}

var labelReference = regexp.MustCompile(`\$labels\.([a-zA-Z_]+)`)

func TestAlertRules(t *testing.T) {
	var rules struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Alert       string            `json:"alert"`
				Expr        string            `json:"expr"`
				For         string            `json:"for"`
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.UnmarshalStrict(deploy.Alerts, &rules); err != nil {
		t.Fatal(err)
	}
	families := exposed(t)
	seen := map[string]bool{}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if seen[rule.Alert] || rule.Alert == "" {
				t.Errorf("alert %q is there twice", rule.Alert)
			}
			seen[rule.Alert] = true
			for _, problem := range problems(rule.Expr, families) {
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
	}
	if len(seen) == 0 {
		t.Error("no alerts")
	}
}

func TestDashboard(t *testing.T) {
	var dashboard struct {
		Title      string
		Templating struct {
			List []struct{ Name, Query string }
		}
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     struct{ H, W, X, Y int }
			Targets     []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(deploy.Dashboard, &dashboard); err != nil {
		t.Fatal(err)
	}
	families := exposed(t)
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
