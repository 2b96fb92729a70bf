// Command kustomize builds one kustomization folder into one YAML file, for the
// Bazel rule kustomization. Unlike the kustomize program it takes no flags and
// reads only the folder it is given.
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kustomize:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want two arguments, FOLDER and OUTPUT, got %d", len(args))
	}
	options := krusty.MakeDefaultOptions()
	// The order is the one that the kustomization asks for, if it asks for any.
	options.Reorder = krusty.ReorderOptionUnspecified
	// In a sandbox every file is a link out of the folder.
	options.LoadRestrictions = types.LoadRestrictionsNone
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), args[0])
	if err != nil {
		return fmt.Errorf("build %s: %w", args[0], err)
	}
	content, err := resources.AsYaml()
	if err != nil {
		return fmt.Errorf("write %s: %w", args[1], err)
	}
	return os.WriteFile(args[1], content, 0o644)
}
