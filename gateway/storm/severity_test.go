package storm_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/redistest"
	"stormgate.internal/gateway/remediation"
	"stormgate.internal/gateway/signal"
	"stormgate.internal/gateway/storm"
)

// What becomes worse while it is buffered is worked on as that, whichever of the alerts
// it is.
func TestBufferedAlertsRaiseTheSeverity(t *testing.T) {
	const info, warning, critical = signal.SeverityInfo, signal.SeverityWarning, signal.SeverityCritical
	type alert struct{ pod, severity string }
	for name, c := range map[string]struct {
		alerts []alert
		// flush says that the buffer is not filled but flushed.
		flush bool
		want  map[string]string // by the pods' number of objects: resource or storm -> severity
	}{
		"the first":                        {[]alert{{"1", critical}, {"2", warning}, {"3", info}}, false, map[string]string{"storm": critical}},
		"one in between":                   {[]alert{{"1", info}, {"2", critical}, {"3", warning}}, false, map[string]string{"storm": critical}},
		"the one that fills it":            {[]alert{{"1", info}, {"2", warning}, {"3", critical}}, false, map[string]string{"storm": critical}},
		"a repeat":                         {[]alert{{"1", warning}, {"1", critical}, {"2", info}}, false, map[string]string{"storm": critical}},
		"a repeat, and then a less severe": {[]alert{{"1", warning}, {"1", critical}, {"1", info}}, false, map[string]string{"storm": critical}},
		"none":                             {[]alert{{"1", info}, {"2", warning}, {"3", info}}, false, map[string]string{"storm": warning}},
		"a repeat of one that is flushed":  {[]alert{{"1", warning}, {"1", critical}}, true, map[string]string{"1": critical}},
		"a less severe repeat of it":       {[]alert{{"1", critical}, {"1", info}}, true, map[string]string{"1": critical}},
		"another one that is flushed":      {[]alert{{"1", warning}, {"2", critical}}, true, map[string]string{"1": warning, "2": critical}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &story{t: t, cluster: newCluster("shop"), clock: newClock()}
			s.replica = newReplica(t, redistest.Start(t), s.cluster, replicaOptions{settings: settings(3, time.Second, 5*time.Second), clock: s.clock})
			process := func(a alert) {
				sig := storm.TestSignal("A", "shop", a.pod)
				sig.Severity = a.severity
				if _, err := s.replica.Process(t.Context(), sig); err != nil {
					t.Fatal(err)
				}
				s.replica.storms.Wait()
			}
			for _, a := range c.alerts {
				process(a)
			}
			if c.flush {
				s.flush(time.Second)
			}
			wantSeverities(t, s, c.want)
		})
	}
}

// A repeat that comes when the time of the buffer is up makes the object at once, as severe
// as the alert was before.
func TestLateRepeatOfABufferedAlert(t *testing.T) {
	s := &story{t: t, cluster: newCluster("shop"), clock: newClock()}
	s.replica = newReplica(t, redistest.Start(t), s.cluster, replicaOptions{settings: settings(3, time.Second, 5*time.Second), clock: s.clock})
	for _, severity := range []string{signal.SeverityCritical, signal.SeverityInfo} {
		sig := storm.TestSignal("A", "shop", "1")
		sig.Severity = severity
		if _, err := s.replica.Process(t.Context(), sig); err != nil {
			t.Fatal(err)
		}
		s.clock.Add(1000)
	}
	wantSeverities(t, s, map[string]string{"1": signal.SeverityCritical})
}

// An incident that has got an object otherwise, while its alert was buffered, is raised to
// what the alert has become meanwhile: its sender was told that it is stored.
func TestBufferedRepeatRaisesAnotherObject(t *testing.T) {
	s := &story{t: t, cluster: newCluster("shop"), clock: newClock()}
	s.replica = newReplica(t, redistest.Start(t), s.cluster, replicaOptions{settings: settings(3, time.Second, 5*time.Second), clock: s.clock})
	sig := storm.TestSignal("A", "shop", "1")
	for _, severity := range []string{signal.SeverityWarning, signal.SeverityCritical} {
		sig.Severity = severity
		if _, err := s.replica.Process(t.Context(), sig); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.cluster.Create(t.Context(), &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "other", Labels: map[string]string{remediation.LabelFingerprint: remediation.FingerprintLabel(sig.Fingerprint)}},
		Spec: v1alpha1.RemediationRequestSpec{
			SignalFingerprint: sig.Fingerprint, SignalName: "A", Severity: signal.SeverityWarning, Priority: "P2", SignalLabels: map[string]string{"pod": "1"},
			Environment: "production", Deduplication: v1alpha1.DeduplicationInfo{OccurrenceCount: 1},
		},
	}); err != nil {
		t.Fatal(err)
	}
	s.flush(time.Second)
	if n := objectsOf(t, s.cluster)[0].Spec.Deduplication.OccurrenceCount; n != 2 {
		t.Errorf("%d occurrences", n)
	}
	if o := objectsOf(t, s.cluster); len(o) != 1 || o[0].Spec.Severity != signal.SeverityCritical || o[0].Labels["kubernaut.io/severity"] != signal.SeverityCritical {
		t.Errorf("%d objects, the first is %s with labels %v", len(o), o[0].Spec.Severity, o[0].Labels)
	}
}

func wantSeverities(t *testing.T, s *story, want map[string]string) {
	t.Helper()
	objects := objectsOf(t, s.cluster)
	if len(objects) != len(want) {
		t.Fatalf("%d objects, want %d", len(objects), len(want))
	}
	for _, o := range objects {
		which := o.Spec.SignalLabels["pod"]
		if o.Spec.IsStorm {
			which = "storm"
		}
		// The policy of tests has P0 for what is critical, and none for the rest.
		priority := "P2"
		if want[which] == signal.SeverityCritical {
			priority = "P0"
		}
		if o.Spec.Severity != want[which] || o.Spec.Priority != priority || o.Labels["kubernaut.io/severity"] != want[which] || o.Labels["kubernaut.io/priority"] != priority {
			t.Errorf("%s is %s and %s with labels %v, want %s and %s", which, o.Spec.Severity, o.Spec.Priority, o.Labels, want[which], priority)
		}
	}
}
