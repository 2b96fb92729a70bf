package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"stormgate.internal/tools/runfiles"
)

// PrometheusVariable names the program of Prometheus, like GatewayVariable. Default
// "prometheus" on the PATH.
const PrometheusVariable = "STORMGATE_PROMETHEUS"

// Prometheus is a Prometheus that scrapes gateways. Close it.
type Prometheus struct {
	*Process
	// URL is where its API is, "http://127.0.0.1:PORT".
	URL string

	dir string
}

// PrometheusOptions configure a Prometheus.
type PrometheusOptions struct {
	// Binary is its program. Default: what PrometheusVariable names.
	Binary string
	// Interval is the time between two scrapes, and between two evaluations of rules.
	// Required.
	Interval time.Duration
	// Pods are the gateways' URLs by the value of the label pod that each gets, as
	// gateways in a cluster have it. Required.
	Pods map[string]string
	// Rules is the content of a file of alert rules. Default none.
	Rules []byte
	// Log gets its output; nil keeps only the end, for errors.
	Log io.Writer
}

// StartPrometheus starts a Prometheus without data and waits until it is ready.
func StartPrometheus(ctx context.Context, o PrometheusOptions) (*Prometheus, error) {
	if o.Binary == "" {
		var err error
		if o.Binary, err = runfiles.Program(PrometheusVariable, "prometheus"); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "prometheus")
	if err != nil {
		return nil, fmt.Errorf("start prometheus: %w", err)
	}
	p := &Prometheus{dir: dir}
	if err := p.start(ctx, o); err != nil {
		p.Close()
		return nil, fmt.Errorf("start prometheus: %w", err)
	}
	return p, nil
}

func (p *Prometheus) start(ctx context.Context, o PrometheusOptions) error {
	config, err := o.config()
	if err != nil {
		return err
	}
	path := filepath.Join(p.dir, "prometheus.yml")
	for path, content := range map[string][]byte{path: config, filepath.Join(p.dir, "rules.yaml"): o.Rules} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	// It can't say which port it was given, so it is given a free one.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	p.URL = "http://" + address
	cmd := exec.Command(o.Binary, "--config.file="+path, "--storage.tsdb.path="+filepath.Join(p.dir, "data"), "--web.listen-address="+address)
	if p.Process, err = start("prometheus", cmd, o.Log, nil); err != nil {
		return err
	}
	if err := poll(ctx, 20*time.Millisecond, p.exited, func() error { return p.ready(ctx) }); err != nil {
		return fmt.Errorf("%w; its output ends with:\n%s", err, p.Tail())
	}
	return nil
}

// config is Prometheus' configuration.
func (o *PrometheusOptions) config() ([]byte, error) {
	type static struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	var statics []static
	for pod, url := range o.Pods {
		address, ok := strings.CutPrefix(url, "http://")
		if !ok {
			return nil, fmt.Errorf("pod %s has the URL %q, want http://HOST:PORT", pod, url)
		}
		statics = append(statics, static{[]string{address}, map[string]string{"pod": pod}})
	}
	if len(statics) == 0 || o.Interval <= 0 {
		return nil, errors.New("pods and a positive interval are required")
	}
	return yaml.Marshal(map[string]any{
		"global":         map[string]string{"scrape_interval": o.Interval.String(), "scrape_timeout": o.Interval.String(), "evaluation_interval": o.Interval.String()},
		"rule_files":     []string{"rules.yaml"},
		"scrape_configs": []any{map[string]any{"job_name": "gateway", "static_configs": statics}},
	})
}

func (p *Prometheus) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/-/ready", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// Close kills Prometheus and removes its data.
func (p *Prometheus) Close() {
	if p.Process != nil {
		p.Kill()
	}
	_ = os.RemoveAll(p.dir)
}
