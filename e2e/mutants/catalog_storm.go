package main

// stormMutants break what scenarios 01, 03, 05, 06 and 07 promise about storms.
var stormMutants = []mutant{
	{
		name:     "storm-member-not-stored",
		promise:  "an alert added to the window is in the object before the answer (D18)",
		scenario: "01_storm_window_ttl", specs: "takes the alerts that follow",
		edits: []edit{{
			file:        "gateway/storm/window.go",
			text:        "\t\to.Spec.AddMember(m.fingerprint, m.resource)\n",
			replacement: "",
		}},
	},
	{
		name:     "storm-count-not-updated",
		promise:  "stormAlertCount is the number of members (5.3, D18)",
		scenario: "01_storm_window_ttl", specs: "takes the alerts that follow",
		edits: []edit{{
			file:        "gateway/storm/window.go",
			text:        "\t\to.Spec.StormAlertCount = len(o.Spec.AffectedResources)\n",
			replacement: "",
		}},
	},
	{
		name:     "storm-members-not-registered",
		promise:  "any member that fires again is one more occurrence (D21)",
		scenario: "01_storm_window_ttl", specs: "is one more occurrence of the storm",
		edits: []edit{{
			file:        "gateway/dedup/register.go",
			text:        "range object.Fingerprints() {",
			replacement: "range object.Fingerprints()[:1] {",
		}},
	},
	{
		name:     "storm-finished-takes-repeats",
		promise:  "after the storm's remediation another storm begins (3.2, D21)",
		scenario: "01_storm_window_ttl", specs: "begins another storm",
		edits: []edit{{
			file:        "gateway/dedup/check.go",
			text:        "if !object.InProgress() || !object.StandsFor(sig.Fingerprint) {",
			replacement: "if !object.InProgress() && !object.Spec.IsStorm || !object.StandsFor(sig.Fingerprint) {",
		}},
	},
	{
		name:     "storm-finished-keeps-its-members",
		promise:  "a member that fires again once the storm's remediation is over is not taken for stored, though the window is open (3.2, D18)",
		scenario: "01_storm_window_ttl", specs: "begins another storm",
		edits: []edit{{
			file:        "gateway/storm/scripts/admit.lua",
			text:        "if by then return answer(by == token and 'added' or 'again') end",
			replacement: "if by then return answer('added') end",
		}},
	},
	{
		name:     "storm-window-outlives-silence",
		promise:  "silence ends a window, the next alert is of another storm (5.3)",
		scenario: "05_storm_buffering", specs: "with a long pause between them",
		edits: []edit{{
			file:        "gateway/storm/scripts/batch.lua",
			text:        "return math.min(batch.last + inactivity, batch.opened + longest + 1)",
			replacement: "return batch.opened + longest + 1",
		}},
	},
	{
		name:     "storm-late-alert-in-old-window",
		promise:  "a late alert gets an object of its own, the old one stays as it is (9: 06)",
		scenario: "06_storm_window_ttl", specs: "takes no more alerts",
		edits: []edit{{
			file:        "gateway/storm/scripts/batch.lua",
			text:        "return math.min(batch.last + inactivity, batch.opened + longest + 1)",
			replacement: "return math.min(batch.last + 2 * inactivity, batch.opened + longest + 1)",
		}},
	},
	{
		name:     "storm-window-does-not-slide",
		promise:  "each alert prolongs the window (5.2, 9: 05-2)",
		scenario: "05_storm_buffering", specs: "with short pauses",
		edits: []edit{{
			file:        "gateway/storm/scripts/batch.lua",
			text:        "return math.min(batch.last + inactivity, batch.opened + longest + 1)",
			replacement: "return batch.opened + inactivity",
		}},
	},
	{
		name:     "storm-buffer-does-not-slide",
		promise:  "each alert prolongs the wait for others (D18)",
		scenario: "05_storm_buffering", specs: "with short pauses",
		edits: []edit{{
			file:        "gateway/storm/scripts/batch.lua",
			text:        "return math.min(batch.last + inactivity, batch.first + longest)",
			replacement: "return batch.first + inactivity",
		}},
	},
	{
		name:     "storm-longest-window-ignored",
		promise:  "a window ends at its greatest length (D20)",
		scenario: "06_storm_window_ttl", specs: "ends at its greatest length",
		edits: []edit{{
			file:        "gateway/storm/scripts/batch.lua",
			text:        "return math.min(batch.last + inactivity, batch.opened + longest + 1)",
			replacement: "return batch.last + inactivity",
		}},
	},
	{
		name:     "storm-window-ends-early",
		promise:  "a window to which alerts keep coming lasts to its greatest length (D20)",
		scenario: "06_storm_window_ttl", specs: "ends at its greatest length",
		edits: []edit{{
			file:        "gateway/storm/scripts/batch.lua",
			text:        "return math.min(batch.last + inactivity, batch.opened + longest + 1)",
			replacement: "return math.min(batch.last + inactivity, batch.opened + longest * 3 / 4)",
		}},
	},
	{
		name:     "storm-window-of-ten",
		promise:  "fifty alerts of one name are one storm (9: 03)",
		scenario: "03_k8s_api_rate_limit", specs: "Fifty alerts of one name",
		edits: []edit{{
			file:        "gateway/storm/scripts/admit.lua",
			text:        "batch.state == 'open' and batch.members >= limit)",
			replacement: "batch.state == 'open' and batch.members >= 10)",
		}},
	},
	{
		name:     "storm-threshold-one-more",
		promise:  "the alert that reaches the threshold opens the window (5.3)",
		scenario: "05_storm_buffering", specs: "wait for the fifth",
		edits: []edit{{
			file:        "gateway/storm/scripts/admit.lua",
			text:        "if overflow or batch.pushes + 1 >= threshold then",
			replacement: "if overflow or batch.pushes >= threshold then",
		}},
	},
	{
		name:     "storm-threshold-one-less",
		promise:  "fewer alerts than the threshold wait (5.3)",
		scenario: "05_storm_buffering", specs: "wait for the fifth",
		edits: []edit{{
			file:        "gateway/storm/scripts/admit.lua",
			text:        "if overflow or batch.pushes + 1 >= threshold then",
			replacement: "if overflow or batch.pushes + 2 >= threshold then",
		}},
	},
	{
		name:     "storm-repeats-not-counted",
		promise:  "repeats count towards the threshold (D22)",
		scenario: "05_storm_buffering", specs: "count as often as they come",
		edits: []edit{{
			file:        "gateway/storm/scripts/admit.lua",
			text:        "  if batch.pushes >= threshold then return open(",
			replacement: "  if false then return open(",
		}},
	},
	{
		name:     "storm-repeats-are-members",
		promise:  "a member that fires twice is one member (D22)",
		scenario: "05_storm_buffering", specs: "count as often as they come",
		edits: []edit{{
			file: "gateway/storm/scripts/admit.lua",
			text: "  weigh(worse)\n  push(0)\n",
			replacement: `  fingerprint = fingerprint .. '+' .. token
  keep(fingerprint, batch.id, token, '', resource)
  redis.call('HSET', payloads, fingerprint, data)
  redis.call('ZADD', pending(batch.id), now, fingerprint)
  push(1)
`,
		}},
	},
	{
		name:     "storm-of-its-last-member",
		promise:  "the storm's object describes it by its first alert (D21)",
		scenario: "05_storm_buffering", specs: "wait for the fifth",
		edits: []edit{{
			file:        "gateway/storm/window.go",
			text:        "sig := *first",
			replacement: "sig := *filler",
		}},
	},
	{
		name:     "storm-payloads-dropped",
		promise:  "the payloads of waiting alerts are kept (D21)",
		scenario: "05_storm_buffering", specs: "wait for the fifth",
		edits: []edit{{
			file:        "gateway/storm/member.go",
			text:        "\tb.Write(sig.Payload)\n",
			replacement: "",
		}},
	},
	{
		name:     "storm-label-missing",
		promise:  "a storm's object is labelled (3.3)",
		scenario: "05_storm_buffering", specs: "wait for the fifth",
		edits: []edit{{
			file:        "gateway/remediation/object.go",
			text:        `object.Labels[LabelStorm] = "true"`,
			replacement: `object.Labels[LabelStorm] = "false"`,
		}},
	},
	{
		name:     "storm-not-classified",
		promise:  "environment and priority of a storm's object are computed (5.3, 9: 05-1)",
		scenario: "05_storm_buffering", specs: "wait for the fifth",
		edits: []edit{{
			file:        "gateway/storm/window.go",
			text:        "environment := s.environments.Environment(ctx, sig.Namespace)\n\tpriority :=",
			replacement: "environment := \"unknown\"\n\tpriority :=",
		}},
	},
	{
		name:     "storm-flush-lost",
		promise:  "alerts that wait in vain get objects (D18)",
		scenario: "05_storm_buffering", specs: "wait for others in vain",
		edits: []edit{{
			file:        "gateway/storm/flusher.go",
			text:        "\t\terr = s.flush(ctx, t)\n",
			replacement: "\t\terr = nil\n",
		}},
	},
	{
		name:     "storm-flush-as-storm",
		promise:  "an alert that waited in vain is no storm, and is labelled buffered (D18)",
		scenario: "06_storm_window_ttl", specs: "takes no more alerts",
		edits: []edit{{
			file:        "gateway/remediation/object.go",
			text:        `object.Labels[LabelBuffered] = "true"`,
			replacement: `object.Labels[LabelStorm], object.Spec.IsStorm = "true", true`,
		}},
	},
	{
		// Both who made the object and the claim on the incident tell deduplication of it.
		name:     "storm-flush-not-registered",
		promise:  "an alert that waited in vain takes repeats like any other (D18)",
		scenario: "05_storm_buffering", specs: "get a RemediationRequest each",
		edits: []edit{
			{
				file:        "gateway/storm/flusher.go",
				text:        "claim.Created(ctx, object)",
				replacement: "claim.Discard(ctx)",
			},
			{
				file:        "gateway/storm/window.go",
				text:        "\terr := s.deduplicator.Register(ctx, object)\n",
				replacement: "\tvar err error\n\tif object.Spec.IsStorm {\n\t\terr = s.deduplicator.Register(ctx, object)\n\t}\n",
			},
		},
	},
	{
		name:     "storm-flush-too-early",
		promise:  "an alert is given the time to become part of a storm (D18)",
		scenario: "06_storm_window_ttl", specs: "takes no more alerts",
		edits: []edit{{
			file:        "gateway/storm/scripts/batch.lua",
			text:        "return math.min(batch.last + inactivity, batch.first + longest)",
			replacement: "return batch.last + inactivity / 4",
		}},
	},
	{
		name:     "storm-key-without-namespace",
		promise:  "storms of one name in two namespaces are two (D17)",
		scenario: "05_storm_buffering", specs: "in two namespaces are two",
		edits: []edit{{
			file:        "gateway/storm/member.go",
			text:        `return keyPart(sig.Namespace) + ":" + keyPart(sig.Name)`,
			replacement: `return keyPart("all") + ":" + keyPart(sig.Name)`,
		}},
	},
	{
		name:     "storm-limit-of-all-namespaces",
		promise:  "a full namespace does not touch another one (D23)",
		scenario: "05_storm_buffering", specs: "as many waiting alerts as it may have",
		edits: []edit{{
			file:        "gateway/storm/scripts/admit.lua",
			text:        "local used = waiting(namespace())",
			replacement: "local used = waiting('*')",
		}},
	},
	{
		// The peer's: answered like the others that wait.
		name:     "storm-over-limit-dropped",
		promise:  "an alert that may not wait is stored at once (D19)",
		scenario: "05_storm_buffering", specs: "as many waiting alerts as it may have",
		edits: []edit{{
			file: "gateway/storm/scripts/admit.lua",
			text: "if overflow or batch.pushes + 1 >= threshold then",
			replacement: `if overflow then
  drop(batch, fingerprint)
  return answer('buffered')
end
if batch.pushes + 1 >= threshold then`,
		}},
	},
	{
		name:     "storm-window-forgotten",
		promise:  "alerts at once have one opener, all others join (D16)",
		scenario: "07_concurrent_alerts", specs: "sent to one gateway",
		edits: []edit{{
			file:        "gateway/storm/scripts/admit.lua",
			text:        "  redis.call('ZADD', due, now + grace, ref(batch.id))\n  return opened(overflow)",
			replacement: "  redis.call('ZADD', due, now + grace, ref(batch.id))\n  redis.call('DEL', current)\n  return opened(overflow)",
		}},
	},
	{
		name:     "storm-of-each-replica",
		promise:  "alerts at once are one storm, whichever replica gets them (D16)",
		scenario: "07_concurrent_alerts", specs: "sent to two gateways",
		edits: []edit{{
			file: "gateway/storm/member.go",
			text: `return keyPart(sig.Namespace) + ":" + keyPart(sig.Name) }`,
			replacement: `return keyPart(sig.Namespace) + ":" + keyPart(sig.Name+replica) }

var replica = rand.Text()`,
		}},
	},
	{
		name:     "storm-members-of-the-moment-lost",
		promise:  "the object has every member, also those that come while it is made (D16, D18)",
		scenario: "07_concurrent_alerts", specs: "sent to one gateway",
		edits: []edit{{
			file:        "gateway/storm/window.go",
			text:        "if holds(object, own) && (fresh || object.InProgress()) &&",
			replacement: "if (fresh || object.InProgress()) &&",
		}},
	},
}
