package suite

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// What is sent is what Prometheus sends, and what comes back is read as it is.
func TestAlertManagerAPI(t *testing.T) {
	var held []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v2/alerts" {
			t.Errorf("path %s", r.URL.Path)
		}
		if r.Method == http.MethodPost {
			var alerts []map[string]any
			if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil || len(alerts) != 2 || alerts[0]["startsAt"] == nil {
				t.Errorf("alerts %v, error %v", alerts, err)
			}
			held, _ = json.Marshal(alerts)
			return
		}
		if filter := r.URL.Query().Get("filter"); filter != `namespace="tenant-1"` {
			t.Errorf("filter %s", filter)
		}
		_, _ = w.Write(held)
	}))
	defer server.Close()
	manager := &AlertManager{name: "first", base: server.URL, http: server.Client()}
	alerts := Alert{Name: "High", Namespace: "tenant-1", Pod: "p", Severity: "warning"}.OnPods(1, 2)
	if err := manager.fire(t.Context(), alerts); err != nil {
		t.Fatal(err)
	}
	firing, err := manager.firing(t.Context(), "tenant-1")
	if want := []string{"tenant-1:Pod:p-1", "tenant-1:Pod:p-2"}; err != nil || !slices.Equal(firing, want) {
		t.Errorf("firing %v, error %v, want %v", firing, err, want)
	}
}

func TestAlertManagerThatRefuses(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	manager := &AlertManager{name: "first", base: server.URL, http: server.Client()}
	if err := manager.fire(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "first") || !strings.Contains(err.Error(), "503") {
		t.Errorf("error %v", err)
	}
	if _, err := manager.firing(t.Context(), "tenant-1"); err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("error %v", err)
	}
}

// Of what AlertManager counts, only the gateway's receiver is meant, and only a 4xx is
// what it does not repeat.
func TestNotifications(t *testing.T) {
	metrics, err := parseMetrics([]byte(`
alertmanager_notification_requests_total{integration="webhook"} 7
alertmanager_notification_requests_total{integration="slack"} 100
alertmanager_notification_requests_failed_total{integration="webhook"} 3
alertmanager_notifications_failed_total{integration="webhook",reason="clientError"} 1
alertmanager_notifications_failed_total{integration="webhook",reason="authError"} 2
alertmanager_notifications_failed_total{integration="webhook",reason="rateLimited"} 4
alertmanager_notifications_failed_total{integration="webhook",reason="serverError"} 2
alertmanager_notifications_failed_total{integration="slack",reason="clientError"} 100
`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := metrics.notifications(), (Notifications{Requests: 7, FailedRequests: 3, Dropped: 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := metrics.notifications().Since(Notifications{Requests: 5, FailedRequests: 3, Dropped: 7}), (Notifications{Requests: 2}); got != want {
		t.Errorf("since then %+v, want %+v", got, want)
	}
}
