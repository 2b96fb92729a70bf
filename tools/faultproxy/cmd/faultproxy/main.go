// Command faultproxy stands between a client and a Kubernetes API server and injects
// faults. Its rules are set over HTTP: see package faultproxy.
//
//	faultproxy [--listen=:8001] [--control=:8002] [--kubeconfig=FILE] [--tls-cert=FILE --tls-key=FILE]
//
// In a pod it leads to the API server of its cluster. Clients reach it with a
// kubeconfig that names it as the server; their own tokens are passed on.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"stormgate.internal/tools/faultproxy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "faultproxy:", err)
		os.Exit(1)
	}
}

type flags struct {
	listen, control, kubeconfig, cert, key string
}

func command() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "faultproxy",
		Short:         "Proxy a Kubernetes API server and inject faults",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), f, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
		},
	}
	set := cmd.Flags()
	set.StringVar(&f.listen, "listen", ":8001", "address for the API server's clients")
	set.StringVar(&f.control, "control", ":8002", "address at which the rules are set")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "where the API server is, and the credentials of requests that have none (default: the pod's)")
	set.StringVar(&f.cert, "tls-cert", "", "certificate file of --listen (default: plain HTTP)")
	set.StringVar(&f.key, "tls-key", "", "key file of --tls-cert")
	cmd.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	return cmd
}

func run(ctx context.Context, f flags, logger *slog.Logger) error {
	upstream, err := upstreamConfig(f.kubeconfig)
	if err != nil {
		return err
	}
	proxy, err := faultproxy.New(upstream, logger)
	if err != nil {
		return err
	}
	clients, err := listen(f)
	if err != nil {
		return err
	}
	defer clients.Close()
	control, err := net.Listen("tcp", f.control)
	if err != nil {
		return fmt.Errorf("listen for rules (--control): %w", err)
	}
	defer control.Close()
	logger.Info("serving", "clients", clients.Addr(), "rules", control.Addr(), "upstream", upstream.Host)
	return serve(ctx,
		serving{faultproxy.NewServer(proxy, logger), clients},
		serving{faultproxy.NewServer(proxy.Control(), logger), control})
}

func upstreamConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("find the API server: %w (set --kubeconfig)", err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	return config, nil
}

func listen(f flags) (net.Listener, error) {
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return nil, fmt.Errorf("listen for clients (--listen): %w", err)
	}
	if f.cert == "" {
		return listener, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("load --tls-cert and --tls-key: %w", err)
	}
	return tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}}), nil
}

type serving struct {
	server   *http.Server
	listener net.Listener
}

// serve runs the servers until the context ends or one of them fails. Watches
// never end by themselves, so connections are closed, not drained.
func serve(ctx context.Context, all ...serving) error {
	failed := make(chan error, len(all))
	for _, s := range all {
		go func() { failed <- s.server.Serve(s.listener) }()
	}
	var errs []error
	select {
	case <-ctx.Done():
	case err := <-failed:
		errs = append(errs, err)
	}
	for _, s := range all {
		errs = append(errs, s.server.Close())
	}
	return errors.Join(errs...)
}
