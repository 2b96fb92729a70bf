package integration_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"stormgate.internal/integration/system"
	"stormgate.internal/integration/testbed"
)

// The alerts of a storm that arrive at the same time at two replicas make one
// window, which one of them opens, and one object with every member, each of
// them once, as soon as all are answered.
func TestSimultaneousStormMakesOneObject(t *testing.T) {
	const pods, buffer = 15, 5
	s := system.New(t, system.Options{Storm: system.AtOnce(buffer)})
	n := rounds(100, 20)
	codes := map[int]int{}
	members := make(map[string][]string) // by alert name
	for round := range n {
		var alerts []testbed.Alert
		for pod := range pods {
			alert := testbed.Alert{Name: fmt.Sprint("Storm", round), Namespace: s.Namespace, Pod: fmt.Sprint("pod-", pod)}
			alerts = append(alerts, alert)
			members[alert.Name] = append(members[alert.Name], alert.ResourceID())
		}
		windows := map[string]bool{}
		for i, answer := range s.AtOnce(alerts...) {
			codes[answer.Code]++
			if !answer.IsStorm || answer.Duplicate {
				t.Errorf("round %d: answer to pod %d is %+v", round, i, answer)
			}
			if answer.WindowID != "" {
				windows[answer.WindowID] = true
			}
		}
		if len(windows) != 1 {
			t.Errorf("round %d has windows %v, want one", round, windows)
		}
	}
	if want := map[int]int{201: n, 202: n * (pods - 1)}; !maps.Equal(codes, want) {
		t.Errorf("answers are %v, want %v", codes, want)
	}
	// At once: that a flush would add what is missing is no excuse.
	objects := s.Objects()
	if err := s.Ledger.Check(objects).Err(); err != nil {
		t.Errorf("objects are not what was answered: %v", err)
	}
	if len(objects) != n {
		t.Errorf("%d objects, want %d", len(objects), n)
	}
	for _, object := range objects {
		want := slices.Sorted(slices.Values(members[object.Spec.SignalName]))
		if got := slices.Sorted(slices.Values(object.Spec.AffectedResources)); !slices.Equal(got, want) {
			t.Errorf("%s of %s affects %v, want %v", object.Name, object.Spec.SignalName, got, want)
		}
		if object.Spec.StormAlertCount != pods || !object.Spec.IsStorm || object.Labels["kubernaut.io/storm"] != "true" {
			t.Errorf("%s: stormAlertCount %d, isStorm %t, labels %v", object.Name, object.Spec.StormAlertCount, object.Spec.IsStorm, object.Labels)
		}
	}
}

// Two namespaces with storms of one name share nothing.
func TestSimultaneousStormsOfTwoNamespaces(t *testing.T) {
	const pods, buffer = 15, 5
	s := system.New(t, system.Options{Storm: system.AtOnce(buffer)})
	other := s.NewNamespace()
	var alerts []testbed.Alert
	for pod := range pods {
		for _, namespace := range []string{s.Namespace, other} {
			alerts = append(alerts, testbed.Alert{Name: "Storm", Namespace: namespace, Pod: fmt.Sprint("pod-", pod)})
		}
	}
	if codes := system.Codes(s.AtOnce(alerts...)); codes[201] != 2 || codes[202] != 2*(pods-1) {
		t.Errorf("answers are %v, want one 201 for each namespace and else 202", codes)
	}
	s.Verify(s.Namespace, other)
	for _, namespace := range []string{s.Namespace, other} {
		if objects := s.Objects(namespace); len(objects) != 1 || len(objects[0].Spec.AffectedResources) != pods {
			t.Errorf("namespace %s has %d objects, want one with %d resources", namespace, len(objects), pods)
		}
	}
}

// What a buffer holds when its replica dies becomes objects all the same: the
// other replica flushes it.
func TestBufferedAlertsSurviveTheirReplica(t *testing.T) {
	s := system.New(t, system.Options{Storm: system.AtOnce(5)})
	for pod := range 3 {
		alert := testbed.Alert{Name: "Buffered", Namespace: s.Namespace, Pod: fmt.Sprint("pod-", pod)}
		if answer := s.Send(0, alert); answer.Code != 202 || answer.WindowID != "" {
			t.Errorf("answer is %+v, want that the alert is buffered", answer)
		}
	}
	if n := len(s.Objects()); n != 0 {
		t.Errorf("%d objects are made of what is buffered", n)
	}
	s.Gateways[0].Kill()
	s.Verify()
	objects := s.Objects()
	if len(objects) != 3 {
		t.Errorf("%d objects, want 3", len(objects))
	}
	for _, object := range objects {
		if object.Spec.IsStorm || object.Labels["kubernaut.io/buffered"] != "true" {
			t.Errorf("%s: isStorm %t, labels %v", object.Name, object.Spec.IsStorm, object.Labels)
		}
	}
}
