package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/integration/testbed"
	"stormgate.internal/tools/faultproxy"
)

const (
	alertRoute = testbed.Route
	eventRoute = "/api/v1/signals/kubernetes-event"
	// alertmanager has no limit, intruder has one.
	alertmanager = "10.0.3.17"
	intruder     = "198.51.100.23"
	objects      = "remediationrequests.remediation.kubernaut.io"
)

// stream is traffic of one kind.
type stream struct {
	name string
	// every is the time between two requests of which the former is answered.
	every time.Duration
	// from and to bound the stream, as shares of the whole time. Default all of it.
	from, to float64
	// want is the status that at least one request has to be answered with; 0: none.
	want int
	// send does the i-th request.
	send func(ctx context.Context, i int) (int, error)
}

// fault is what goes wrong at a time, as a share of the whole time, for some time.
type fault struct {
	name       string
	at         float64
	lasts      time.Duration
	begin, end func() error
}

// sender sends requests to both gateways in turn.
type sender struct {
	*bed
	http *http.Client
	next atomic.Int64
}

// traffic sends everything for the duration. It is an error if some kind of it did not
// do what it is there for.
func (b *bed) traffic(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.duration)
	defer cancel()
	client := testbed.NewClient(256)
	defer client.Close()
	s := &sender{bed: b, http: client.HTTP}
	var running sync.WaitGroup
	var mu sync.Mutex
	var problems []error
	start := time.Now()
	report := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			problems = append(problems, err)
		}
	}
	for _, st := range s.streams() {
		running.Go(func() { report(b.stream(ctx, start, st)) })
	}
	running.Go(func() {
		for _, f := range b.faultsInTurn() {
			report(b.fault(ctx, start, f))
		}
	})
	running.Wait()
	return errors.Join(problems...)
}

// until waits for a share of the duration to have passed. It reports whether the context
// still lasts.
func (b *bed) until(ctx context.Context, start time.Time, share float64) bool {
	return pause(ctx, time.Until(start.Add(time.Duration(share*float64(b.duration)))))
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (b *bed) stream(ctx context.Context, start time.Time, st stream) error {
	if st.to == 0 {
		st.to = 1
	}
	end := start.Add(time.Duration(st.to * float64(b.duration)))
	codes := map[int]int{}
	var failure error
	for i, ok := 0, b.until(ctx, start, st.from); ok && time.Now().Before(end); i++ {
		code, err := st.send(ctx, i)
		if err != nil && ctx.Err() == nil {
			failure = err
		}
		codes[code]++
		ok = pause(ctx, st.every)
	}
	delete(codes, 0)
	say("  %s: %v", st.name, codes)
	if st.want != 0 && codes[st.want] == 0 {
		return fmt.Errorf("traffic %q: nothing was answered with %d, but %v; the last failure: %v", st.name, st.want, codes, failure)
	}
	return nil
}

func (b *bed) fault(ctx context.Context, start time.Time, f fault) error {
	if !b.until(ctx, start, f.at) {
		return nil
	}
	say("  fault: %s for %s", f.name, f.lasts)
	if err := f.begin(); err != nil {
		return fmt.Errorf("fault %q: %w", f.name, err)
	}
	pause(ctx, f.lasts)
	if err := f.end(); err != nil {
		return fmt.Errorf("end fault %q: %w", f.name, err)
	}
	return nil
}

// faultsInTurn are those of Redis and of the API server.
func (b *bed) faultsInTurn() []fault {
	rule := func(name string, at float64, lasts time.Duration, kind faultproxy.Fault) fault {
		return fault{name, at, lasts, func() error {
			return b.faults.Put(faultproxy.Rule{
				ID: strings.ReplaceAll(name, " ", "-"), Match: faultproxy.Match{Everywhere: true, Verbs: []string{"create"}, Resource: objects}, Fault: kind,
			})
		}, func() error {
			b.faults.Delete(strings.ReplaceAll(name, " ", "-"))
			return nil
		}}
	}
	return []fault{
		{"Redis paused", 0.4, 8 * time.Second, func() error { return b.redis.Signal(syscall.SIGSTOP) }, func() error { return b.redis.Signal(syscall.SIGCONT) }},
		rule("API server overloaded", 0.62, 6*time.Second, faultproxy.Fault{Kind: faultproxy.Status, Code: http.StatusServiceUnavailable}),
		rule("API server slow", 0.75, 5*time.Second, faultproxy.Fault{Kind: faultproxy.Delay, Delay: metav1.Duration{Duration: time.Second}}),
		rule("API server forbids", 0.85, 4*time.Second, faultproxy.Fault{Kind: faultproxy.Status, Code: http.StatusForbidden}),
	}
}

// alert is one of AlertManager's.
type alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"startsAt"`
}

func firing(name, severity, namespace, pod string) alert {
	return alert{Status: "firing", StartsAt: time.Now().UTC(), Labels: map[string]string{
		"alertname": name, "severity": severity, "namespace": namespace, "pod": pod, "prometheus": "monitoring/k8s",
	}}
}

// with sets a label.
func (a alert) with(label, value string) alert {
	a.Labels[label] = value
	return a
}

// notification is AlertManager's body.
func notification(truncated int, alerts ...alert) []byte {
	body, err := json.Marshal(map[string]any{"version": "4", "status": "firing", "receiver": "stormgate", "truncatedAlerts": truncated, "alerts": alerts})
	if err != nil {
		panic(err) // maps of strings have a JSON form
	}
	return body
}

// event is a Kubernetes event of some time ago.
func event(namespace, pod string, age time.Duration) []byte {
	at := time.Now().Add(-age).UTC().Format(time.RFC3339)
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Event","type":"Warning","reason":"BackOff","message":"Back-off restarting failed container",`+
		`"involvedObject":{"kind":"Pod","namespace":%q,"name":%q},"firstTimestamp":%q,"lastTimestamp":%q,"count":3,"source":{"component":"kubelet"}}`, namespace, pod, at, at)
}

// names are those of alerts that every cluster has.
var names = []string{
	"KubePodCrashLooping", "KubePodNotReady", "KubeContainerWaiting", "CPUThrottlingHigh", "HTTPErrorsHigh", "LatencyHigh", "QueueGrows", "CacheMissesHigh",
	"DiskFillsUp", "CertificateExpires", "BackupMissing", "ReplicationLags", "CheckoutFails", "PaymentsRefused", "SearchSlow", "MailQueueGrows",
}

// streams is all traffic but for faults.
func (s *sender) streams() []stream {
	severities := []string{"critical", "warning", "info"}
	spaces := []string{s.production, s.staging, s.fallback}
	// unique alerts are few of a name in a namespace, or they would be a storm.
	unique := func(i int) alert {
		return firing(names[i%len(names)], severities[i%len(severities)], spaces[i/len(names)%len(spaces)], fmt.Sprintf("app-%d", i/len(names)/len(spaces)))
	}
	alerts := func(make func(i int) []alert) func(context.Context, int) (int, error) {
		return func(ctx context.Context, i int) (int, error) {
			return s.post(ctx, alertRoute, alertmanager, notification(0, make(i)...))
		}
	}
	one := func(make func(i int) alert) func(context.Context, int) (int, error) {
		return alerts(func(i int) []alert { return []alert{make(i)} })
	}
	group := func(i, n int) []alert {
		var all []alert
		for k := range n {
			all = append(all, unique(i*n+k))
		}
		return all
	}
	large := strings.Repeat("x", 2<<20)
	return []stream{
		{name: "new alerts", every: 600 * time.Millisecond, want: 201, send: one(unique)},
		{name: "repeats", every: 120 * time.Millisecond, want: 202, send: one(func(i int) alert { return unique(i % 40) })},
		{name: "groups", every: 2 * time.Second, want: 202, send: alerts(func(i int) []alert { return group(i%4, 10) })},
		{name: "storm", every: 60 * time.Millisecond, from: 0.18, to: 0.34, want: 202, send: one(func(i int) alert {
			return firing("NodeNetworkLost", "critical", s.production, fmt.Sprintf("web-%d", i))
		})},
		{name: "storm of a pattern", every: 500 * time.Millisecond, from: 0.2, to: 0.6, want: 202, send: one(func(i int) alert {
			return firing(fmt.Sprint("KubePersistentVolumeErrors", i/9), "warning", s.staging, fmt.Sprintf("db-%d", i%9))
		})},
		// Of each name the sixth and those after it are buffered, for which there is no room.
		{name: "storms in little room", every: 1500 * time.Millisecond, from: 0.05, send: func(ctx context.Context, i int) (int, error) {
			var running sync.WaitGroup
			for k := range 12 {
				running.Go(func() {
					_, _ = s.post(ctx, alertRoute, alertmanager, notification(0, firing(fmt.Sprint("TillOffline", i), "warning", s.crowded, fmt.Sprintf("till-%d", k))))
				})
			}
			running.Wait()
			return 0, nil
		}},
		{name: "events", every: time.Second, want: 201, send: func(ctx context.Context, i int) (int, error) {
			return s.post(ctx, eventRoute, alertmanager, event(spaces[i%2], fmt.Sprintf("worker-%d", i/4), 0))
		}},
		{name: "old events", every: 2 * time.Second, want: 200, send: func(ctx context.Context, i int) (int, error) {
			return s.post(ctx, eventRoute, alertmanager, event(s.staging, fmt.Sprintf("worker-%d", i), time.Hour))
		}},
		{name: "heartbeats", every: 3 * time.Second, want: 200, send: one(func(int) alert { return firing("Watchdog", "none", "monitoring", "") })},
		{name: "alerts about nothing", every: 2 * time.Second, want: 200, send: one(func(int) alert { return firing("InfoInhibitor", "none", s.production, "web") })},
		{name: "resolved alerts", every: 1500 * time.Millisecond, want: 200, send: one(func(i int) alert {
			a := unique(i % 40)
			a.Status = "resolved"
			return a
		})},
		{name: "alerts without a name", every: 1500 * time.Millisecond, want: 202, send: alerts(func(i int) []alert {
			return []alert{unique(i % 8), {Status: "firing", Labels: map[string]string{"severity": "warning"}, StartsAt: time.Now()}}
		})},
		{name: "bodies that are none", every: 2 * time.Second, want: 400, send: func(ctx context.Context, _ int) (int, error) {
			return s.post(ctx, alertRoute, alertmanager, []byte(`{"alerts":`))
		}},
		{name: "bodies that are too large", every: 6 * time.Second, want: 413, send: func(ctx context.Context, _ int) (int, error) {
			return s.post(ctx, alertRoute, alertmanager, []byte(`{"alerts":["`+large+large+large+`"]}`))
		}},
		{name: "large alerts", every: 8 * time.Second, want: 201, send: one(func(i int) alert {
			a := firing("LogFloods", "warning", s.production, fmt.Sprintf("log-%d", i%5))
			a.Labels["round"] = fmt.Sprint(i / 5)
			a.Annotations = map[string]string{"description": large}
			return a
		})},
		{name: "truncated notifications", every: 3 * time.Second, send: func(ctx context.Context, i int) (int, error) {
			return s.post(ctx, alertRoute, alertmanager, notification(12, unique(i%16)))
		}},
		{name: "severities that rise", every: 2 * time.Second, want: 202, send: one(func(i int) alert {
			return firing(fmt.Sprint("DiskFills", i/2%8), severities[1-i%2], s.staging, fmt.Sprintf("store-%d", i/16))
		})},
		{name: "undecided policy", every: 3 * time.Second, want: 201, send: one(func(i int) alert {
			return firing(fmt.Sprint("Undecided", i/4), "warning", s.staging, fmt.Sprintf("app-%d", i%4)).with("team", "undecided")
		})},
		{name: "loud policy", every: 3 * time.Second, want: 201, send: one(func(i int) alert {
			return firing(fmt.Sprint("Loud", i/4), "info", s.staging, fmt.Sprintf("app-%d", i%4)).with("team", "loud")
		})},
		{name: "finished incidents", every: time.Second, want: 202, send: s.repeatFinished},
		{name: "a sender without measure", every: 200 * time.Millisecond, from: 0.5, to: 0.7, want: 503, send: func(ctx context.Context, i int) (int, error) {
			var running sync.WaitGroup
			var refused atomic.Bool
			for range 30 {
				running.Go(func() {
					if code, _ := s.post(ctx, alertRoute, intruder, notification(0, unique(i%16))); code == http.StatusServiceUnavailable {
						refused.Store(true)
					}
				})
			}
			running.Wait()
			if refused.Load() {
				return http.StatusServiceUnavailable, nil
			}
			return 0, errors.New("30 requests at once were all accepted")
		}},
		// Many at once, so that some find no connection to Redis.
		{name: "crowd", every: 700 * time.Millisecond, from: 0.38, to: 0.48, send: func(ctx context.Context, i int) (int, error) {
			var running sync.WaitGroup
			for k := range 40 {
				running.Go(func() { _, _ = s.post(ctx, alertRoute, alertmanager, notification(0, unique((i*40+k)%96))) })
			}
			running.Wait()
			return 0, nil
		}},
		{name: "senders that don't wait", every: time.Second, from: 0.75, to: 0.82, send: func(ctx context.Context, i int) (int, error) {
			ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			_, _ = s.post(ctx, alertRoute, alertmanager, notification(0, firing("Impatient", "warning", s.staging, fmt.Sprint("app-", i))))
			return 0, nil
		}},
	}
}

// repeatFinished has an incident end, then repeats it.
func (s *sender) repeatFinished(ctx context.Context, i int) (int, error) {
	body := notification(0, firing("DeployFinished", "warning", s.staging, "app"))
	code, err := s.post(ctx, alertRoute, alertmanager, body)
	if i > 0 || err != nil {
		return code, err
	}
	all, err := s.api.Objects(ctx, s.staging)
	if err != nil {
		return code, err
	}
	at := slices.IndexFunc(all, func(o v1alpha1.RemediationRequest) bool { return o.Spec.SignalName == "DeployFinished" })
	if at < 0 {
		return code, errors.New("the incident to finish has no object")
	}
	now := metav1.Now()
	all[at].Status.OverallPhase, all[at].Status.CompletedAt = "Completed", &now
	if err := s.api.Status().Update(ctx, &all[at]); err != nil {
		return code, fmt.Errorf("finish an incident: %w", err)
	}
	return code, nil
}

// post sends a body as a sender and returns the status of the answer.
func (s *sender) post(ctx context.Context, route, from string, body []byte) (int, error) {
	gateway := s.gateways[int(s.next.Add(1))%len(s.gateways)]
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, gateway.URL()+route, strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", from)
	response, err := s.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("read answer: %w", err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return response.StatusCode, fmt.Errorf("%s: %.300s", response.Status, answer)
	}
	return response.StatusCode, nil
}
