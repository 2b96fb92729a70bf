package deploy

import _ "embed" // for what watches the gateway

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
