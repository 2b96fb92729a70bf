package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/image"
	"stormgate.internal/tools/cluster/internal/node"
)

//go:embed embedded
var embedded embed.FS

// containerInit returns the program that becomes each container's, or nil if it
// was not built in.
func containerInit() ([]byte, error) {
	program, err := embedded.ReadFile("embedded/container-init")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return program, err
}

// newNodeCommand is the part that runs beside the control plane; its flags are
// the launcher's business (see boot.newNode).
func newNodeCommand() *cobra.Command {
	var options node.Options
	var ip, images string
	command := &cobra.Command{
		Use:           "node",
		Short:         "Run the cluster's node: kubelet, containers, service proxy and DNS",
		Hidden:        true,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkVersion(); err != nil {
				return err
			}
			var err error
			if options.IP, err = netip.ParseAddr(ip); err != nil {
				return fmt.Errorf("parse --ip: %w", err)
			}
			if options.Images, err = readImages(images); err != nil {
				return err
			}
			if options.ContainerInit, err = containerInit(); err != nil {
				return fmt.Errorf("read the container init: %w", err)
			}
			options.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
			ctx, stop := signal.NotifyContext(command.Context(), unix.SIGTERM)
			defer stop()
			// The kubelet prepares itself while it is held.
			served := make(chan struct{})
			options.Served = served
			go func() {
				awaitGate()
				close(served)
			}()
			return node.Run(ctx, options)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Name, "name", "", "name of the Node object")
	flags.StringVar(&ip, "ip", "", "the node's address")
	flags.StringVar(&options.Root, "root", "", "directory for all files of the node")
	flags.StringVar(&options.ControlSocket, "control", "", "unix socket for the image table")
	flags.StringVar(&options.Kubeconfig, "kubeconfig", "", "the kubelet's kubeconfig")
	flags.StringVar(&options.ServiceKubeconfig, "proxy-kubeconfig", "", "kubeconfig of the service proxy and DNS")
	flags.StringVar(&options.ClientCAFile, "client-ca-file", "", "authority of the kubelet's clients")
	flags.StringVar(&options.TLSCertFile, "tls-cert-file", "", "certificate with which the kubelet serves")
	flags.StringVar(&options.TLSKeyFile, "tls-private-key-file", "", "its key")
	flags.StringVar(&images, "images", "", "JSON list of images")
	return command
}

// readImages makes the image table from a file; without one it is empty.
func readImages(path string) (*image.Table, error) {
	if path == "" {
		return image.NewTable()
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read images: %w", err)
	}
	var list []api.Image
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("read images %s: %w", path, err)
	}
	for _, entry := range list {
		if err := entry.CheckFiles(); err != nil {
			return nil, fmt.Errorf("read images %s: %w", path, err)
		}
	}
	table, err := image.NewTable(list...)
	if err != nil {
		return nil, fmt.Errorf("read images %s: %w", path, err)
	}
	return table, nil
}
