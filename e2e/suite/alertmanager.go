package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
)

// AlertManager is one of the environment's AlertManagers. They are a cluster: each gets
// every alert, and they tell each other what they have sent to the gateway.
type AlertManager struct {
	name string
	base string
	http *http.Client
}

// AlertManagers returns the environment's. The spec fails if there are none.
func AlertManagers() []*AlertManager {
	ginkgo.GinkgoHelper()
	gomega.Expect(here.alertManagers).NotTo(gomega.BeEmpty(), "the environment forwards nothing named %q", alertManagerForwards)
	return here.alertManagers
}

// Fire makes the alerts fire, as Prometheus does: it sends them to every AlertManager. The
// spec fails if one does not take them.
func Fire(ctx context.Context, alerts ...Alert) {
	ginkgo.GinkgoHelper()
	for _, a := range AlertManagers() {
		gomega.Expect(a.fire(ctx, alerts)).To(gomega.Succeed())
	}
}

// Firing returns the resources of the namespace's alerts that AlertManager holds as firing,
// sorted.
func (a *AlertManager) Firing(ctx context.Context, n *Namespace) []string {
	ginkgo.GinkgoHelper()
	resources, err := a.firing(ctx, n.Name)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return resources
}

// firingAlert is what AlertManager's API takes and gives of an alert.
type firingAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt,omitzero"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

const alertsPath = "/api/v2/alerts"

func (a *AlertManager) fire(ctx context.Context, alerts []Alert) error {
	fail := func(err error) error { return fmt.Errorf("send %d alerts to %s: %w", len(alerts), a.name, err) }
	out := make([]firingAlert, len(alerts))
	for i, alert := range alerts {
		out[i] = firingAlert{Labels: alert.labels(), Annotations: alert.Annotations, StartsAt: alert.StartsAt, GeneratorURL: "http://prometheus.example/graph"}
		if alert.StartsAt.IsZero() {
			out[i].StartsAt = time.Now()
		}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return fail(err)
	}
	if _, err := a.do(ctx, http.MethodPost, alertsPath, body); err != nil {
		return fail(err)
	}
	return nil
}

func (a *AlertManager) firing(ctx context.Context, namespace string) ([]string, error) {
	query := url.Values{"filter": {fmt.Sprintf("namespace=%q", namespace)}, "active": {"true"}, "silenced": {"false"}, "inhibited": {"false"}}
	body, err := a.do(ctx, http.MethodGet, alertsPath+"?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("list alerts of %s: %w", a.name, err)
	}
	var alerts []firingAlert
	if err := json.Unmarshal(body, &alerts); err != nil {
		return nil, fmt.Errorf("list alerts of %s: %w", a.name, err)
	}
	var resources []string
	for _, alert := range alerts {
		resources = append(resources, Alert{Namespace: alert.Labels["namespace"], Pod: alert.Labels["pod"]}.ResourceID())
	}
	slices.Sort(resources)
	return resources, nil
}

func (a *AlertManager) do(ctx context.Context, method, path string, payload []byte) ([]byte, error) {
	code, _, body, err := exchange(ctx, a.http, method, a.base+path, bytes.NewReader(payload))
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s %s: answer %d: %s", method, path, code, body)
	}
	return body, err
}

// Notifications are what the environment's AlertManagers have sent to the gateway,
// together, by their own metrics.
type Notifications struct {
	// Requests were sent, and FailedRequests of these did not succeed. A request that
	// fails is repeated unless its answer is a 4xx.
	Requests, FailedRequests float64
	// Dropped are notifications that AlertManager gave up after an answer of 4xx.
	Dropped float64
}

// CountNotifications reads AlertManagers' metrics.
func CountNotifications(ctx context.Context) Notifications {
	ginkgo.GinkgoHelper()
	var sum Notifications
	for _, a := range AlertManagers() {
		body, err := a.do(ctx, http.MethodGet, "/metrics", nil)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		metrics, err := parseMetrics(body)
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		counted := metrics.notifications()
		sum.Requests += counted.Requests
		sum.FailedRequests += counted.FailedRequests
		sum.Dropped += counted.Dropped
	}
	return sum
}

func (m Metrics) notifications() Notifications {
	n := Notifications{
		Requests:       m.Value("alertmanager_notification_requests_total", "integration", "webhook"),
		FailedRequests: m.Value("alertmanager_notification_requests_failed_total", "integration", "webhook"),
	}
	// What AlertManager calls the answers of 4xx: 401 and 403, 429, and all others.
	for _, reason := range []string{"authError", "rateLimited", "clientError"} {
		n.Dropped += m.Value("alertmanager_notifications_failed_total", "integration", "webhook", "reason", reason)
	}
	return n
}

// Since returns what was counted since an earlier count.
func (n Notifications) Since(earlier Notifications) Notifications {
	return Notifications{
		Requests:       n.Requests - earlier.Requests,
		FailedRequests: n.FailedRequests - earlier.FailedRequests,
		Dropped:        n.Dropped - earlier.Dropped,
	}
}
