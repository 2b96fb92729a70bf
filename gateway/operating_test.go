package gateway_test

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stormgate.internal/gateway/config"
	"stormgate.internal/gateway/deploy"
)

// alertNames returns those of the alert rules.
func alertNames(t *testing.T) []string {
	t.Helper()
	rules, err := deploy.AlertRules()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, rule := range rules {
		names = append(names, rule.Alert)
	}
	return names
}

var (
	inlineCode  = regexp.MustCompile("`[^`\n]+`")
	metricName  = regexp.MustCompile(`^gateway_[a-z0-9_]+`)
	alertName   = regexp.MustCompile(`^Gateway[A-Za-z]+$`)
	settingName = regexp.MustCompile(`^(server|middleware|infrastructure|processing)\.[a-z_.]+$`)
)

// unlisted returns what the page should name and does not, and what it names that there
// is not. A part of a setting's key, as in `middleware.rate_limit`, may be named.
func unlisted(page string, metrics, alerts, keys []string) (missing, unknown []string) {
	named := make(map[string]bool)
	for _, text := range inlineCode.FindAllString(page, -1) {
		text = strings.Trim(text, "`")
		if found := metricName.FindString(text); found != "" {
			text = found
			if !slices.Contains(metrics, text) {
				unknown = append(unknown, text)
			}
		} else if alertName.MatchString(text) && !slices.Contains(alerts, text) {
			unknown = append(unknown, text)
		} else if settingName.MatchString(text) && !slices.ContainsFunc(keys, func(key string) bool {
			return key == text || strings.HasPrefix(key, text+".")
		}) {
			unknown = append(unknown, text)
		}
		named[text] = true
	}
	for _, wanted := range slices.Concat(metrics, alerts, keys) {
		if !named[wanted] {
			missing = append(missing, wanted)
		}
	}
	return missing, unknown
}

// Promise: docs/operating.md has all there is to operate, and nothing that there is not.
func TestOperatorsPage(t *testing.T) {
	content, err := os.ReadFile("../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics := slices.Sorted(maps.Keys(families()))
	missing, unknown := unlisted(string(content), metrics, alertNames(t), keysOf(reflect.TypeFor[config.Config](), ""))
	for _, name := range missing {
		t.Errorf("docs/operating.md lacks `%s`", name)
	}
	for _, name := range unknown {
		t.Errorf("docs/operating.md names `%s`, which does not exist", name)
	}
}

func TestUnlisted(t *testing.T) {
	page := "`gateway_a_total{reason=\"x\"}` `gateway_c` `GatewayA` `GatewayC` `server` `server.a` `server.c` `processing.p` gateway_d"
	missing, unknown := unlisted(page, []string{"gateway_a_total", "gateway_b"}, []string{"GatewayA", "GatewayB"}, []string{"server.a", "server.b", "processing.p.q"})
	if want := []string{"gateway_b", "GatewayB", "server.b", "processing.p.q"}; !slices.Equal(missing, want) {
		t.Errorf("missing %q, want %q", missing, want)
	}
	if want := []string{"gateway_c", "GatewayC", "server.c"}; !slices.Equal(unknown, want) {
		t.Errorf("unknown %q, want %q", unknown, want)
	}
}
