package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"k8s.io/component-base/version"

	"stormgate.internal/tools/cluster/api"
	"stormgate.internal/tools/cluster/internal/boot"
)

func newRunCommand() *cobra.Command {
	var options boot.Options
	var dataLimit int64
	var control int
	controlFlag := strings.TrimPrefix(api.ControlFlag, "--")
	command := &cobra.Command{
		Use:   "run --dir=DIR",
		Short: "Run a cluster for a program: events on stdout, ends with stdin",
		Long: `Run a cluster until standard input ends or SIGTERM or SIGINT arrives.

Standard output gets one JSON object a line: "step" for each finished part of the
boot, "api" when the API answers administrators, "ready", and "failed", with the
component and the tail of its log, before exit status 1.

DIR gets api.sock (kube-apiserver's TLS port), control.sock (HTTP: GET /images,
/lives, /writes and /boot), boot.json and logs/. All of it is removed at the end.

DIR gets no credentials, but with --expose. A program has them, and may change images
and end pods, by the connection that it passes with --control-fd: package
tools/cluster/api does so (PUT /images, PUT and DELETE /scopes/NAME, POST /end, GET
/credentials/fixture and /credentials/admin).`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, cancel := context.WithCancel(command.Context())
			defer cancel()
			go func() {
				io.Copy(io.Discard, os.Stdin)
				cancel()
			}()
			options.DataLimit = dataLimit << 20
			if command.Flags().Changed(controlFlag) {
				var err error
				if options.Control, err = api.InheritedControl(control); err != nil {
					return err
				}
			}
			encoder := json.NewEncoder(os.Stdout)
			options.OnEvent = func(event api.Event) {
				if err := encoder.Encode(event); err != nil {
					// The reader of the events is gone, and with it the reason to run.
					cancel()
				}
			}
			return runCluster(ctx, options)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Dir, "dir", "", "the cluster's directory: absolute, short, made if absent, mode 0700 (required)")
	flags.StringVar(&options.ImagesFile, "images", "", "JSON list of images that the node knows from the start")
	flags.BoolVar(&options.Expose, "expose", false, "also serve the API on a port of the loopback, and write DIR/kubeconfig for it, an administrator's")
	flags.IntVar(&control, controlFlag, 0, "descriptor of a connected unix socket, for the program at its other end: the whole control interface, and credentials (package api sets it)")
	addClusterFlags(command, &options, &dataLimit)
	if err := command.MarkFlagRequired("dir"); err != nil {
		panic(err) // the flag is defined three lines above
	}
	return command
}

// addClusterFlags defines what `run` and `up` have in common.
func addClusterFlags(command *cobra.Command, options *boot.Options, dataLimit *int64) {
	flags := command.Flags()
	flags.BoolVar(&options.KeepLogs, "keep-logs", false, "leave logs/ and boot.json behind")
	flags.DurationVar(&options.Deadline, "deadline", api.DefaultDeadline, "give up a boot that takes longer")
	flags.Int64Var(dataLimit, "data-limit", boot.DefaultDataLimit>>20, "size in MiB of each of the two in-memory file systems: the control plane's and the node's")
}

// runCluster is boot.Run until a signal.
func runCluster(ctx context.Context, options boot.Options) error {
	if err := checkVersion(); err != nil {
		options.OnEvent(api.Event{Kind: api.EventFailed, Failure: &api.Failure{Component: "launcher", Message: err.Error()}})
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer stop()
	// A reader of our output that has gone must not kill us before we have
	// cleaned up; a handler, unlike SIG_IGN, is not inherited by the cluster.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	options.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	return boot.Run(ctx, options)
}

// checkVersion fails early and clearly where the kubelet would fail late: it
// parses the version that the linker has to set.
func checkVersion() error {
	if strings.HasPrefix(version.Get().GitVersion, "v0.0.0-") {
		return errors.New("this binary has no Kubernetes version: link it with -X k8s.io/component-base/version.gitVersion=vX.Y.Z, X.Y.Z being that of k8s.io/kubernetes in go.mod")
	}
	return nil
}
