package main

import (
	"context"

	"github.com/spf13/cobra"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/compatibility"
	"k8s.io/component-base/featuregate"
	logs "k8s.io/component-base/logs/api/v1"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	rbac "k8s.io/kubernetes/pkg/registry/rbac/rest"
	scheduling "k8s.io/kubernetes/pkg/registry/scheduling/rest"
)

// hooksOfInit are the start hooks of kube-apiserver that init replaces: each
// waits a second before it looks for the first time, and the server is not
// healthy before they are done.
var hooksOfInit = []string{rbac.PostStartHookName, scheduling.PostStartHookName}

// newAPIServerCommand is kube-apiserver with upstream's flags and servers, less
// hooksOfInit. Upstream's own command has no flag for that.
func newAPIServerCommand() *cobra.Command {
	opts := options.NewServerRunOptions()
	command := &cobra.Command{
		Use:          "kube-apiserver",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			return serveAPI(command.Context(), opts)
		},
	}
	// SIGTERM and SIGINT end it, in order.
	command.SetContext(genericapiserver.SetupSignalContext())
	for _, set := range opts.Flags().FlagSets {
		command.Flags().AddFlagSet(set)
	}
	return command
}

func serveAPI(ctx context.Context, opts *options.ServerRunOptions) error {
	registry := opts.GenericServerRunOptions.ComponentGlobalsRegistry
	if err := registry.Set(); err != nil {
		return err
	}
	// It would warn itself of what it asks itself.
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	features := registry.FeatureGateFor(compatibility.DefaultKubeComponent)
	if err := logs.ValidateAndApply(opts.Logs, features); err != nil {
		return err
	}
	completed, err := opts.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return utilerrors.NewAggregate(errs)
	}
	if features, ok := features.(featuregate.MutableFeatureGate); ok {
		features.AddMetrics()
	}
	registry.AddMetrics()
	if completed.InformerName == nil {
		if completed.InformerName, err = cache.NewInformerName("kube-apiserver"); err != nil {
			return err
		}
	}
	config, err := apiserver.NewConfig(completed)
	if err != nil {
		return err
	}
	config.KubeAPIs.ControlPlane.Generic.DisabledPostStartHooks.Insert(hooksOfInit...)
	complete, err := config.Complete()
	if err != nil {
		return err
	}
	server, err := apiserver.CreateServerChain(complete)
	if err != nil {
		return err
	}
	prepared, err := server.PrepareRun()
	if err != nil {
		return err
	}
	return prepared.Run(ctx)
}
