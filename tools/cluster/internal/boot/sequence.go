package boot

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/audit"
	"stormgate.internal/tools/cluster/internal/controlplane"
	"stormgate.internal/tools/cluster/internal/pki"
	"stormgate.internal/tools/cluster/internal/steps"
)

// sequence is a boot: its steps and what they leave for one another. A field is
// set by one step, and read by steps that need that one.
type sequence struct {
	*initProcess

	// cluster ends with the cluster. The context of a step ends with the boot.
	cluster    context.Context
	supervisor *supervisor
	defaults   func() Defaults

	// Of the step "certificates".
	bundle *pki.Bundle
	own    pki.Kubeconfig
	// Of the step "make components".
	control                                   *control
	etcd, apiServer, manager, scheduler, node *controlplane.Component
	// apiHealthy waits until kube-apiserver calls itself healthy.
	apiHealthy func(context.Context) error
	// Of the step "node's role".
	client kubernetes.Interface
	config *rest.Config
}

// table is the order that wastes least time: each component goes on when what it
// would otherwise poll for, in steps of a second, is there. Each is loaded while
// the one before it starts, on the core that is free then. sequence.md draws it.
func (s *sequence) table() []steps.Step {
	needs := func(names ...string) []string { return names }
	return []steps.Step{
		s.reported("certificates", needs(), s.issueCertificates),
		s.silent("make components", needs("certificates"), s.makeComponents),
		s.silent("load etcd, kube-apiserver", needs("make components"), s.load(&s.etcd, &s.apiServer)),
		s.component("etcd", needs("load etcd, kube-apiserver"), &s.etcd),
		s.silent("load node", needs("etcd"), s.load(&s.node)),
		s.component("kube-apiserver", needs("load node"), &s.apiServer),
		s.reported("node's role", needs("kube-apiserver"), s.grantNode),
		s.silent("open API", needs("node's role"), s.openAPI),

		s.component("node", needs("open API"), &s.node),
		s.reported("node ready", needs("node"), s.awaitNode),

		// First what the scheduler and the controllers need: client-go waits a
		// second and more after a refusal.
		s.reported("roles", needs("open API"), s.makeRoles),
		s.reported("defaults", needs("roles"), s.makeDefaults),

		s.silent("lease roles", needs("roles"), s.makeLeaseRoles),

		s.silent("load controllers, scheduler", needs("open API"), s.load(&s.manager, &s.scheduler)),
		s.component("kube-scheduler", needs("load controllers, scheduler", "roles"), &s.scheduler),
		// The controller manager asks for the API server's health once a second.
		s.reported("kube-apiserver complete", needs("load controllers, scheduler"), s.awaitAPIHealthy),
		s.component("kube-controller-manager", needs("kube-apiserver complete", "roles"), &s.manager),
	}
}

// boot runs the sequence and publishes the report. ctx bounds the boot, cluster
// the cluster.
func (in *initProcess) boot(ctx, cluster context.Context, supervisor *supervisor) error {
	s := &sequence{initProcess: in, cluster: cluster, supervisor: supervisor, defaults: sync.OnceValue(func() Defaults { return in.defaults().withoutControllerBindings() })}
	if err := steps.Run(ctx, s.table()); err != nil {
		return err
	}
	return in.ready()
}

// silent is a step that is too short to be in the report.
func (s *sequence) silent(name string, needs []string, run func(context.Context) error) steps.Step {
	return steps.Step{Name: name, Needs: needs, Run: run}
}

// reported is a step whose end is in the report, with init's usage.
func (s *sequence) reported(name string, needs []string, run func(context.Context) error) steps.Step {
	return steps.Step{Name: name, Needs: needs, Run: func(ctx context.Context) error {
		start := s.sinceStart()
		if err := run(ctx); err != nil {
			return err
		}
		s.step(name, start, "self")
		return nil
	}}
}

// component is a step that lets a loaded component go on and waits until it
// serves. It is in the report, with the component's usage.
func (s *sequence) component(name string, needs []string, component **controlplane.Component) steps.Step {
	return steps.Step{Name: name, Needs: needs, Run: func(ctx context.Context) error {
		c, start := *component, s.sinceStart()
		if err := c.Release(); err != nil {
			return err
		}
		if err := c.Ready(ctx); err != nil {
			return err
		}
		s.step(name, start, strconv.Itoa(c.Pid()))
		return nil
	}}
}

// load starts components that then wait, loaded, until they may go on.
func (s *sequence) load(components ...**controlplane.Component) func(context.Context) error {
	return func(context.Context) error {
		for _, component := range components {
			c := *component
			if err := c.Hold(); err != nil {
				return err
			}
			if err := s.supervisor.start(c); err != nil {
				return err
			}
			s.mu.Lock()
			s.components = append(s.components, c)
			s.mu.Unlock()
		}
		return nil
	}
}

func (s *sequence) issueCertificates(context.Context) (err error) {
	s.bundle, s.own, err = s.issue()
	return err
}

func (s *sequence) makeComponents(context.Context) error {
	if err := os.WriteFile(s.spec.Paths.auditPolicy(), audit.Policy, 0o600); err != nil {
		return fmt.Errorf("write audit policy: %w", err)
	}
	// What the API server says beside its log, on stdout, is rare and for people.
	writes := audit.NewLog(os.Stderr)
	settings := controlplane.Settings{
		DataDir: s.spec.Paths.data(), Files: s.bundle.Files, Admin: s.own.Client,
		NodeIP: NodeIP, ServiceCIDR: ServiceCIDR, Journal: s.journal, Env: os.Environ(),
		AuditPolicy: s.spec.Paths.auditPolicy(), AuditLog: writes,
	}
	var err error
	if s.node, err = s.newNode(s.bundle.Files); err != nil {
		return err
	}
	if s.control, err = serveControl(s.cluster, s.initProcess, s.bundle, writes); err != nil {
		return err
	}
	if s.etcd, err = controlplane.Etcd(settings); err != nil {
		return err
	}
	apiServer, err := controlplane.NewAPIServer(settings)
	if err != nil {
		return err
	}
	s.apiServer, s.apiHealthy = apiServer.Component, apiServer.Complete
	if s.manager, err = controlplane.ControllerManager(settings); err != nil {
		return err
	}
	// The controller manager serves no port to ask. It works when the default
	// namespace has its ServiceAccount, without which no pod is admitted.
	s.manager.Probe = func(ctx context.Context) error { return defaultServiceAccount(ctx, s.client) }
	s.scheduler, err = controlplane.Scheduler(settings)
	return err
}

func (s *sequence) grantNode(ctx context.Context) (err error) {
	if s.client, s.config, err = ownClient(s.own); err != nil {
		return err
	}
	return nodeGrant().make(ctx, s.client)
}

// openAPI lets the host's side in.
func (s *sequence) openAPI(context.Context) error {
	address := net.JoinHostPort(NodeIP, controlplane.APIServerPort)
	if err := servePipe(s.cluster, os.NewFile(apiDescriptor, "api.sock"), address); err != nil {
		return err
	}
	s.control.apiIsUp(s.client)
	s.emit(api.Event{Kind: api.EventAPI})
	go followCustomResources(s.cluster, s.config, s.client, s.log)
	return nil
}

func (s *sequence) awaitNode(ctx context.Context) error {
	s.control.nodeIsUp()
	return waitNodeReady(ctx, s.client)
}

// makeRoles makes the roles that the scheduler and the controllers wait for.
func (s *sequence) makeRoles(ctx context.Context) error {
	defaults := s.defaults()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return makeGrants(ctx, s.client, append(otherGrants(), defaults.controllersGrant()))
	})
	group.Go(func() error { return defaults.of(pki.Scheduler, pki.ControllerManager).make(ctx, s.client) })
	return group.Wait()
}

// makeLeaseRoles makes what nobody needs before the cluster is ready.
func (s *sequence) makeLeaseRoles(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return makeGrants(ctx, s.client, leaseGrants()) })
	group.Go(func() error { return makeLeasePolicy(ctx, s.client) })
	group.Go(func() error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: api.LeaseNamespace}}
		return create(ctx, "namespace "+api.LeaseNamespace, namespace, s.client.CoreV1().Namespaces().Create)
	})
	return group.Wait()
}

// makeDefaults makes all default objects; those that exist stay as they are.
func (s *sequence) makeDefaults(ctx context.Context) error {
	return s.defaults().make(ctx, s.client)
}

func (s *sequence) awaitAPIHealthy(ctx context.Context) error { return s.apiHealthy(ctx) }

// ready publishes the report. The cluster is complete.
func (in *initProcess) ready() error {
	in.mu.Lock()
	in.report.Ready = in.sinceStart()
	in.mu.Unlock()
	encoded, err := json.MarshalIndent(in.snapshot(), "", "  ")
	if err != nil {
		return fmt.Errorf("encode boot report: %w", err)
	}
	if err := os.WriteFile(in.spec.Paths.Dir.BootReport(), append(encoded, '\n'), 0o600); err != nil {
		return fmt.Errorf("write boot report: %w", err)
	}
	in.emit(api.Event{Kind: api.EventReady})
	return nil
}
