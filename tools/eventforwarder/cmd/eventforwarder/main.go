// Command eventforwarder posts the events of its cluster to a webhook: see package
// eventforwarder.
//
//	eventforwarder --url=URL [--api-version=v1] [--field-selector=type=Warning]
//	  [--namespace-selector=LABELS] [--listen=:8003] [--kubeconfig=FILE]
//
// It serves /healthz, 200 once it watches, and /metrics.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/tools/eventforwarder"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "eventforwarder:", err)
		os.Exit(1)
	}
}

type flags struct {
	url, version, fields, namespaces, listen, kubeconfig string
}

func command() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "eventforwarder",
		Short:         "Post the events of a cluster to a webhook",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), f, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
		},
	}
	set := cmd.Flags()
	set.StringVar(&f.url, "url", "", "where events are posted (required)")
	set.StringVar(&f.version, "api-version", "v1", "in which version they are watched and posted: v1 or events.k8s.io/v1")
	set.StringVar(&f.fields, "field-selector", "type=Warning", "which events, by their fields")
	set.StringVar(&f.namespaces, "namespace-selector", "", "which events, by the labels of their object's namespace (default: all)")
	set.StringVar(&f.listen, "listen", ":8003", "address of /healthz and /metrics")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "where the API server is, and with what credentials (default: the pod's)")
	return cmd
}

// requestsPerSecond is above what the selection of namespaces asks for.
const requestsPerSecond = 100

func run(ctx context.Context, f flags, logger *slog.Logger) error {
	namespaces, err := labels.Parse(f.namespaces)
	if err != nil {
		return fmt.Errorf("read --namespace-selector: %w", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	if err != nil {
		return fmt.Errorf("find the API server: %w (set --kubeconfig)", err)
	}
	config.QPS, config.Burst = requestsPerSecond, requestsPerSecond
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client of the API server: %w", err)
	}
	registry := prometheus.NewRegistry()
	forwarder, err := eventforwarder.New(eventforwarder.Options{
		API: api, Version: f.version, FieldSelector: f.fields, Namespaces: namespaces,
		URL: f.url, Logger: logger, Registry: registry,
	})
	if err != nil {
		return err
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("listen (--listen): %w", err)
	}
	server := &http.Server{Handler: routes(forwarder.Ready, registry), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	logger.Info("forwarding events", "version", f.version, "url", f.url, "address", listener.Addr())

	forwarding, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		forwarder.Run(forwarding)
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-done:
	}
	err = server.Close()
	if failure := <-served; !errors.Is(failure, http.ErrServerClosed) {
		err = errors.Join(err, failure)
	}
	return err
}

func routes(ready func() bool, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "the watch of events has not begun", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}
