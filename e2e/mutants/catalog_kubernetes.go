package main

// kubernetesMutants break what scenario 03 promises about an API that refuses.
var kubernetesMutants = []mutant{
	{
		name:     "retry-none",
		promise:  "a refused create is tried again (8)",
		scenario: "03_k8s_api_rate_limit", specs: "when the third attempt does",
		edits: []edit{{
			file:        "gateway/remediation/retry.go",
			text:        "if n >= r.MaxAttempts {",
			replacement: "if n >= min(1, r.MaxAttempts) {",
		}},
	},
	{
		name:     "retry-for-long",
		promise:  "the sender is told after three attempts (8)",
		scenario: "03_k8s_api_rate_limit", specs: "told after three attempts",
		edits: []edit{{
			file:        "gateway/remediation/retry.go",
			text:        "if n >= r.MaxAttempts {",
			replacement: "if n >= 2*r.MaxAttempts {",
		}},
	},
	{
		name:     "retry-without-waiting",
		promise:  "there are waits between the attempts (8)",
		scenario: "03_k8s_api_rate_limit", specs: "told after three attempts",
		edits: []edit{{
			file:        "gateway/remediation/retry.go",
			text:        "return min(wait, r.MaxBackoff)",
			replacement: "return 0 * min(wait, r.MaxBackoff)",
		}},
	},
	{
		name:     "retry-of-forbidden",
		promise:  "the sender is told at once if the reason will not go away (8)",
		scenario: "03_k8s_api_rate_limit", specs: "told at once",
		edits: []edit{{
			file:        "gateway/remediation/errors.go",
			text:        "return status == http.StatusTooManyRequests ||",
			replacement: "return status == http.StatusForbidden || status == http.StatusTooManyRequests ||",
		}},
	},
	{
		name:     "retry-metrics-of-another-error",
		promise:  "retries are counted by error_type and status_code (7)",
		scenario: "03_k8s_api_rate_limit", specs: "when the third attempt does",
		edits: []edit{{
			file:        "gateway/remediation/errors.go",
			text:        `http.StatusTooManyRequests:     "rate_limited",`,
			replacement: `http.StatusTooManyRequests:     "service_unavailable",`,
		}},
	},
	{
		name:     "retry-success-of-another-attempt",
		promise:  "the attempt that succeeded is counted (7)",
		scenario: "03_k8s_api_rate_limit", specs: "when the third attempt does",
		edits: []edit{{
			file:        "gateway/remediation/retry.go",
			text:        "r.Metrics.RetrySucceeded(n)",
			replacement: "r.Metrics.RetrySucceeded(n - 1)",
		}},
	},
	{
		name:     "retry-exhaustion-not-counted",
		promise:  "what is given up is counted (7)",
		scenario: "03_k8s_api_rate_limit", specs: "told after three attempts",
		edits: []edit{{
			file:        "gateway/remediation/retry.go",
			text:        "\t\t\tr.Metrics.RetryExhausted(class, code)\n",
			replacement: "",
		}},
	},
	{
		name:     "refusal-is-redis-fault",
		promise:  "a failure of the Kubernetes API is a 500 (1.6)",
		scenario: "03_k8s_api_rate_limit", specs: "told at once",
		edits: []edit{{
			file:        "gateway/server/signals.go",
			text:        "return http.StatusInternalServerError",
			replacement: "return http.StatusServiceUnavailable",
		}},
	},
	{
		name:     "members-lost-with-the-refusal",
		promise:  "what was accepted before the refusal is stored later (D18)",
		scenario: "03_k8s_api_rate_limit", specs: "what was accepted before is stored later",
		edits: []edit{{
			file: "gateway/storm/window.go",
			text: "\tcreated, err := s.creator.Create(ctx, s.windowDraft(ctx, window, known.pending, first, filler, severest))\n\tif err != nil {\n",
			replacement: `	created, err := s.creator.Create(ctx, s.windowDraft(ctx, window, known.pending, first, filler, severest))
	if err != nil {
		for _, m := range known.pending {
			_ = s.batches.settle(ctx, window.ref, "", m.fingerprint)
		}
`,
		}},
	},
}
