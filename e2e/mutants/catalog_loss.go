package main

// lossMutants lose or repeat what real senders send, or what is sent during an update:
// scenarios 09 and 10.
var lossMutants = []mutant{
	{
		name:     "senders-body-limit",
		promise:  "a notification may have 4 MiB (1.3)",
		scenario: "09_real_senders", specs: "of 2,000 alerts",
		edits: []edit{{
			file:        "gateway/config/config.go",
			text:        "MaxBodyBytes:    4 << 20,",
			replacement: "MaxBodyBytes:    100 << 10,",
		}},
	},
	{
		name:     "senders-passing-failure-is-final",
		promise:  "what fails for now is answered so that senders repeat it (1.6)",
		scenario: "09_real_senders", specs: "when Redis is paused",
		edits: []edit{{
			file:        "gateway/server/signals.go",
			text:        "\treturn http.StatusServiceUnavailable\n",
			replacement: "\treturn http.StatusBadRequest\n",
		}},
	},
	{
		name:     "senders-events-of-one-version",
		promise:  "events of both versions are read (1.5)",
		scenario: "09_real_senders", specs: "in whichever version",
		edits: []edit{{
			file:        "gateway/signal/event.go",
			text:        "`json:\"regarding\"`",
			replacement: "`json:\"subject\"`",
		}},
	},
	{
		name:     "senders-shutdown-at-once",
		promise:  "requests are still accepted while load balancers learn of the end (8)",
		scenario: "10_rolling_update", specs: "no client notices",
		edits: []edit{{
			file:        "gateway/server/server.go",
			text:        "o.ShutdownPause = 5 * time.Second",
			replacement: "o.ShutdownPause = -1",
		}},
	},
}
