package main

// interfaceMutants break what scenarios promise of the answers, and of what alerts
// are turned into.
var interfaceMutants = []mutant{
	{
		name:     "created-and-accepted-swapped",
		promise:  "the first alert is answered 201, repeats 202 (1.6)",
		scenario: "04_state_based_deduplication", specs: "counts repeats until",
		edits: []edit{
			{file: "gateway/server/signals.go", text: "code: http.StatusCreated,", replacement: "code: http.StatusAccepted,"},
			{file: "gateway/server/signals.go", text: "code: http.StatusAccepted,", replacement: "code: http.StatusCreated,"},
		},
	},
	{
		// The peer's before its update.
		name:     "opened-storm-answered-202",
		promise:  "the alert that opens a window is answered 201 (1.6)",
		scenario: "01_storm_window_ttl", specs: "takes the alerts that follow",
		edits: []edit{{
			file:        "gateway/server/signals.go",
			text:        "res.Status, res.code = statusCreated, http.StatusCreated",
			replacement: "res.Status, res.code = statusAccepted, http.StatusAccepted",
		}},
	},
	{
		name:     "window-not-told",
		promise:  "the answer names the window that the alert joined (1.6)",
		scenario: "01_storm_window_ttl", specs: "takes the alerts that follow",
		edits: []edit{{
			file:        "gateway/server/signals.go",
			text:        "IsStorm: true, StormType: g.Type, WindowID: g.WindowID}",
			replacement: "IsStorm: true, StormType: g.Type}",
		}},
	},
	{
		name:     "duplicate-without-namespace",
		promise:  "the answer to a repeat names the object with its namespace (1.6)",
		scenario: "04_state_based_deduplication", specs: "counts repeats until",
		edits: []edit{{
			file:        "gateway/server/signals.go",
			text:        "RemediationRequestRef: d.Object.String(),",
			replacement: "RemediationRequestRef: d.Object.Name,",
		}},
	},
	{
		name:     "error-as-plain-json",
		promise:  "errors are problem+json (1.7)",
		scenario: "08_metrics", specs: "is no JSON as one 400",
		edits: []edit{{
			file:        "gateway/server/problem.go",
			text:        `"application/problem+json"`,
			replacement: `"application/json"`,
		}},
	},
	{
		name:     "severity-lost",
		promise:  "the object has the alert's severity (2)",
		scenario: "04b_state_based_deduplication_edge_cases", specs: "Alerts of different names.*one after the other",
		edits: []edit{{
			file:        "gateway/signal/prometheus.go",
			text:        "\t\treturn label\n",
			replacement: "\t\treturn SeverityWarning\n",
		}},
	},
	{
		name:     "environment-unknown",
		promise:  "the namespace's label is the environment (2)",
		scenario: "05_storm_buffering", specs: "wait for the fifth",
		edits: []edit{{
			file:        "gateway/policy/environment.go",
			text:        "if environment := object.Labels[environmentLabel]; environment != \"\" {",
			replacement: "if environment := object.Annotations[environmentLabel]; environment != \"\" {",
		}},
	},
	{
		// The peer's: its policy for E2E is of another package than is asked for.
		name:     "priority-undefined",
		promise:  "the policy decides about the priority (2)",
		scenario: "05_storm_buffering", specs: "wait for the fifth",
		edits: []edit{{
			file:        "gateway/policy/priority.go",
			text:        `"data.kubernaut.gateway.priority.priority"`,
			replacement: `"data.priority.priority"`,
		}},
	},
}
