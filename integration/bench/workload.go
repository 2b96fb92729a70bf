package main

import (
	"fmt"

	"stormgate.internal/gateway/config"
	"stormgate.internal/integration/testbed"
)

// workload is a stream of alerts.
type workload struct {
	name string
	// about says what is sent.
	about string
	// storm is the gateway's setting.
	storm func() config.Storm
	// namespaces is the number of those that it sends to.
	namespaces int
	// group is the number of alerts in a notification. Default 1.
	group int
	// alert returns the i-th alert, from 0.
	alert func(namespaces []string, i int) testbed.Alert
	// prepare is the number of alerts, the first ones, that are sent before the
	// measurement.
	prepare int
	// floor is the bare request that an alert is compared with.
	floor string
}

// repeated is the number of incidents that duplicates repeat.
const repeated = 50

// Storms come from so many namespaces and alert names in each, in turns.
const (
	stormNamespaces = 2
	stormNames      = 2
	stormGroup      = 20
)

func workloads() []workload {
	return []workload{
		{
			name: "unique", about: "each alert is new", storm: never, namespaces: 1, floor: floorCreate,
			alert: func(namespaces []string, i int) testbed.Alert {
				return testbed.Alert{Name: fmt.Sprint("Unique", i%10), Namespace: namespaces[0], Pod: fmt.Sprint("pod-", i)}
			},
		},
		{
			name: "duplicates", about: fmt.Sprintf("%d alerts again and again", repeated), storm: never, namespaces: 1, floor: floorUpdate, prepare: repeated,
			alert: func(namespaces []string, i int) testbed.Alert {
				return testbed.Alert{Name: "Repeated", Namespace: namespaces[0], Pod: fmt.Sprint("pod-", i%repeated)}
			},
		},
		{
			name: "hot", about: "one alert again and again", storm: never, namespaces: 1, floor: floorUpdateOne, prepare: 1,
			alert: func(namespaces []string, _ int) testbed.Alert {
				return testbed.Alert{Name: "Hot", Namespace: namespaces[0], Pod: "pod"}
			},
		},
		{
			name: "storm", about: fmt.Sprintf("a new pod each time, %d alerts in %d namespaces", stormNames, stormNamespaces),
			storm: atOnce, namespaces: stormNamespaces, floor: floorCreate, alert: stormAlert,
		},
		{
			name: "storm-grouped", about: fmt.Sprintf("the same, %d alerts in a notification, as AlertManager groups them", stormGroup),
			storm: atOnce, namespaces: stormNamespaces, floor: floorCreate, group: stormGroup,
			alert: func(namespaces []string, i int) testbed.Alert {
				alert := stormAlert(namespaces, i/stormGroup)
				alert.Pod = fmt.Sprint("pod-", i)
				return alert
			},
		},
		{
			name: "mixed", about: "70 % new, 20 % duplicates, 10 % storm", storm: fromTenth, namespaces: stormNamespaces, floor: floorCreate,
			alert: func(namespaces []string, i int) testbed.Alert {
				switch part, n := i%10, i/10; {
				case part < 7:
					// A name of its own, else it would be a storm.
					return testbed.Alert{Name: fmt.Sprint("Unique", i), Namespace: namespaces[i%len(namespaces)], Pod: "pod"}
				case part < 9:
					return testbed.Alert{Name: fmt.Sprint("Repeated", n%repeated), Namespace: namespaces[0], Pod: "pod"}
				default:
					return stormAlert(namespaces, n)
				}
			},
		},
	}
}

func stormAlert(namespaces []string, i int) testbed.Alert {
	return testbed.Alert{
		Name:      fmt.Sprint("Storm", i/len(namespaces)%stormNames),
		Namespace: namespaces[i%len(namespaces)],
		Pod:       fmt.Sprint("pod-", i),
	}
}

func workloadNames() []string {
	var names []string
	for _, w := range workloads() {
		names = append(names, w.name)
	}
	return names
}
