package integration_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stormgate.internal/integration/system"
	"stormgate.internal/integration/testbed"
	"stormgate.internal/tools/faultproxy"
)

const objects = "remediationrequests.remediation.kubernaut.io"

// creates are the requests that make objects.
func creates() faultproxy.Match {
	return faultproxy.Match{Everywhere: true, Verbs: []string{"create"}, Resource: objects}
}

// What the API server refuses for a reason that passes is tried three times;
// what it refuses for good is not. Whichever it was, the alert is as good as new
// when it comes again.
func TestRefusedCreates(t *testing.T) {
	s := system.New(t, system.Options{Replicas: 1})
	soon := 1
	cases := []struct {
		name  string
		count int // 0: until the rule ends
		fault faultproxy.Fault
		code  int
		hits  int
	}{
		{"429 twice", 2, faultproxy.Fault{Kind: faultproxy.Status, Code: 429}, 201, 2},
		{"429 with Retry-After", 1, faultproxy.Fault{Kind: faultproxy.Status, Code: 429, RetryAfterSeconds: &soon}, 201, 1},
		{"503 twice", 2, faultproxy.Fault{Kind: faultproxy.Status, Code: 503}, 201, 2},
		{"504 twice", 2, faultproxy.Fault{Kind: faultproxy.Status, Code: 504}, 201, 2},
		{"reset twice", 2, faultproxy.Fault{Kind: faultproxy.Reset}, 201, 2},
		{"429 for good", 0, faultproxy.Fault{Kind: faultproxy.Status, Code: 429}, 500, 3},
		{"503 for good", 0, faultproxy.Fault{Kind: faultproxy.Status, Code: 503}, 500, 3},
		{"500", 0, faultproxy.Fault{Kind: faultproxy.Status, Code: 500}, 500, 1},
		{"403", 0, faultproxy.Fault{Kind: faultproxy.Status, Code: 403}, 500, 1},
		{"422", 0, faultproxy.Fault{Kind: faultproxy.Status, Code: 422}, 500, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			alert := testbed.Alert{Name: "Refused", Namespace: s.Namespace, Pod: strings.ReplaceAll(c.name, " ", "-")}
			end := s.Fault(faultproxy.Rule{ID: c.name, Match: creates(), Count: c.count, Fault: c.fault})
			answer := s.Send(0, alert)
			if state := end(); state.Hits != c.hits {
				t.Errorf("%d creates met the fault, want %d", state.Hits, c.hits)
			}
			if answer.Code != c.code {
				t.Errorf("answer is %d %s, want %d", answer.Code, answer.Detail, c.code)
			}
			if c.code == http.StatusInternalServerError {
				if !strings.HasPrefix(answer.Detail, "Kubernetes API error") {
					t.Errorf("detail is %q", answer.Detail)
				}
				if again := s.Send(0, alert); again.Code != http.StatusCreated {
					t.Errorf("sent again, it is answered %d %s", again.Code, again.Detail)
				}
			}
		})
	}
	s.VerifyStored()
}

// A create whose answer is lost has made its object all the same.
func TestLostAnswerOfCreate(t *testing.T) {
	for _, kind := range []faultproxy.Kind{faultproxy.Reset, faultproxy.Close} {
		t.Run(string(kind), func(t *testing.T) {
			s := system.New(t, system.Options{})
			end := s.Fault(faultproxy.Rule{ID: "lost", Match: creates(), Count: 1, Fault: faultproxy.Fault{Kind: kind, Forward: true}})
			alert := testbed.Alert{Name: "Lost", Namespace: s.Namespace, Pod: "pod"}
			s.Deliver(t.Context(), alert)
			if state := end(); state.Hits != 1 {
				t.Errorf("%d answers were lost, want 1", state.Hits)
			}
			s.Send(1, alert)
			s.Verify()
			if n := len(s.Objects()); n != 1 {
				t.Errorf("%d objects, want 1", n)
			}
		})
	}
}

// While the API server is slow, or does not answer for a while, identical
// alerts wait for the one that creates.
func TestSlowAPIServer(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault faultproxy.Fault
	}{
		{"slow", faultproxy.Fault{Kind: faultproxy.Delay, Delay: metav1.Duration{Duration: 1500 * time.Millisecond}}},
		{"silent", faultproxy.Fault{Kind: faultproxy.Hold}},
		{"silent after it has stored", faultproxy.Fault{Kind: faultproxy.Hold, Forward: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := system.New(t, system.Options{})
			end := s.Fault(faultproxy.Rule{ID: c.name, Match: creates(), Fault: c.fault})
			alerts := make([]testbed.Alert, 10)
			for i := range alerts {
				alerts[i] = testbed.Alert{Name: "Slow", Namespace: s.Namespace, Pod: "pod"}
			}
			var codes map[int]int
			var sending sync.WaitGroup
			sending.Go(func() { codes = system.Codes(s.AtOnce(alerts...)) })
			s.Until("a create has met the fault", func() bool {
				state, _ := s.Faults.Get(c.name)
				return state.Hits > 0
			})
			if c.fault.Kind == faultproxy.Hold {
				end()
			}
			sending.Wait()
			if codes[201] != 1 || codes[202] != 9 {
				t.Errorf("answers are %v, want one 201 and nine 202", codes)
			}
			s.Verify()
		})
	}
}

// Without the API server an incident that Redis knows is answered from there,
// and one that it does not know is not accepted.
func TestUnreachableAPIServer(t *testing.T) {
	s := system.New(t, system.Options{})
	known := testbed.Alert{Name: "Known", Namespace: s.Namespace, Pod: "pod"}
	unknown := testbed.Alert{Name: "Unknown", Namespace: s.Namespace, Pod: "pod"}
	if answer := s.Send(0, known); answer.Code != 201 {
		t.Fatalf("answer is %d %s", answer.Code, answer.Detail)
	}
	end := s.Fault(faultproxy.Rule{ID: "away", Match: faultproxy.Match{Everywhere: true}, Fault: faultproxy.Fault{Kind: faultproxy.Reset}})
	for replica := range s.Gateways {
		if answer := s.Send(replica, known); answer.Code != 202 || !answer.Duplicate || answer.Metadata.Count != replica+2 {
			t.Errorf("replica %d answers %d %s, count %d", replica, answer.Code, answer.Detail, answer.Metadata.Count)
		}
		if answer := s.Send(replica, unknown); answer.Code != 500 {
			t.Errorf("replica %d answers an unknown incident %d %s", replica, answer.Code, answer.Detail)
		}
		if err := s.Gateways[replica].Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "Kubernetes") {
			t.Errorf("replica %d is ready: %v", replica, err)
		}
	}
	end()
	for _, alert := range []testbed.Alert{known, unknown} {
		s.Deliver(t.Context(), alert)
	}
	s.VerifyStored()
	if n := len(s.Objects()); n != 2 {
		t.Errorf("%d objects, want 2", n)
	}
}
