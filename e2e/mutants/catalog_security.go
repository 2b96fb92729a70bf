package main

// securityMutants break what the gateway promises about who may send (D44, D45).
var securityMutants = []mutant{
	{
		name:    "anybody-may-send",
		promise: "with authentication, strangers may not send (D44)",
		test:    serverTests, specs: "^TestSendersAreAuthenticated$",
		edits: []edit{{file: "gateway/server/server.go", text: "		authenticate,\n		limit,\n", replacement: "		limit,\n"}},
	},
	{
		name:    "protected-paths-open",
		promise: "paths that are protected need authentication, too (D44)",
		test:    serverTests, specs: "^TestOtherRoutesAreOpen$",
		edits: []edit{{file: "gateway/server/server.go", text: "return authenticate(handler)", replacement: "return handler"}},
	},
	{
		name:    "bad-tokens-let-through",
		promise: "who does not show who it is is refused with 401 (D44)",
		test:    serverTests, specs: "^TestSendersAreAuthenticated$",
		edits: []edit{{file: "gateway/server/senders.go", text: "			case metrics.Admitted:\n", replacement: "			case metrics.Admitted, metrics.Unauthenticated:\n"}},
	},
	{
		name:    "no-answer-is-a-refusal",
		promise: "while the Kubernetes API does not answer, senders are told to send again (D44)",
		test:    serverTests, specs: "^TestSendersAreAuthenticated$",
		edits: []edit{{file: "gateway/server/senders.go", text: "http.StatusServiceUnavailable, string(metrics.Undecided)", replacement: "http.StatusUnauthorized, string(metrics.Undecided)"}},
	},
	{
		name:    "bad-tokens-unlimited",
		promise: "bad tokens cost the Kubernetes API few questions (D44)",
		test:    serverTests, specs: "^TestBadTokensAreLimited$",
		edits: []edit{{file: "gateway/server/senders.go", text: "t.limiter.take(b.client, t.now())", replacement: "_ = b.client"}},
	},
	{
		name:    "bad-tokens-at-once-unlimited",
		promise: "bad tokens cost no more questions if they come all at once (D44)",
		test:    serverTests, specs: "^TestBadTokensAtOnceAreLimited$",
		edits: []edit{{file: "gateway/server/senders.go", text: "	t.asked[b.client]++\n", replacement: ""}},
	},
	{
		name:    "good-senders-kept-out",
		promise: "a sender is not kept out by strangers who share its address (D44)",
		test:    authTests, specs: "^TestBudget$",
		edits: []edit{{file: "gateway/authentication/authentication.go", text: "a.good.Add(mark, true, goodFor)", replacement: "a.good.Remove(mark)"}},
	},
	{
		name:    "undecided-access-refused",
		promise: "an API server that could not ask all of its authorizers says nothing final (D44)",
		test:    authTests, specs: "^TestAccessThatCouldNotBeDecided$",
		edits: []edit{{file: "gateway/authentication/authentication.go", text: "status.EvaluationError != \"\"", replacement: "status.EvaluationError == \"!\""}},
	},
	{
		name:    "some-authorities-passed-over",
		promise: "a file of authorities counts as a whole or not at all (D44)",
		test:    certificateTests, specs: "^TestChangesThatCannotBeUsed$",
		edits: []edit{{file: "gateway/certificate/certificate.go", text: "case begun > n:", replacement: "case begun > n && n == 0:"}},
	},
	{
		name:    "access-not-reviewed",
		promise: "a known user without the right may not send (D44)",
		test:    authTests, specs: "^TestAccessReview$",
		edits: []edit{{file: "gateway/authentication/authentication.go", text: "if !access.Status.Allowed {", replacement: "if access.Status.Denied {"}},
	},
	{
		name:    "tokens-of-other-audiences",
		promise: "a token for others is none (D44)",
		test:    authTests, specs: "^TestAudiences$",
		edits: []edit{{file: "gateway/authentication/authentication.go", text: "case len(audiences) > 0 && ", replacement: "case len(audiences) < 0 && "}},
	},
	{
		name:    "answers-kept-too-long",
		promise: "a right that was withdrawn counts no longer than cache_ttl (D44)",
		test:    authTests, specs: "^TestAnswersAreKept$",
		edits: []edit{{file: "gateway/authentication/authentication.go", text: "a.known.Add(key, d, ttl.Std())", replacement: "a.known.Add(key, d, 1000*ttl.Std())"}},
	},
	{
		name:    "answers-for-all-paths",
		promise: "what one path allows says nothing about another (D44)",
		test:    authTests, specs: "^TestAccessReview$",
		edits: []edit{{file: "gateway/authentication/authentication.go", text: "a.sign(strings.ToLower(r.Method), r.URL.Path, token)", replacement: "a.sign(token)"}},
	},
	{
		name:    "token-in-the-log",
		promise: "no token is logged (D44)",
		test:    authTests, specs: "^TestNoAnswer$",
		edits: []edit{{file: "gateway/authentication/authentication.go", text: "strings.ReplaceAll(err.Error(), token, redact.Mark)", replacement: "strings.ReplaceAll(err.Error(), redact.Mark, token)"}},
	},
	{
		name:    "certificates-for-any-use",
		promise: "a server's certificate is not a sender's (D44)",
		test:    authTests, specs: "^TestCertificates$",
		edits: []edit{{file: "gateway/authentication/authentication.go", text: "x509.ExtKeyUsageClientAuth}", replacement: "x509.ExtKeyUsageAny}"}},
	},
	{
		name:    "certificates-of-any-name",
		promise: "only allowed names may send (D44)",
		test:    authTests, specs: "^TestCertificates$",
		edits: []edit{{file: "gateway/authentication/authentication.go", text: "!d.Identity.Is(allowed, nil)", replacement: "len(d.Identity.Names) == 0"}},
	},
	{
		name:    "certificate-never-renewed",
		promise: "a renewed certificate is used without a restart (D44)",
		test:    certificateTests, specs: "^TestReloadUnderLoad$",
		edits: []edit{{file: "gateway/certificate/certificate.go", text: "	s.use(read)\n	s.metrics.CertificateReloaded(true)\n", replacement: "	s.metrics.CertificateReloaded(true)\n"}},
	},
	{
		name:    "half-a-pair-used",
		promise: "certificates that can't be used change nothing (D44)",
		test:    certificateTests, specs: "^TestReloadUnderLoad$",
		edits: []edit{{file: "gateway/certificate/certificate.go", text: "	if err != nil {\n		s.metrics.CertificateReloaded(false)\n", replacement: "	if err != nil {\n		s.metrics.CertificateReloaded(false)\n		s.current.Store(&material{certificate: &tls.Certificate{}})\n"}},
	},
	{
		name:    "senders-authenticated-nowhere-in-production",
		promise: "the overlay for production turns authentication on (D44)",
		test:    deployTests, specs: "^TestProductionAuthenticatesSenders$",
		edits: []edit{{file: "gateway/deploy/overlays/production/config/gateway.yaml", text: "      enabled: true\n", replacement: "      enabled: false\n"}},
	},
	{
		name:    "exempt-users-limited",
		promise: "users on the list have no limit (D45)",
		test:    serverTests, specs: "^TestUnlimitedSenders$",
		edits: []edit{{file: "gateway/server/ratelimit.go", text: "Is(s.options.UnlimitedUsers, s.options.UnlimitedGroups)", replacement: "Is(nil, s.options.UnlimitedGroups)"}},
	},
	{
		name:    "exempt-groups-limited",
		promise: "members of groups on the list have no limit (D45)",
		test:    serverTests, specs: "^TestUnlimitedSenders$",
		edits: []edit{{file: "gateway/server/ratelimit.go", text: "Is(s.options.UnlimitedUsers, s.options.UnlimitedGroups)", replacement: "Is(s.options.UnlimitedUsers, nil)"}},
	},
	{
		name:    "strangers-use-up-the-limit",
		promise: "who is refused uses up nobody's limit (D45)",
		test:    serverTests, specs: "^TestAuthenticationComesFirst$",
		edits: []edit{{file: "gateway/server/server.go", text: "		authenticate,\n		limit,\n", replacement: "		limit,\n		authenticate,\n"}},
	},
}
