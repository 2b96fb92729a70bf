// Package suite is what the scenarios share: the environment that they run in,
// and the gateway, objects and Redis records as a user or an operator sees them.
//
// Main acquires the environment once for all specs of a process. In a spec,
// NewNamespace returns a namespace that no other spec has. Its alerts have names that no
// other alert has. All assertions go by those names:
//
//	tenant := suite.NewNamespace(ctx)
//	alert := tenant.NewAlert()
//	Expect(suite.Gateway().SendPrometheus(ctx, alert)).To(suite.BeCreatedFor(alert))
//	Expect(tenant.Remediations(ctx)).To(HaveLen(1))
//
// A function of this package that can't do its work fails the running spec. Nothing
// here names a port, an address or a fixed namespace. Nothing that other specs can see
// is cleaned up: namespaces end with the lease.
package suite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime/pkg/client"

	remediationv1alpha1 "stormgate.internal/gateway/api/v1alpha1"
	"stormgate.internal/tools/faultproxy"
	"stormgate.internal/tools/fixture/client"
	bazelginkgo "stormgate.internal/tools/ginkgo"
)

// Names of what the environments forward.
const (
	gatewayForward       = "gateway"
	secondGatewayForward = "gateway2"
	redisForward         = "redis"
	faultsForward        = "faults"
)

// Those that an environment has one or more of.
var (
	alertManagerForwards = []string{"alertmanager", "alertmanager2"}
	forwarderForwards    = []string{"events", "events2"}
)

// Defaults of Eventually and Consistently. The deadline is longer than the slowest
// machine needs. It costs nothing while specs pass.
const (
	// Deadline is how long Eventually waits.
	Deadline = 30 * time.Second
	// Interval is how often Eventually and Consistently look.
	Interval = 50 * time.Millisecond
)

// environment is the part of the fixture's client that scenarios use.
type environment interface {
	// Home is the namespace that the gateway runs in.
	Home() string
	// Namespace makes a namespace whose name begins with prefix.
	Namespace(ctx context.Context, prefix string) (string, error)
	// Forwards lists the names that URL and Address take.
	Forwards() []string
	// URL is the base URL of a forward, Address its host and port.
	URL(forward string) string
	Address(forward string) string
	RESTConfig() *rest.Config
	// Done is closed when the cluster is lost. Err is not nil then.
	Done() <-chan struct{}
	Err() error
	Artifacts(ctx context.Context, dir string) error
	Release(ctx context.Context) error
}

const (
	// outputsVariable names the directory of a test's undeclared outputs (Bazel).
	outputsVariable = "TEST_UNDECLARED_OUTPUTS_DIR"
	// abandonTimeout bounds the release of an environment that can't be used.
	abandonTimeout = 5 * time.Second
)

// world is the environment with the clients made for it.
type world struct {
	environment environment
	gateways    []*GatewayClient // one or more, the first one first
	objects     ctrl.WithWatch
	windows     Windows
	redis       *redis.Client      // nil without a forward to it
	faults      *faultproxy.Client // nil without a forward to it
	injected    injected
	before      []byte // metrics when the lease began

	alertManagers []*AlertManager
	forwarders    map[string]string // base URLs by forward
}

// here is set before the first spec runs and stays until the last has ended.
var here *world

// Main runs the scenarios of this binary and exits. It is the whole of TestMain.
func Main(m *testing.M) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	printBriefly()
	gomega.SetDefaultEventuallyTimeout(Deadline)
	gomega.SetDefaultEventuallyPollingInterval(Interval)
	gomega.SetDefaultConsistentlyPollingInterval(Interval)
	gomega.EnforceDefaultTimeoutsWhenUsingContexts()
	bazelginkgo.Main(bazelginkgo.Options{
		M:         m,
		Bazel:     "tools/bazel",
		SetupName: "acquire the environment",
		Setup: func(ctx context.Context) error {
			environment, err := acquire(ctx)
			if err != nil {
				return err
			}
			here, err = newWorld(ctx, environment)
			if err != nil {
				return abandon(ctx, environment, err)
			}
			return nil
		},
		Lost:    func() <-chan struct{} { return here.environment.Done() },
		Blame:   func() error { return asInfrastructure(here.environment.Err()) },
		Collect: func(ctx context.Context, dir string) error { return here.collect(ctx, dir) },
		Release: func(ctx context.Context) error { return here.release(ctx) },
	})
}

// abandon releases an environment that the specs can't use. Its artifacts are saved
// first, since the logs show why. If the cluster was lost, then that is the error, and
// the run is no verdict on the gateway.
func abandon(ctx context.Context, environment environment, reason error) error {
	ctx, parted := client.Parting(ctx)
	defer parted()
	ctx, cancel := context.WithTimeout(ctx, abandonTimeout)
	defer cancel()
	errs := []error{reason, asInfrastructure(environment.Err())}
	if dir := os.Getenv(outputsVariable); dir != "" {
		errs = append(errs, environment.Artifacts(ctx, dir))
	}
	return errors.Join(append(errs, environment.Release(ctx))...)
}

func newWorld(ctx context.Context, environment environment) (*world, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, remediationv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register API types: %w", err)
		}
	}
	objects, err := ctrl.NewWithWatch(environment.RESTConfig(), ctrl.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make client for RemediationRequests: %w", err)
	}
	w := &world{environment: environment, objects: objects}
	forwards := environment.Forwards()
	if !slices.Contains(forwards, gatewayForward) {
		return nil, fmt.Errorf("find the gateway: the environment forwards %q, and nothing as %q", forwards, gatewayForward)
	}
	for _, forward := range []string{gatewayForward, secondGatewayForward} {
		if slices.Contains(forwards, forward) {
			w.gateways = append(w.gateways, newGatewayClient(environment.URL(forward)))
		}
	}
	if w.before, err = w.gateways[0].exposition(ctx); err != nil {
		return nil, fmt.Errorf("read metrics before the specs: %w", err)
	}
	if w.windows, err = readWindows(ctx, objects, environment.Home()); err != nil {
		return nil, err
	}
	if slices.Contains(forwards, faultsForward) {
		w.faults = &faultproxy.Client{URL: environment.URL(faultsForward), HTTP: &http.Client{Timeout: requestTimeout}}
	}
	for _, forward := range alertManagerForwards {
		if slices.Contains(forwards, forward) {
			w.alertManagers = append(w.alertManagers, &AlertManager{name: forward, base: environment.URL(forward), http: &http.Client{Timeout: requestTimeout}})
		}
	}
	w.forwarders = map[string]string{}
	for _, forward := range forwarderForwards {
		if slices.Contains(forwards, forward) {
			w.forwarders[forward] = environment.URL(forward)
		}
	}
	if slices.Contains(forwards, redisForward) {
		w.redis = newRedisClient(environment.Address(redisForward))
	}
	return w, nil
}

// collect saves what helps to understand a failure.
func (w *world) collect(ctx context.Context, dir string) error {
	after, err := w.gateways[0].exposition(ctx)
	faults, faultsErr := w.injected.file()
	if faults != nil {
		faultsErr = os.WriteFile(filepath.Join(dir, "faults.json"), faults, 0o644)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "metrics-before.txt"), w.before, 0o644),
		err,
		faultsErr,
		os.WriteFile(filepath.Join(dir, "metrics-after.txt"), after, 0o644),
		w.environment.Artifacts(ctx, dir),
	)
}

func (w *world) release(ctx context.Context) error {
	var err error
	if w.redis != nil {
		err = w.redis.Close()
	}
	return errors.Join(err, w.environment.Release(ctx))
}
