package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/boot"
)

func newUpCommand() *cobra.Command {
	var options boot.Options
	var dataLimit int64
	command := &cobra.Command{
		Use:   "up",
		Short: "Run a cluster for a person, until Ctrl-C",
		Long: `Boot a cluster, print the path of a kubeconfig and how long each part took, and
stay until Ctrl-C; then nothing of it is left.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			options.DataLimit = dataLimit << 20
			options.Expose = true
			if options.Dir == "" {
				options.Dir = filepath.Join(os.TempDir(), "stormgate-"+strconv.Itoa(os.Getpid()))
			}
			out := command.OutOrStdout()
			options.OnEvent = func(event api.Event) {
				if event.Kind == api.EventReady {
					if err := welcome(out, api.Dir(options.Dir)); err != nil {
						fmt.Fprintln(command.ErrOrStderr(), "cluster:", err)
					}
				}
			}
			err := runCluster(context.Background(), options)
			var failure *api.Failure
			if errors.As(err, &failure) {
				for _, line := range failure.LogTail {
					fmt.Fprintln(command.ErrOrStderr(), failure.Component+" |", line)
				}
			}
			return err
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Dir, "dir", "", "the cluster's directory (default a new one in the directory for temporary files)")
	flags.StringVar(&options.ImagesFile, "image-file", "", "JSON list of images that pods can use")
	addClusterFlags(command, &options, &dataLimit)
	return command
}

func welcome(out io.Writer, dir api.Dir) error {
	encoded, err := os.ReadFile(dir.BootReport())
	if err != nil {
		return fmt.Errorf("read boot report: %w", err)
	}
	var report api.Report
	if err := json.Unmarshal(encoded, &report); err != nil {
		return fmt.Errorf("read boot report: %w", err)
	}
	if err := report.WriteTable(out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\nThe cluster is up.\n\n  export KUBECONFIG=%s\n\nLogs are in %s. Ctrl-C ends it.\n",
		dir.Kubeconfig(), dir.Logs())
	return err
}
