package deploy

import (
	_ "embed" // for what watches the gateway
	"fmt"

	"sigs.k8s.io/yaml"
)

var (
	// Dashboard is the gateway's dashboard for Grafana, as JSON.
	//
	//go:embed observability/dashboard.json
	Dashboard []byte
	// Alerts are the alert rules for Prometheus, as YAML.
	//
	//go:embed observability/alerts.yaml
	Alerts []byte
)

// AlertRule is one of Alerts, in the form that Prometheus documents.
type AlertRule struct {
	// Alert is its name.
	Alert string `json:"alert"`
	// Expr is a PromQL expression. The alert is active while it has a result.
	Expr string `json:"expr"`
	// For is how long the alert must be active to fire, such as 5m. Empty: not at all.
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// AlertRules returns the rules of Alerts in their order. It fails for members that an
// alert rule does not have.
func AlertRules() ([]AlertRule, error) {
	var file struct {
		Groups []struct {
			Name  string      `json:"name"`
			Rules []AlertRule `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.UnmarshalStrict(Alerts, &file); err != nil {
		return nil, fmt.Errorf("read the alert rules: %w", err)
	}
	var rules []AlertRule
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules, nil
}
