package system

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega/gbytes"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/gateway/config"
	"stormgate.internal/integration/testbed"
	"stormgate.internal/tools/faultproxy"
)

// startLimit is how long a process may take to be ready.
const startLimit = time.Minute

// policy ranks all alerts alike.
const policy = `package kubernaut.gateway.priority
default priority := "P2"
`

// Options configure a System.
type Options struct {
	// Replicas is the number of gateways. Default 2.
	Replicas int
	// Storm is the gateways' setting. Default Calm().
	Storm *config.Storm
	// Redis are further arguments of redis-server.
	Redis []string
	// RedisAddr is where the gateways find Redis. Default the server itself.
	RedisAddr func(*testbed.Redis) string
	// Adjust changes the gateways' settings further; nil leaves them.
	Adjust func(*config.Config)
	// HTTP asks the gateways whether they are ready. Default http.DefaultClient, which
	// trusts no certificate that a test has made.
	HTTP *http.Client
	// Identity is the service account of namespace identities as which the gateways use the
	// API. Default: they do so as the test.
	Identity string
}

// Calm are thresholds that only a storm reaches.
func Calm() *config.Storm { return windows(10, 10, 5) }

// AtOnce takes every alert for part of a storm, whose buffer-th makes the object.
func AtOnce(buffer int) *config.Storm { return windows(0, 0, buffer) }

// windows are short, since tests wait for their end.
func windows(rate, pattern, buffer int) *config.Storm {
	storm := config.Default().Processing.Storm
	storm.RateThreshold, storm.PatternThreshold, storm.BufferThreshold = rate, pattern, buffer
	storm.InactivityTimeout, storm.MaxWindowDuration = config.Duration(2*time.Second), config.Duration(12*time.Second)
	return &storm
}

// System is a gateway with all that it needs. It ends with the test.
type System struct {
	// API leads to the API server past the faults.
	API *testbed.API
	// Faults is between the gateways and the API server. It has no other clients, so a
	// rule may match everything.
	Faults *faultproxy.Proxy
	Redis  *testbed.Redis
	// Gateways are the replicas.
	Gateways []*testbed.Gateway
	Client   *testbed.Client
	// Ledger knows what was sent, and what was answered, by Send and Deliver.
	Ledger *testbed.Ledger
	// Namespace is one that exists and is the test's own.
	Namespace string

	t        *testing.T
	settings config.Config
	log      *gbytes.Buffer // the output of all processes
}

// Create creates objects of any built-in kind, and deletes them at the end of the test.
func (s *System) Create(objects ...client.Object) {
	s.t.Helper()
	admin, err := client.New(environment.RESTConfig(), client.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, object := range objects {
		if err := admin.Create(s.t.Context(), object); err != nil {
			s.t.Fatalf("create %T %s: %v", object, object.GetName(), err)
		}
		s.t.Cleanup(func() { _ = admin.Delete(context.Background(), object) })
	}
}

// New starts a system.
func New(t *testing.T, o Options) *System {
	t.Helper()
	if o.Replicas == 0 {
		o.Replicas = 2
	}
	if o.Storm == nil {
		o.Storm = Calm()
	}
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	s := &System{t: t, Client: testbed.NewClient(256), Ledger: testbed.NewLedger(), log: gbytes.NewBuffer()}
	t.Cleanup(s.Client.Close)
	t.Cleanup(s.showLog)
	var err error
	if s.API, err = testbed.ConnectAPI(ctx, environment.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.API.Close)
	s.Namespace = s.NewNamespace()
	if s.Redis, err = testbed.StartRedis(ctx, testbed.RedisOptions{Args: o.Redis, Log: s.log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Redis.Close)
	s.configure(o)
	kubeconfig := s.startFaults(o.Identity)
	for i := range o.Replicas {
		gateway, err := testbed.StartGateway(ctx, testbed.GatewayOptions{
			Name: fmt.Sprint("gateway", i), Config: s.settings, Policy: policy, Kubeconfig: kubeconfig, HTTP: o.HTTP, Log: s.log,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(gateway.Close)
		s.Gateways = append(s.Gateways, gateway)
	}
	return s
}

func (s *System) configure(o Options) {
	cfg := config.Default()
	cfg.Middleware.RateLimit.RequestsPerMinute = 0
	cfg.Infrastructure.Redis.Addr = s.Redis.Addr
	if o.RedisAddr != nil {
		cfg.Infrastructure.Redis.Addr = o.RedisAddr(s.Redis)
	}
	cfg.Processing.Storm = *o.Storm
	cfg.Processing.Deduplication.TTL = config.Duration(2 * time.Second)
	cfg.Processing.CRD.FallbackNamespace = s.Namespace
	if o.Adjust != nil {
		o.Adjust(&cfg)
	}
	s.settings = cfg
}

// startFaults serves the proxy and returns the path of a kubeconfig that leads to it.
func (s *System) startFaults(identity string) string {
	s.t.Helper()
	logger := slog.New(slog.NewTextHandler(s.log, nil)).With("from", "faultproxy")
	apiConfig := environment.RESTConfig()
	if identity != "" {
		apiConfig = rest.AnonymousClientConfig(apiConfig)
		apiConfig.BearerToken = s.Token(identity)
	}
	faults, err := testbed.ServeFaults(apiConfig, s.t.TempDir(), logger)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(faults.Close)
	s.Faults = faults.Proxy
	return faults.Kubeconfig
}

// Token returns the token of a service account in namespace identities.
func (s *System) Token(account string) string {
	s.t.Helper()
	c, err := client.New(environment.RESTConfig(), client.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	var secret corev1.Secret
	s.Until("the token of "+account+" is there", func() bool { // a controller makes it
		if err := c.Get(s.t.Context(), client.ObjectKey{Namespace: "identities", Name: account}, &secret); err != nil {
			s.t.Fatal(err)
		}
		return len(secret.Data[corev1.ServiceAccountTokenKey]) > 0
	})
	return string(secret.Data[corev1.ServiceAccountTokenKey])
}

// NewNamespace makes a namespace of the test's own.
func (s *System) NewNamespace() string {
	s.t.Helper()
	name, err := environment.Namespace(s.t.Context(), "integration")
	if err != nil {
		s.t.Fatal(err)
	}
	return name
}

// Fault puts a rule into force and returns what ends it.
func (s *System) Fault(rule faultproxy.Rule) (end func() faultproxy.State) {
	s.t.Helper()
	if err := s.Faults.Put(rule); err != nil {
		s.t.Fatal(err)
	}
	return func() faultproxy.State {
		state, _ := s.Faults.Delete(rule.ID)
		return state
	}
}

// Objects returns the objects of the namespaces, by default of Namespace.
func (s *System) Objects(namespaces ...string) []v1alpha1.RemediationRequest {
	s.t.Helper()
	if len(namespaces) == 0 {
		namespaces = []string{s.Namespace}
	}
	objects, err := s.API.Objects(s.t.Context(), namespaces...)
	if err != nil {
		s.t.Fatal(err)
	}
	return objects
}

// settleLimit is how long accepted alerts may take to be in objects: a window
// and what follows it, on a machine with much else to do.
const settleLimit = time.Minute

// Verify fails the test unless every accepted alert of the ledger is in an object
// of the namespaces, by default Namespace, no incident has two in progress, and
// all counts are right. What is buffered is waited for.
func (s *System) Verify(namespaces ...string) {
	s.t.Helper()
	s.verify(func(*testbed.Findings) {}, namespaces)
}

// VerifyStored is Verify without the counts: while the API server is away,
// duplicates are counted in Redis alone.
func (s *System) VerifyStored(namespaces ...string) {
	s.t.Helper()
	s.verify(func(findings *testbed.Findings) { findings.Miscounted = nil }, namespaces)
}

func (s *System) verify(forgive func(*testbed.Findings), namespaces []string) {
	s.t.Helper()
	var wrong error
	err := wait.PollUntilContextTimeout(s.t.Context(), 50*time.Millisecond, settleLimit, true, func(context.Context) (bool, error) {
		findings := s.Ledger.Check(s.Objects(namespaces...))
		forgive(findings)
		wrong = findings.Err()
		// Only what is lost can still turn up.
		return len(findings.Lost) == 0, nil
	})
	if err != nil || wrong != nil {
		s.t.Fatalf("objects are not what was answered: %v", wrong)
	}
}

// Until waits, for as long as processes may take, until the condition holds.
func (s *System) Until(what string, condition func() bool) {
	s.t.Helper()
	err := wait.PollUntilContextTimeout(s.t.Context(), 5*time.Millisecond, settleLimit, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	if err != nil {
		s.t.Fatalf("wait until %s: not within %s", what, settleLimit)
	}
}

// shownLog is how much of the processes' output a failed test shows, in bytes.
const shownLog = 16 << 10

// showLog shows the end of the processes' output if the test has failed, and
// leaves all of it with Bazel.
func (s *System) showLog() {
	if !s.t.Failed() {
		return
	}
	log := s.log.Contents()
	if dir := os.Getenv("TEST_UNDECLARED_OUTPUTS_DIR"); dir != "" {
		path := filepath.Join(dir, strings.ReplaceAll(s.t.Name(), "/", "_")+".log")
		if err := os.WriteFile(path, log, 0o644); err != nil {
			s.t.Log(err)
		}
	}
	if len(log) > shownLog {
		log = log[len(log)-shownLog:]
		log = log[bytes.IndexByte(log, '\n')+1:]
	}
	s.t.Logf("the processes' output ends with:\n%s", log)
}
