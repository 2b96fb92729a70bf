package main

// The tests that notice the following mutants.
const (
	appTests         = "//gateway/app:app_test"
	authTests        = "//gateway/authentication:authentication_test"
	certificateTests = "//gateway/certificate:certificate_test"
	configTests      = "//gateway/config:config_test"
	dedupTests       = "//gateway/dedup:dedup_test"
	deployTests      = "//gateway/deploy:deploy_test"
	pipelineTests    = "//gateway/pipeline:pipeline_test"
	policyTests      = "//gateway/policy:policy_test"
	redisTests       = "//gateway/redisclient:redisclient_test"
	remediationTests = "//gateway/remediation:remediation_test"
	serverTests      = "//gateway/server:server_test"
	signalTests      = "//gateway/signal:signal_test"
	stormTests       = "//gateway/storm:storm_test"
)

// senderMutants break what the gateway promises to real senders (D29 to D51), most of it
// as receivers of that kind are reported to be broken.
var senderMutants = []mutant{
	{
		name:    "body-limit-below-a-storm",
		promise: "a group of 150 alerts is not too large (D29)",
		test:    appTests, specs: "^TestGroupOf150$",
		edits: []edit{{file: "gateway/config/config.go", text: "MaxBodyBytes:    4 << 20,", replacement: "MaxBodyBytes:    100 << 10,"}},
	},
	{
		name:    "unpacked-body-unlimited",
		promise: "a body has no more than its limit when it is unpacked (D29)",
		test:    serverTests, specs: "^TestBodyLimit$",
		edits: []edit{{file: "gateway/server/middleware.go", text: "r.Body = http.MaxBytesReader(w, unpacked, limit)", replacement: "r.Body = unpacked"}},
	},
	{
		name:    "pending-bodies-unlimited",
		promise: "bodies that are handled at once have a limit together (D29)",
		test:    serverTests, specs: "^TestMemoryForBodiesIsBounded$",
		edits: []edit{{file: "gateway/server/middleware.go", text: "if !memory.TryAcquire(bytes) {", replacement: "if bytes = 0; !memory.TryAcquire(bytes) {"}},
	},
	{
		name:    "signals-made-all-at-once",
		promise: "the alerts of a request do not together take what they have in common as often (D29)",
		test:    serverTests, specs: "^TestMemoryForSignalsIsBounded$",
		edits: []edit{{file: "gateway/server/signals.go", text: "signalBytes+int64(size)*signalCopies", replacement: "signalBytes"}},
	},
	{
		name:    "small-signals-unlimited",
		promise: "small alerts that wait for Redis take a bounded amount of memory (D50)",
		test:    serverTests, specs: "^TestSmallSignalsAreBounded$",
		edits: []edit{{file: "gateway/server/signals.go", text: "signalBytes+int64(size)*signalCopies", replacement: "int64(size)*signalCopies"}},
	},
	{
		name:    "expired-lock-lets-another-in",
		promise: "an incident is handled by one signal at a time, however long that takes (D51)",
		test:    dedupTests, specs: "^TestExpiredLockLetsNobodyIn$",
		edits: []edit{{file: "gateway/dedup/flights.go", text: "other := f.current[i.lock()]; other != nil {", replacement: "other := f.current[i.lock()]; false {"}},
	},
	{
		name:    "late-search-believed",
		promise: "a search that took longer than its claim is no answer (D51)",
		test:    dedupTests, specs: "^TestSearchThatTookTooLongIsNoAnswer$",
		edits: []edit{{file: "gateway/dedup/check.go", text: "case !claim.unbroken(), registered:", replacement: "case !claim.unbroken() && registered && false:"}},
	},
	{
		name:    "claims-expire",
		promise: "a claim outlives its lock's time as long as its process does (D51)",
		test:    dedupTests, specs: "^TestClaimsAreKept$",
		edits: []edit{{file: "gateway/dedup/index.go", text: "prolong.Eval(ctx, renewSource,", replacement: "prolong.Eval(ctx, \"return 0\","}},
	},
	{
		name:    "expired-claims-given-up",
		promise: "a lock that has expired is taken again for the claim that goes on (D51)",
		test:    dedupTests, specs: "^TestClaimsAreKept$",
		edits: []edit{{file: "gateway/dedup/scripts/renew.lua", text: "if holder and holder ~= ARGV[1]", replacement: "if holder ~= ARGV[1]"}},
	},
	{
		name:    "interruption-forgotten",
		promise: "a search during which a lock may have expired is no answer, though the lock is held again (D51)",
		test:    dedupTests, specs: "^TestSearchThatTookTooLongIsNoAnswer$",
		edits: []edit{{file: "gateway/dedup/flights.go", text: "time.Since(f.asked) > lockTime", replacement: "time.Since(f.asked) > time.Hour"}},
	},
	{
		name:    "updates-unbounded",
		promise: "few updates are sent to the API server at once (D50)",
		test:    remediationTests, specs: "^TestUpdatesAtOnceAreBounded$",
		edits: []edit{{file: "gateway/remediation/store.go", text: "semaphore.NewWeighted(maxUpdating)", replacement: "semaphore.NewWeighted(100_000)"}},
	},
	{
		name:    "silent-server-keeps-all-claims",
		promise: "a silent server of a Redis Cluster keeps no claims of the others from being kept (D51)",
		test:    dedupTests, specs: "^TestSilentServerKeepsOnlyItsOwnClaims$",
		edits: []edit{{file: "gateway/dedup/keeper.go", text: "context.WithTimeout(ctx, renewTime)", replacement: "context.WithTimeout(ctx, time.Hour)"}},
	},
	{
		name:    "panic-keeps-the-claim",
		promise: "a check that panics leaves no claim behind (D51)",
		test:    dedupTests, specs: "^TestPanicEndsTheClaim$",
		edits: []edit{{file: "gateway/dedup/check.go", text: "if !goesOn {", replacement: "if !goesOn && false {"}},
	},
	{
		name:    "record-answers-for-redis",
		promise: "a record stands in for the cluster only, not for Redis (4.2)",
		test:    dedupTests, specs: "^TestRecordDoesNotAnswerForRedis$",
		edits: []edit{{file: "gateway/dedup/check.go", text: "if errors.As(failure, &redis) {", replacement: "if errors.As(failure, &redis) && false {"}},
	},
	{
		name:    "lost-claim-taken-in",
		promise: "a storm takes in no alert of which the claim was lost (D51)",
		test:    stormTests, specs: "^TestLostClaimMakesNoSecondObject$",
		edits: []edit{{file: "gateway/storm/scripts/admit.lua", text: "if lock ~= call.claim or incident and", replacement: "if false and"}},
	},
	{
		name:    "alerts-unlimited",
		promise: "a request has no more alerts than its body can well hold (D29)",
		test:    signalTests, specs: "^TestTooManyAlerts$",
		edits: []edit{{file: "gateway/signal/prometheus.go", text: "int(hook.Alerts) > p.MaxAlerts", replacement: "int(hook.Alerts) < 0"}},
	},
	{
		name:    "gzip-refused",
		promise: "bodies may be packed (D29)",
		test:    serverTests, specs: "^TestContentEncoding$",
		edits: []edit{{file: "gateway/server/middleware.go", text: `case "gzip", "x-gzip":`, replacement: `case "x-gzip":`}},
	},
	{
		name:    "too-large-not-counted",
		promise: "a refused body is counted by its reason (D29)",
		test:    serverTests, specs: "^TestBodyLimit$",
		edits: []edit{{file: "gateway/server/middleware.go", text: `http.StatusRequestEntityTooLarge, "too_large",`, replacement: `http.StatusRequestEntityTooLarge, "size",`}},
	},
	{
		name:    "idle-time-below-that-of-senders",
		promise: "idle connections are kept longer than AlertManager keeps them (D29)",
		test:    configTests, specs: "^TestAbsentKeysHaveTheDocumentedDefaults$",
		edits: []edit{{file: "gateway/config/config.go", text: "Duration(330 * time.Second)", replacement: "Duration(120 * time.Second)"}},
	},
	{
		name:    "idle-time-not-used",
		promise: "idle connections are kept for the time that is configured (D29)",
		test:    serverTests, specs: "^TestTimeoutsReachTheServer$",
		edits: []edit{{file: "gateway/server/lifecycle.go", text: "		IdleTimeout:       s.options.IdleTimeout,\n", replacement: ""}},
	},
	{
		name:    "ends-with-its-sender",
		promise: "what a sender has given up is stored all the same (D49)",
		test:    serverTests, specs: "^TestSignalsAreStoredThoughTheirSenderIsGone$",
		edits: []edit{{file: "gateway/server/signals.go", text: "ctx, cancel := finishing(r.Context())", replacement: "ctx, cancel := context.WithCancel(r.Context())"}},
	},
	{
		name:    "one-bad-alert-refuses-all",
		promise: "one bad alert does not keep the others out (D30)",
		test:    serverTests, specs: "^TestOneBadAlert$",
		edits: []edit{{file: "gateway/server/signals.go", text: "if worst != nil && (passing || good == nil) {", replacement: "if worst != nil {"}},
	},
	{
		name:    "bad-alert-not-counted",
		promise: "a bad alert is counted by its reason (D30)",
		test:    serverTests, specs: "^TestOneBadAlert$",
		edits: []edit{{file: "gateway/server/signals.go", text: "s.options.Metrics.SignalInvalid(invalidReason(p.Err))", replacement: "_ = p.Err"}},
	},
	{
		name:    "unused-members-checked",
		promise: "what isn't needed isn't checked (D31)",
		test:    signalTests, specs: "^TestPrometheusUnusedMembers$",
		edits: []edit{{
			file:        "gateway/signal/prometheus.go",
			text:        "	if err := json.Unmarshal(body, &loose); err != nil {",
			replacement: "	if err := json.Unmarshal(body, &hook); err != nil {",
		}},
	},
	{
		name:    "limit-answered-429",
		promise: "too many requests are a 503, which AlertManager sends again (D32)",
		test:    serverTests, specs: "^TestRateLimit$",
		edits: []edit{{file: "gateway/server/ratelimit.go", text: `http.StatusServiceUnavailable, "rate_limit"`, replacement: `http.StatusTooManyRequests, "rate_limit"`}},
	},
	{
		name:    "exempt-networks-limited",
		promise: "clients in exempt networks have no limit (D32)",
		test:    serverTests, specs: "^TestRateLimit$",
		edits: []edit{{file: "gateway/server/ratelimit.go", text: "isIn(address, s.options.Unlimited)", replacement: "isIn(address, nil)"}},
	},
	{
		name:    "everybody-is-a-trusted-proxy",
		promise: "forwarding headers count from trusted proxies only (D32)",
		test:    serverTests, specs: "^TestForwardedForIsNotTrusted$",
		edits: []edit{{
			file:        "gateway/server/middleware.go",
			text:        "err == nil && isIn(peer, s.options.TrustedProxies)",
			replacement: "err == nil && peer.IsValid()",
		}},
	},
	{
		name:    "first-hop-believed",
		promise: "of X-Forwarded-For counts what trusted proxies have added (D32)",
		test:    serverTests, specs: "^TestRealIP$",
		edits: []edit{{
			file:        "gateway/server/middleware.go",
			text:        "if !isIn(hop, s.options.TrustedProxies) {",
			replacement: "if !hop.IsValid() {",
		}},
	},
	{
		name:    "clients-name-themselves",
		promise: "headers that a proxy passes on as they came count no more than the one it writes (D32)",
		test:    serverTests, specs: "^TestRealIP$",
		edits: []edit{{file: "gateway/server/middleware.go", text: "err != nil || client.IsValid() && client != named", replacement: "err != nil"}},
	},
	{
		name:    "truncated-not-counted",
		promise: "alerts that the sender left out are counted (D33)",
		test:    serverTests, specs: "^TestOneBadAlert$",
		edits: []edit{{file: "gateway/server/signals.go", text: "s.options.Metrics.AlertsTruncated(left)", replacement: "_ = left"}},
	},
	{
		name:    "truncated-not-annotated",
		promise: "objects say that alerts were left out (D33)",
		test:    remediationTests, specs: "^TestTruncatedIsAnnotated$",
		edits: []edit{{file: "gateway/remediation/object.go", text: "if s.Truncated > 0 {", replacement: "if s.Truncated < 0 {"}},
	},
	{
		name:    "exporter-is-the-target",
		promise: "an alert is not about who measured it (D34)",
		test:    signalTests, specs: "^TestTargets$",
		edits: []edit{{file: "gateway/signal/target.go", text: "if !who.owns(label) {", replacement: "if label != \"\" {"}},
	},
	{
		name:    "details-not-in-the-fingerprint",
		promise: "every label that tells two targets apart is in the fingerprint (D34)",
		test:    signalTests, specs: "^TestTargetsAreApart$",
		edits: []edit{{file: "gateway/signal/prometheus.go", text: "resource.Name+target.detail)", replacement: "resource.Name)"}},
	},
	{
		name:    "volatile-labels-in-the-fingerprint",
		promise: "a replica of Prometheus makes no other incident (D34)",
		test:    signalTests, specs: "^TestTargets",
		edits: []edit{{file: "gateway/signal/target.go", text: "name == label, t.ignored[name]:", replacement: "name == label:"}},
	},
	{
		name:    "watchdog-is-an-incident",
		promise: "a Watchdog starts nothing (D35)",
		test:    signalTests, specs: "^TestPrometheusIgnored$",
		edits: []edit{{file: "gateway/signal/ignored.go", text: "case i.names[name], i.heartbeats[name]:", replacement: "case i.names[name]:"}},
	},
	{
		name:    "severity-none-is-an-incident",
		promise: "alerts of severity none start nothing (D35)",
		test:    signalTests, specs: "^TestPrometheusIgnored$",
		edits: []edit{{file: "gateway/signal/ignored.go", text: `case i.severities[labels["severity"]]:`, replacement: `case i.severities[labels["level"]]:`}},
	},
	{
		name:    "heartbeat-not-noted",
		promise: "the time of the latest Watchdog is a metric (D35)",
		test:    pipelineTests, specs: "^TestIgnoredSignals$",
		edits: []edit{{file: "gateway/metrics/metrics.go", text: `} else if sig.Heartbeat != "" {`, replacement: `} else if sig.Heartbeat != "" && reason == "" {`}},
	},
	{
		name:    "new-event-members-not-read",
		promise: "events of events.k8s.io/v1 are read (D36)",
		test:    signalTests, specs: "^TestEventVersions$",
		edits: []edit{{file: "gateway/signal/event.go", text: "[]*eventObject{e.InvolvedObject, e.Regarding}", replacement: "[]*eventObject{e.InvolvedObject}"}},
	},
	{
		name:    "series-time-not-read",
		promise: "the last time of an event is the latest of all that it has (D36)",
		test:    signalTests, specs: "^TestEvent(Versions|Age)$",
		edits: []edit{{file: "gateway/signal/event.go", text: "observed = e.Series.LastObservedTime", replacement: "observed = nil"}},
	},
	{
		name:    "old-events-open-incidents",
		promise: "events that happened too long ago start nothing (D36)",
		test:    signalTests, specs: "^TestEventAge$",
		edits: []edit{{file: "gateway/signal/event.go", text: "if a.MaxAge > 0 && ", replacement: "if a.MaxAge < 0 && "}},
	},
	{
		name:    "deleted-events-open-incidents",
		promise: "that an event was deleted is no occurrence (D36)",
		test:    signalTests, specs: "^TestDeletedEventsAreIgnored$",
		edits: []edit{{file: "gateway/signal/event.go", text: "watched.Type == watchDeleted", replacement: "watched.Type == watchDeleted+\"!\""}},
	},
	{
		name:    "severity-stays",
		promise: "the object's severity rises with its incident (D37)",
		test:    remediationTests, specs: "^TestRaise$",
		edits: []edit{{file: "gateway/remediation/raise.go", text: "if !IsMoreSevere(severity, spec.Severity) {", replacement: "if severity != \"\" {"}},
	},
	{
		name:    "priority-falls",
		promise: "the priority never falls (D37)",
		test:    remediationTests, specs: "^TestRaise$",
		edits: []edit{{file: "gateway/remediation/raise.go", text: "p < spec.Priority {", replacement: "p != spec.Priority {"}},
	},
	{
		name:    "contradictory-policy-passed-over",
		promise: "a policy that contradicts itself is counted (D38)",
		test:    policyTests, specs: "^TestPolicyFailuresAreKnown$",
		edits: []edit{{file: "gateway/policy/priority.go", text: "p.fail(ctx, metrics.PolicyContradicts, severity, environment, err)", replacement: "return DefaultPriority"}},
	},
	{
		name:    "dns-behind-its-service-shut-out",
		promise: "DNS may listen on 5353 (D39)",
		test:    deployTests, specs: "^TestProductionNetwork$",
		edits: []edit{{
			file:        "gateway/deploy/components/network-policy/network-policy.yaml",
			text:        "    - port: 5353\n      protocol: UDP\n",
			replacement: "",
		}},
	},
	{
		name:    "readiness-without-a-write",
		promise: "a Redis that takes no writes makes readiness fail (D40)",
		test:    redisTests, specs: "^TestReadinessFindsThatNoWritesAreTaken$",
		edits: []edit{{
			file:        "gateway/redisclient/monitor.go",
			text:        "return m.client.Set(ctx, probeKey, \"1\", probeLife).Err()",
			replacement: "return m.client.Ping(ctx).Err()",
		}},
	},
	{
		name:    "refused-writes-unnoticed",
		promise: "the gauge says so from the first write that is refused (D40)",
		test:    redisTests, specs: "^TestServerThatTakesNoWrites$",
		edits: []edit{{file: "gateway/redisclient/monitor.go", text: "ctx.Value(letThrough{}) == nil && isUnusable(err):", replacement: "ctx.Value(letThrough{}) == nil && isUnusable(nil):"}},
	},
	{
		name:    "silent-server-takes-the-time-of-others",
		promise: "a server of a Cluster that is silent does not make the others unusable (D46)",
		test:    redisTests, specs: "^TestSilentServerOfACluster$",
		edits: []edit{{file: "gateway/redisclient/monitor.go", text: "context.WithTimeout(ctx, partTimeout)", replacement: "context.WithTimeout(ctx, probeTimeout)"}},
	},
	{
		name:    "objects-of-any-size",
		promise: "no signal is too large for an object (D41)",
		test:    remediationTests, specs: "^TestObjectsFit$",
		edits: []edit{{file: "gateway/remediation/fit.go", text: "maxObjectBytes = 900_000", replacement: "maxObjectBytes = 9_000_000"}},
	},
	{
		name:    "cut-names-alike",
		promise: "long names that are cut stay apart (D41)",
		test:    remediationTests, specs: "^TestLongNamesStayApart$",
		edits: []edit{{file: "gateway/remediation/fit.go", text: "sum := sha256.Sum256([]byte(name))", replacement: "sum := sha256.Sum256(nil)"}},
	},
	{
		name:    "no-cool-down",
		promise: "a repeat in the cool-down begins no incident (D42)",
		test:    dedupTests, specs: "^TestCoolDown$",
		edits: []edit{{file: "gateway/dedup/over.go", text: "return d.now().Before(object.Status.CompletedAt.Add(last))", replacement: "return d.now().Before(object.Status.CompletedAt.Time)"}},
	},
	{
		name:    "cool-down-for-ever",
		promise: "the cool-down ends (D42)",
		test:    dedupTests, specs: "^TestCoolDown$",
		edits: []edit{{file: "gateway/dedup/over.go", text: "return d.now().Before(object.Status.CompletedAt.Add(last))", replacement: "return true"}},
	},
	{
		name:    "resolved-not-noted",
		promise: "it is noted when an alert was resolved (D43)",
		test:    appTests, specs: "^TestResolvedAlertsAreNoted$",
		edits: []edit{{file: "gateway/pipeline/pipeline.go", text: "if sig.Resolved && p.steps.AnnotateResolved && ", replacement: "if sig.Resolved && !p.steps.AnnotateResolved && "}},
	},
	{
		name:    "one-pod-resolves-its-workload",
		promise: "that one pod is well again resolves no incident of all (D43)",
		test:    pipelineTests, specs: "^TestOnePodDoesNotResolveItsWorkload$",
		edits: []edit{{file: "gateway/pipeline/pipeline.go", text: "shared = sig.Resource != about", replacement: "shared = sig.Resource.Name == \"\" && sig.Resource != about"}},
	},
	{
		name:    "resolved-though-it-fires",
		promise: "the note is removed when the alert fires again (D43)",
		test:    appTests, specs: "^TestResolvedAlertsAreNoted$",
		edits: []edit{{file: "gateway/dedup/check.go", text: "delete(object.Annotations, remediation.AnnotationResolved)", replacement: "_ = remediation.AnnotationResolved"}},
	},
}
