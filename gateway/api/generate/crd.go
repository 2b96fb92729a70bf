// Package generate turns the Go types of gateway/api/v1alpha1 into what is
// committed beside them: the custom resource definition and the deep-copy
// methods. The work is controller-tools'; this package feeds it.
//
// controller-tools loads Go packages through the go command, which neither a
// hermetic test nor a machine without a module cache can offer. So CRD has it
// ask a package driver instead (see driver.go) that knows the embedded sources
// of the types and the few foreign types which they mention.
package generate

import (
	"bytes"
	"fmt"
	"io"

	"golang.org/x/tools/go/packages"
	"sigs.k8s.io/controller-tools/pkg/crd"
	"sigs.k8s.io/controller-tools/pkg/deepcopy"
	"sigs.k8s.io/controller-tools/pkg/genall"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
)

const header = "# Generated from gateway/api/v1alpha1. To change it, edit the types there, then\n" +
	"# go run ./gateway/api/cmd/generate\n"

// CRD returns the custom resource definition as YAML. The program that calls it
// must call ServeDriver first thing in main (or TestMain), since controller-tools
// runs the package driver as a child process, which is this very program.
func CRD() ([]byte, error) {
	cfg, cleanup, err := driverConfig()
	if err != nil {
		return nil, fmt.Errorf("prepare the sources: %w", err)
	}
	defer cleanup()
	omitVersion := true
	out, err := run(cfg, crd.Generator{OmitToolVersion: &omitVersion}, typesPackage)
	if err != nil {
		return nil, fmt.Errorf("generate the custom resource definition: %w", err)
	}
	return append([]byte(header), out...), nil
}

// DeepCopy returns the source of the deep-copy methods. It needs the go command
// and the module cache, and runs in the checkout.
func DeepCopy() ([]byte, error) {
	out, err := run(&packages.Config{}, deepcopy.Generator{}, typesPackage)
	if err != nil {
		return nil, fmt.Errorf("generate the deep-copy methods: %w", err)
	}
	return out, nil
}

func run(cfg *packages.Config, generator genall.Generator, pkg string) ([]byte, error) {
	roots, err := loader.LoadRootsWithConfig(cfg, pkg)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", pkg, err)
	}
	registry := &markers.Registry{}
	if err := generator.RegisterMarkers(registry); err != nil {
		return nil, fmt.Errorf("register markers: %w", err)
	}
	out := &output{}
	ctx := &genall.GenerationContext{
		Collector:  &markers.Collector{Registry: registry},
		Roots:      roots,
		Checker:    &loader.TypeChecker{NodeFilters: []loader.NodeFilter{generator.(genall.NeedsTypeChecking).CheckFilter()}},
		OutputRule: out,
		InputRule:  genall.InputFromFileSystem,
	}
	if err := generator.Generate(ctx); err != nil {
		return nil, err
	}
	for _, root := range roots {
		for _, problem := range root.Errors {
			// Generators load only the imports that they need, so type errors
			// elsewhere in the package are expected; the compiler finds real ones.
			if problem.Kind != packages.TypeError {
				return nil, fmt.Errorf("package %s: %w", root.PkgPath, problem)
			}
		}
	}
	if out.files != 1 {
		return nil, fmt.Errorf("expected one generated file, got %d", out.files)
	}
	return out.Bytes(), nil
}

// output collects what a generator writes.
type output struct {
	bytes.Buffer
	files int
}

// Open is called by generators once for each file.
func (o *output) Open(*loader.Package, string) (io.WriteCloser, error) {
	o.files++
	return o, nil
}

// Close does nothing: the content is in memory.
func (o *output) Close() error { return nil }
