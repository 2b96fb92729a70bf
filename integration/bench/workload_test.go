package main

import (
	"fmt"
	"testing"

	"stormgate.internal/integration/testbed"
)

// The mix that a workload promises is what it sends.
func TestWorkloads(t *testing.T) {
	const n = 10_000
	incidents := map[string]int{
		"unique": n, "duplicates": repeated, "hot": 1, "storm": n, "storm-grouped": n,
		// 70 % new ones, the repeated ones, and every tenth a member of a storm.
		"mixed": n/10*7 + repeated + n/10,
	}
	for _, w := range workloads() {
		t.Run(w.name, func(t *testing.T) {
			var namespaces []string
			for i := range w.namespaces {
				namespaces = append(namespaces, fmt.Sprint("namespace-", i))
			}
			seen := map[testbed.Alert]bool{}
			pods := map[[2]string]map[string]bool{}
			used := map[string]bool{}
			for i := range n {
				alert := w.alert(namespaces, i)
				seen[alert] = true
				used[alert.Namespace] = true
				group := [2]string{alert.Namespace, alert.Name}
				if pods[group] == nil {
					pods[group] = map[string]bool{}
				}
				pods[group][alert.Pod] = true
			}
			if len(seen) != incidents[w.name] {
				t.Errorf("%d incidents, want %d", len(seen), incidents[w.name])
			}
			if len(used) != w.namespaces {
				t.Errorf("%d namespaces are used, want %d", len(used), w.namespaces)
			}
			storms := 0
			for _, group := range pods {
				if len(group) > 10 {
					storms++
				}
			}
			if want := map[string]int{"storm": stormNamespaces * stormNames, "storm-grouped": stormNamespaces * stormNames, "mixed": stormNamespaces * stormNames, "unique": 10, "duplicates": 1}[w.name]; storms != want {
				t.Errorf("%d alerts have more than ten pods, want %d", storms, want)
			}
		})
	}
}
