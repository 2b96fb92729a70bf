package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"sigs.k8s.io/yaml"

	"stormgate.internal/gateway/config"
	"stormgate.internal/tools/runfiles"
)

// Gateway is a replica of the gateway, which can be started again. Close it.
type Gateway struct {
	// Process is the one that was started last. It may have ended.
	*Process

	o     GatewayOptions
	dir   string
	at    atomic.Pointer[addresses]
	count int
}

// addresses are where one process of a gateway serves.
type addresses struct{ url, debug string }

// GatewayOptions configure a Gateway.
type GatewayOptions struct {
	// Binary is the gateway's program. Default: what GatewayVariable names.
	Binary string
	// Name distinguishes replicas in logs. Default "gateway".
	Name string
	// Config is the gateway's configuration. The address to listen on and the path of
	// the policy are chosen here.
	Config config.Config
	// Policy is the priority policy, Rego. Required.
	Policy string
	// Kubeconfig is the path of a kubeconfig. Required.
	Kubeconfig string
	// HTTP asks whether the gateway is ready. Default http.DefaultClient.
	HTTP *http.Client
	// Env are further variables, "NAME=value".
	Env []string
	// Log gets its output; nil keeps only the end, for errors.
	Log io.Writer
}

// StartGateway starts a gateway and waits until it is ready.
func StartGateway(ctx context.Context, o GatewayOptions) (*Gateway, error) {
	if o.Binary == "" {
		var err error
		if o.Binary, err = runfiles.Program(GatewayVariable, "gateway"); err != nil {
			return nil, err
		}
	}
	if o.Name == "" {
		o.Name = "gateway"
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	dir, err := os.MkdirTemp("", "gateway")
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	g := &Gateway{o: o, dir: dir}
	if err := g.write(); err != nil {
		g.Close()
		return nil, err
	}
	if err := g.Restart(ctx); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Gateway) write() error {
	cfg := g.o.Config
	cfg.Server.ListenAddr = "127.0.0.1:0"
	cfg.Processing.Priority.PolicyPath = filepath.Join(g.dir, "priority.rego")
	content, err := yaml.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("encode configuration of %s: %w", g.o.Name, err)
	}
	for path, content := range map[string][]byte{g.configPath(): content, cfg.Processing.Priority.PolicyPath: []byte(g.o.Policy)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("configure %s: %w", g.o.Name, err)
		}
	}
	return nil
}

func (g *Gateway) configPath() string { return filepath.Join(g.dir, "gateway.yaml") }

// Restart kills the gateway if it runs, starts it, on an address that it has not
// had before, and waits until it is ready.
func (g *Gateway) Restart(ctx context.Context) error {
	if err := g.Launch(ctx); err != nil {
		return err
	}
	if err := poll(ctx, 5*time.Millisecond, g.exited, func() error { return g.Ready(ctx) }); err != nil {
		tail := g.Tail()
		g.Kill()
		return fmt.Errorf("wait for %s: %w; its output ends with:\n%s", g.o.Name, err, tail)
	}
	return nil
}

// Launch is Restart, but waits only until the gateway listens: it need not be
// ready, as when Redis is away.
func (g *Gateway) Launch(ctx context.Context) error {
	if g.Process != nil {
		g.Kill()
	}
	g.count++
	serving, profiles := make(chan string, 1), make(chan string, 1)
	cmd := exec.Command(g.o.Binary, "--config", g.configPath(), "--kubeconfig", g.o.Kubeconfig, "--debug-addr", "127.0.0.1:0")
	cmd.Env = slices.Concat(os.Environ(), g.coverageEnv(), g.o.Env)
	process, err := start(fmt.Sprintf("%s.%d", g.o.Name, g.count), cmd, g.o.Log, func(line string) { addressIn(line, serving, profiles) })
	if err != nil {
		return err
	}
	g.Process = process
	var at addresses
	for at.url == "" || at.debug == "" {
		select {
		case address := <-serving:
			at.url = g.scheme() + address
		case address := <-profiles:
			at.debug = "http://" + address
		case <-process.exited:
			return fmt.Errorf("start %s: it ended; its output ends with:\n%s", g.o.Name, process.Tail())
		case <-ctx.Done():
			process.Kill()
			return fmt.Errorf("start %s: %w; its output ends with:\n%s", g.o.Name, context.Cause(ctx), process.Tail())
		}
	}
	g.at.Store(&at)
	return nil
}

// addressIn looks for the addresses that the gateway has got in a line of its log.
func addressIn(line string, serving, profiles chan<- string) {
	var event struct{ Msg, Address string }
	if json.Unmarshal([]byte(line), &event) != nil || event.Address == "" {
		return
	}
	to := serving
	switch event.Msg {
	case "listening":
	case "serving profiles":
		to = profiles
	default:
		return
	}
	select {
	case to <- event.Address:
	default:
	}
}

func (g *Gateway) scheme() string {
	if g.o.Config.Server.TLS.Enabled() {
		return "https://"
	}
	return "http://"
}

// URL is where the gateway serves, "http://127.0.0.1:PORT", or with https if its
// settings have TLS. It changes with Restart, and may be called meanwhile.
func (g *Gateway) URL() string { return g.at.Load().url }

// Ready returns why the gateway is not ready, or nil.
func (g *Gateway) Ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL()+"/ready", nil)
	if err != nil {
		return err
	}
	response, err := g.o.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(string(body))
	}
	return nil
}

// Close kills the gateway and removes its files.
func (g *Gateway) Close() {
	if g.Process != nil {
		g.Kill()
	}
	_ = os.RemoveAll(g.dir)
}
