package boot

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/controlplane"
	"stormgate.internal/tools/cluster/internal/pki"
)

// publicServer is the URL in the kubeconfigs of the host's side. Nobody can
// dial it from there: its host is the name in the server's certificate, and
// users dial api.sock or a listener that pipes to it.
const publicServer = "https://" + ServerName + ":443"

// stage records a step that runs in init itself.
func (in *initProcess) stage(name string, run error) error {
	start := in.lastEnd()
	if run == nil {
		in.step(name, start, "self")
	}
	return run
}

func (in *initProcess) lastEnd() float64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	if n := len(in.report.Steps); n > 0 {
		return in.report.Steps[n-1].End
	}
	return 0
}

// boot starts everything in the order that wastes least time: each component
// when what it would otherwise poll for, in steps of a second, is there. ctx
// bounds the boot, life the cluster.
func (in *initProcess) boot(ctx, life context.Context, s *supervisor) error {
	bundle, admin, err := in.issue()
	if err := in.stage("certificates", err); err != nil {
		return err
	}
	settings := controlplane.Settings{
		DataDir: in.spec.Paths.data(), Files: bundle.Files, Admin: admin.Client,
		NodeIP: NodeIP, ServiceCIDR: ServiceCIDR, Journal: in.journal, Env: os.Environ(),
	}
	node, err := in.newNode(bundle.Files)
	if err != nil {
		return err
	}
	control, err := serveControl(life, in)
	if err != nil {
		return err
	}

	etcd, err := controlplane.Etcd(settings)
	if err != nil {
		return err
	}
	apiServer, err := controlplane.NewAPIServer(settings)
	if err != nil {
		return err
	}
	manager, err := controlplane.ControllerManager(settings)
	if err != nil {
		return err
	}
	scheduler, err := controlplane.Scheduler(settings)
	if err != nil {
		return err
	}
	// Each is loaded while the one before it starts, on the core that is free then.
	if err := in.load(s, etcd, apiServer.Component); err != nil {
		return err
	}
	if err := in.bring(ctx, etcd); err != nil {
		return err
	}
	if err := in.load(s, node); err != nil {
		return err
	}
	if err := in.bring(ctx, apiServer.Component); err != nil {
		return err
	}
	client, config, err := adminClient(admin)
	if err != nil {
		return err
	}
	if err := in.stage("node's role", nodeGrant().make(ctx, client)); err != nil {
		return err
	}
	if err := servePipe(life, os.NewFile(apiDescriptor, "api.sock"), net.JoinHostPort(NodeIP, controlplane.APIServerPort)); err != nil {
		return err
	}
	in.emit(api.Event{Kind: api.EventAPI})
	go followCustomResources(life, config, client, in.log)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := in.bring(ctx, node); err != nil {
			return err
		}
		control.nodeIsUp()
		return in.await("node ready", func() error { return waitNodeReady(ctx, client) })
	})
	defaults := in.defaults()
	granted, loaded := make(chan struct{}), make(chan struct{})
	group.Go(func() error {
		// First what the scheduler and the controllers need: client-go waits a
		// second and more after a refusal.
		if err := in.await("roles", func() error {
			group, ctx := errgroup.WithContext(ctx)
			group.Go(func() error {
				return makeGrants(ctx, client, append(otherGrants(), defaults.controllersGrant()))
			})
			group.Go(func() error { return defaults.of(pki.Scheduler, pki.ControllerManager).make(ctx, client) })
			return group.Wait()
		}); err != nil {
			return err
		}
		close(granted)
		return in.await("defaults", func() error { return defaults.make(ctx, client) })
	})
	group.Go(func() error {
		if err := passed(ctx, granted, loaded); err != nil {
			return err
		}
		return in.bring(ctx, scheduler)
	})
	group.Go(func() error {
		if err := in.load(s, manager, scheduler); err != nil {
			return err
		}
		close(loaded)
		// It asks for the API server's health once a second.
		if err := in.await("kube-apiserver complete", func() error { return apiServer.Complete(ctx) }); err != nil {
			return err
		}
		if err := passed(ctx, granted); err != nil {
			return err
		}
		// The controller manager serves no port to ask. It works when the default
		// namespace has its ServiceAccount, without which no pod is admitted.
		manager.Probe = func(ctx context.Context) error { return defaultServiceAccount(ctx, client) }
		return in.bring(ctx, manager)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return in.ready()
}

// passed waits until all milestones are passed.
func passed(ctx context.Context, milestones ...<-chan struct{}) error {
	for _, milestone := range milestones {
		select {
		case <-milestone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// load starts components that wait, loaded, until bring lets them go on.
func (in *initProcess) load(s *supervisor, components ...*controlplane.Component) error {
	for _, c := range components {
		if err := c.Hold(); err != nil {
			return err
		}
		if err := s.start(c); err != nil {
			return err
		}
		in.mu.Lock()
		in.components = append(in.components, c)
		in.mu.Unlock()
	}
	return nil
}

// bring lets a loaded component go on and waits until it serves.
func (in *initProcess) bring(ctx context.Context, c *controlplane.Component) error {
	start := in.sinceStart()
	if err := c.Release(); err != nil {
		return err
	}
	if err := c.Ready(ctx); err != nil {
		return err
	}
	in.step(c.Name, start, strconv.Itoa(c.Pid()))
	return nil
}

// await records a step that waits for others.
func (in *initProcess) await(name string, wait func() error) error {
	start := in.sinceStart()
	if err := wait(); err != nil {
		return err
	}
	in.step(name, start, "self")
	return nil
}

// issue makes the certificates and the two kubeconfigs of the host's side.
func (in *initProcess) issue() (*pki.Bundle, pki.Kubeconfig, error) {
	bundle, err := pki.Issue(pki.Request{
		Dir:      in.spec.Paths.data(),
		Server:   "https://" + net.JoinHostPort(NodeIP, controlplane.APIServerPort),
		NodeName: NodeName, NodeIP: NodeIP,
		Hosts: []string{
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
			"localhost", "127.0.0.1", NodeIP, serviceIP,
		},
	})
	if err != nil {
		return nil, pki.Kubeconfig{}, err
	}
	admin, err := bundle.Kubeconfig(pki.Admin, publicServer, "")
	if err != nil {
		return nil, pki.Kubeconfig{}, err
	}
	suite, err := bundle.Kubeconfig(pki.Suite, publicServer, "")
	if err != nil {
		return nil, pki.Kubeconfig{}, err
	}
	configs := map[string]pki.Kubeconfig{
		in.spec.Paths.Dir.AdminKubeconfig(): admin,
		in.spec.Paths.Dir.SuiteKubeconfig(): suite,
	}
	if address := in.spec.ExposedAddress; address != "" {
		exposed := admin
		exposed.Server = "https://" + address
		configs[in.spec.Paths.Dir.Kubeconfig()] = exposed
	}
	for path, config := range configs {
		rendered, err := config.Render()
		if err != nil {
			return nil, pki.Kubeconfig{}, err
		}
		if err := os.WriteFile(path, rendered, 0o600); err != nil {
			return nil, pki.Kubeconfig{}, fmt.Errorf("write kubeconfig: %w", err)
		}
	}
	return bundle, admin, nil
}

func (in *initProcess) journal(name string) (*controlplane.Journal, error) {
	journal, err := controlplane.OpenJournal(in.spec.Paths.Dir.Log(name))
	if err != nil {
		return nil, err
	}
	journal.OnError = func(err error) {
		in.log.Warn("a component's log is cut short; free space below the cluster's directory", "component", name, "error", err)
	}
	return journal, nil
}

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

// adminClient talks to the API server from inside the cluster's network.
func adminClient(admin pki.Kubeconfig) (kubernetes.Interface, *rest.Config, error) {
	admin.Server = "https://" + net.JoinHostPort(NodeIP, controlplane.APIServerPort)
	rendered, err := admin.Render()
	if err != nil {
		return nil, nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(rendered)
	if err != nil {
		return nil, nil, fmt.Errorf("read administrator's kubeconfig: %w", err)
	}
	// The boot polls; client-go's own limit would slow it down.
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("make administrator's client: %w", err)
	}
	return client, config, nil
}
