// Command generate writes what is generated from the types of
// gateway/api/v1alpha1. Run it at the top of the checkout.
package main

import (
	"fmt"
	"os"

	"stormgate.internal/gateway/api/generate"
)

func main() {
	generate.ServeDriver()
	for _, file := range []struct {
		path  string
		bytes func() ([]byte, error)
	}{
		{"gateway/api/v1alpha1/zz_generated.deepcopy.go", generate.DeepCopy},
		{"gateway/deploy/base/crd.yaml", generate.CRD},
	} {
		content, err := file.bytes()
		if err == nil {
			err = os.WriteFile(file.path, content, 0o644)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "generate %s: %v\n", file.path, err)
			os.Exit(1)
		}
	}
}
