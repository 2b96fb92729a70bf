// Command tcprelay passes TCP connections on to one address: see package tcprelay.
//
//	tcprelay --target=gateway:8080 [--listen=:8080]
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"stormgate.internal/tools/tcprelay"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "tcprelay:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var listen, target string
	cmd := &cobra.Command{
		Use:           "tcprelay",
		Short:         "Pass TCP connections on to one address",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, _, err := net.SplitHostPort(target); err != nil {
				return fmt.Errorf("read --target: %w", err)
			}
			var config net.ListenConfig
			listener, err := config.Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return fmt.Errorf("listen (--listen): %w", err)
			}
			logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			logger.Info("relaying", "address", listener.Addr(), "target", target)
			relay := tcprelay.Relay{Target: target, Logger: logger}
			return relay.Serve(cmd.Context(), listener)
		},
	}
	set := cmd.Flags()
	set.StringVar(&listen, "listen", ":8080", "address for clients")
	set.StringVar(&target, "target", "", "host:port where their connections go (required)")
	return cmd
}
