package main

// dedupMutants break what scenarios 02, 04 and 04b promise: what is one incident,
// and how its occurrences are counted.
var dedupMutants = []mutant{
	{
		// The reservation keeps all but one of the alerts out; should it fail, the common
		// name of the objects does. Either alone is enough, so both go.
		name:     "reservation-and-common-name-dropped",
		promise:  "identical alerts at once begin one incident (D12)",
		scenario: "04b_state_based_deduplication_edge_cases", specs: "sent to one gateway begin one incident",
		edits: []edit{
			{
				file: "gateway/dedup/scripts/begin.lua",
				text: `if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[3]) and redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return { 'held' }
end
if incident then`,
				replacement: `redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
if false then`,
			},
			{
				file:        "gateway/dedup/names.go",
				text:        "return time.Unix(now.Unix()-(now.Unix()-phase)%grain, 0)",
				replacement: "return time.Unix(now.UnixNano()/1000+(phase-phase)%grain, 0)",
			},
		},
	},
	{
		name:     "reservation-in-each-replica",
		promise:  "identical alerts at once begin one incident, whichever replica gets them (D12)",
		scenario: "04b_state_based_deduplication_edge_cases", specs: "sent to two gateways begin one incident",
		edits: []edit{
			{
				file:        "gateway/dedup/layout.go",
				text:        `return incidentPrefix + i.partition.Prefix() + i.fingerprint + ":" + i.place`,
				replacement: `return incidentPrefix + i.partition.Prefix() + i.fingerprint + ":" + i.place + strconv.FormatInt(replica, 10)`,
			},
			{
				file:        "gateway/dedup/layout.go",
				text:        `return lockPrefix + i.partition.Prefix() + i.fingerprint + ":" + i.place`,
				replacement: `return lockPrefix + i.partition.Prefix() + i.fingerprint + ":" + i.place + strconv.FormatInt(replica, 10)`,
			},
			{
				file: "gateway/dedup/names.go",
				text: "return time.Unix(now.Unix()-(now.Unix()-phase)%grain, 0)\n}",
				replacement: `return time.Unix(now.Unix()-(now.Unix()-phase)%grain+replica, 0)
}

var replica = time.Now().UnixNano() % 100_000`,
			},
		},
	},
	{
		name:     "occurrences-of-a-moment-lost",
		promise:  "each of the alerts at once is counted (9: occurrenceCount 10)",
		scenario: "04b_state_based_deduplication_edge_cases", specs: "sent to one gateway begin one incident",
		edits: []edit{{
			file:        "gateway/amend/amend.go",
			text:        "\tb.amendments = append(b.amendments, m)\n",
			replacement: "\tif len(b.amendments) == 0 {\n\t\tb.amendments = append(b.amendments, m)\n\t}\n",
		}},
	},
	{
		name:     "conflicting-update-given-up",
		promise:  "each of the alerts at once is counted, whichever replica gets it (D15)",
		scenario: "04b_state_based_deduplication_edge_cases", specs: "sent to two gateways begin one incident",
		edits: []edit{{
			file:        "gateway/amend/amend.go",
			text:        "case !apierrors.IsConflict(err):",
			replacement: "case !apierrors.IsConflict(err) || try > 0:",
		}},
	},
	{
		name:     "phase-ignored",
		promise:  "repeats see each phase at once (3.2, 4.2)",
		scenario: "04b_state_based_deduplication_edge_cases", specs: "sees each phase at once",
		edits: []edit{{
			file:        "gateway/dedup/check.go",
			text:        "if !object.InProgress() || !object.StandsFor(sig.Fingerprint) {",
			replacement: "if !object.StandsFor(sig.Fingerprint) {",
		}},
	},
	{
		name:     "failed-is-in-progress",
		promise:  "after Failed the alert is news (3.2)",
		scenario: "04b_state_based_deduplication_edge_cases", specs: "did not succeed.*Failed",
		edits: []edit{{
			file:        "gateway/api/v1alpha1/remediationrequest.go",
			text:        "case PhaseCompleted, PhaseFailed, PhaseCancelled:",
			replacement: "case PhaseCompleted, PhaseCancelled:",
		}},
	},
	{
		name:     "cancelled-is-in-progress",
		promise:  "after Cancelled the alert is news (3.2)",
		scenario: "04_state_based_deduplication", specs: "ends the remediation.*Cancelled",
		edits: []edit{{
			file:        "gateway/api/v1alpha1/remediationrequest.go",
			text:        "case PhaseCompleted, PhaseFailed, PhaseCancelled:",
			replacement: "case PhaseCompleted, PhaseFailed:",
		}},
	},
	{
		name:     "lower-case-phase-ends",
		promise:  "completed in lower case leaves the incident open (3.2)",
		scenario: "04_state_based_deduplication", specs: "leaves the incident open.*completed",
		edits: []edit{{
			file:        "gateway/api/v1alpha1/remediationrequest.go",
			text:        "case PhaseCompleted, PhaseFailed, PhaseCancelled:",
			replacement: `case PhaseCompleted, PhaseFailed, PhaseCancelled, "completed", "failed", "cancelled":`,
		}},
	},
	{
		name:     "upper-case-phase-ends",
		promise:  "FAILED in upper case leaves the incident open (3.2)",
		scenario: "04_state_based_deduplication", specs: "leaves the incident open.*FAILED",
		edits: []edit{{
			file:        "gateway/api/v1alpha1/remediationrequest.go",
			text:        "case PhaseCompleted, PhaseFailed, PhaseCancelled:",
			replacement: `case PhaseCompleted, PhaseFailed, PhaseCancelled, "COMPLETED", "FAILED", "CANCELLED":`,
		}},
	},
	{
		name:     "waiting-phase-ends",
		promise:  "a remediation that waits is in progress (3.2)",
		scenario: "04_state_based_deduplication", specs: "leaves the incident open.*waits",
		edits: []edit{{
			file:        "gateway/api/v1alpha1/remediationrequest.go",
			text:        "case PhaseCompleted, PhaseFailed, PhaseCancelled:",
			replacement: `case PhaseCompleted, PhaseFailed, PhaseCancelled, "Pending":`,
		}},
	},
	{
		name:     "unknown-phase-ends",
		promise:  "a phase that the gateway does not know is in progress (3.2)",
		scenario: "04b_state_based_deduplication_edge_cases", specs: "whose phase the gateway does not know.*Paused",
		edits: []edit{{
			file:        "gateway/api/v1alpha1/remediationrequest.go",
			text:        "case PhaseCompleted, PhaseFailed, PhaseCancelled:\n\t\treturn false\n\t}\n\treturn true",
			replacement: "case \"\", \"Pending\", \"Processing\":\n\t\treturn true\n\t}\n\treturn false",
		}},
	},
	{
		name:     "counted-twice",
		promise:  "a repeat is one more occurrence (3.3)",
		scenario: "04_state_based_deduplication", specs: "counts repeats until",
		edits: []edit{{
			file:        "gateway/dedup/check.go",
			text:        "info.OccurrenceCount++",
			replacement: "info.OccurrenceCount += 2",
		}},
	},
	{
		name:     "counted-in-the-answer-only",
		promise:  "a repeat is counted in the object before the answer (3.3)",
		scenario: "04_state_based_deduplication", specs: "counts repeats until",
		edits: []edit{{
			file:        "gateway/dedup/check.go",
			text:        "info.OccurrenceCount++\n\t\tcount = info.OccurrenceCount",
			replacement: "count = info.OccurrenceCount + 1",
		}},
	},
	{
		name:     "count-of-the-moment-told",
		promise:  "each of the alerts at once is told its own count (4.2, 9: 04b-1)",
		scenario: "04b_state_based_deduplication_edge_cases", specs: "sent to one gateway begin one incident",
		edits: []edit{{
			file:        "gateway/dedup/check.go",
			text:        "Object: ref, Environment: object.Spec.Environment, Count: count,",
			replacement: "Object: ref, Environment: object.Spec.Environment, Count: object.Spec.Deduplication.OccurrenceCount,",
		}},
	},
	{
		name:     "first-seen-moved",
		promise:  "a repeat leaves firstSeen (3.3)",
		scenario: "02_ttl_expiration", specs: "still takes its repeats",
		edits: []edit{{
			file:        "gateway/dedup/check.go",
			text:        "info.LastSeen = metav1.NewTime(sig.ReceivedTime).Rfc3339Copy()",
			replacement: "info.LastSeen = metav1.NewTime(sig.ReceivedTime).Rfc3339Copy()\n\t\t\tinfo.FirstSeen = info.LastSeen",
		}},
	},
	{
		name:     "last-seen-kept",
		promise:  "a repeat moves lastSeen (3.3, 9: 02)",
		scenario: "02_ttl_expiration", specs: "still takes its repeats",
		edits: []edit{{
			file:        "gateway/dedup/check.go",
			text:        "info.LastSeen = metav1.NewTime(sig.ReceivedTime).Rfc3339Copy()",
			replacement: "info.LastSeen = metav1.NewTime(info.LastSeen.Time).Rfc3339Copy()",
		}},
	},
	{
		// The peer's: AlreadyExists is answered 201 with the finished object.
		name:     "name-of-finished-object-reused",
		promise:  "the next incident has a name of its own, even in the same second (D11)",
		scenario: "04_state_based_deduplication", specs: "is not mixed up with the one before",
		edits: []edit{
			{
				file:        "gateway/dedup/check.go",
				text:        "after(proposal(sig.Fingerprint, d.now()), finished...)",
				replacement: "proposal(sig.Fingerprint, d.now())",
			},
			{
				file:        "gateway/remediation/create.go",
				text:        "\t\t\t\tobject.Name = advance(object.Name)\n\t\t\t\tambiguous = false\n",
				replacement: "\t\t\t\treturn Created{Object: existing}, nil\n",
			},
		},
	},
	{
		name:     "fingerprint-without-resource",
		promise:  "resources are deduplicated one by one (2)",
		scenario: "04_state_based_deduplication", specs: "are deduplicated one by one",
		edits: []edit{{
			file:        "gateway/signal/signal.go",
			text:        `strings.Join([]string{name, namespace, kind, resource}, ":")`,
			replacement: `strings.Join([]string{name, namespace, kind}, ":")`,
		}},
	},
	{
		name:     "fingerprint-without-namespace",
		promise:  "tenants are deduplicated one by one (2)",
		scenario: "04_state_based_deduplication", specs: "are deduplicated one by one",
		edits: []edit{{
			file:        "gateway/signal/signal.go",
			text:        `strings.Join([]string{name, namespace, kind, resource}, ":")`,
			replacement: `strings.Join([]string{name, kind, resource}, ":")`,
		}},
	},
	{
		name:     "fingerprint-without-name",
		promise:  "alerts of different names are different incidents (2)",
		scenario: "04b_state_based_deduplication_edge_cases", specs: "Alerts of different names.*one after the other",
		edits: []edit{{
			file:        "gateway/signal/signal.go",
			text:        `strings.Join([]string{name, namespace, kind, resource}, ":")`,
			replacement: `strings.Join([]string{namespace, kind, resource}, ":")`,
		}},
	},
	{
		// Should the index lose an incident, the common name of its objects still leads
		// to the one that exists. Both go.
		name:     "redis-alone-decides",
		promise:  "an incident outlives its record in Redis (4.2)",
		scenario: "02_ttl_expiration", specs: "still takes its repeats",
		edits: []edit{
			{
				file:        "gateway/dedup/scripts/settle.lua",
				text:        "redis.call('SET', KEYS[2], ARGV[2])",
				replacement: "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])",
			},
			{
				file:        "gateway/remediation/create.go",
				text:        "c.placement.belongs(existing, draft.Signal.Namespace) && existing.InProgress():",
				replacement: "c.placement.belongs(existing, draft.Signal.Namespace) && !existing.InProgress():",
			},
		},
	},
	{
		name:     "record-rewritten-in-part",
		promise:  "a record that expired and is touched again is written in full (D14)",
		scenario: "02_ttl_expiration", specs: "still takes its repeats",
		edits: []edit{{
			file:        "gateway/dedup/scripts/count.lua",
			text:        "write_record(KEYS[1], ARGV[2], 3, #ARGV)",
			replacement: "redis.call('HINCRBY', KEYS[1], 'count', 1)\nredis.call('PEXPIRE', KEYS[1], ARGV[2])",
		}},
	},
	{
		name:     "record-not-refreshed",
		promise:  "every repeat prolongs the life of the record (4.1)",
		scenario: "02_ttl_expiration", specs: "lives longer with every repeat",
		edits: []edit{
			{
				file:        "gateway/dedup/scripts/record.lua",
				text:        "  redis.call('DEL', key)\n",
				replacement: "  local life = redis.call('PTTL', key)\n  redis.call('DEL', key)\n",
			},
			{
				file:        "gateway/dedup/scripts/record.lua",
				text:        "redis.call('PEXPIRE', key, ttl)",
				replacement: "redis.call('PEXPIRE', key, life > 0 and life or ttl)",
			},
		},
	},
	{
		name:     "record-never-expires",
		promise:  "the record has a limited life (4.1)",
		scenario: "02_ttl_expiration", specs: "describes the incident and has a limited life",
		edits: []edit{{
			file:        "gateway/dedup/scripts/record.lua",
			text:        "redis.call('PEXPIRE', key, ttl)",
			replacement: "redis.call('PERSIST', key)",
		}},
	},
	{
		name:     "record-without-object",
		promise:  "the record names the object with its namespace (4.1)",
		scenario: "02_ttl_expiration", specs: "describes the incident and has a limited life",
		edits: []edit{{
			file:        "gateway/dedup/layout.go",
			text:        `"remediationRequestRef", r.ref.String(),`,
			replacement: `"remediationRequestRef", r.ref.Name,`,
		}},
	},
	{
		name:     "end-forgotten-with-the-record",
		promise:  "a remediation that ends when Redis has forgotten it is over all the same (4.2)",
		scenario: "02_ttl_expiration", specs: "is followed by a new one",
		edits: []edit{{
			file:        "gateway/dedup/check.go",
			text:        "if !object.InProgress() || !object.StandsFor(sig.Fingerprint) {",
			replacement: "if !object.InProgress() && sig.ReceivedTime.Sub(object.Spec.Deduplication.LastSeen.Time) < d.index.ttl || !object.StandsFor(sig.Fingerprint) {",
		}},
	},
}
