package generate

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"golang.org/x/tools/go/packages"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"stormgate.internal/gateway/api/v1alpha1"
)

const (
	typesPackage = "stormgate.internal/gateway/api/v1alpha1"
	metaPackage  = "k8s.io/apimachinery/pkg/apis/meta/v1"
	corePackage  = "k8s.io/api/core/v1"

	// driverVariable holds the directory of the sources and makes a process
	// started with it a package driver.
	driverVariable = "STORMGATE_GENERATE_SOURCES"
)

// ServeDriver turns this process into the package driver when CRD started it as
// one, and otherwise returns at once.
//
// The protocol is that of golang.org/x/tools/go/packages: the answer goes to
// standard output as a packages.DriverResponse.
func ServeDriver() {
	dir := os.Getenv(driverVariable)
	if dir == "" {
		return
	}
	if err := json.NewEncoder(os.Stdout).Encode(describe(dir)); err != nil {
		fmt.Fprintln(os.Stderr, "package driver: write the answer:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func describe(dir string) packages.DriverResponse {
	foreign := func(path, name string) *packages.Package {
		file := filepath.Join(dir, name+".go")
		return &packages.Package{ID: path, Name: "v1", PkgPath: path, GoFiles: []string{file}, CompiledGoFiles: []string{file}}
	}
	meta, core := foreign(metaPackage, "meta"), foreign(corePackage, "core")
	types := &packages.Package{
		ID: typesPackage, Name: "v1alpha1", PkgPath: typesPackage,
		Imports: map[string]*packages.Package{metaPackage: {ID: metaPackage}, corePackage: {ID: corePackage}},
	}
	for _, name := range typeFiles() {
		types.GoFiles = append(types.GoFiles, filepath.Join(dir, name))
	}
	types.CompiledGoFiles = types.GoFiles
	return packages.DriverResponse{
		Compiler: "gc", Arch: "amd64",
		Roots:    []string{typesPackage},
		Packages: []*packages.Package{types, meta, core},
	}
}

// driverConfig writes the sources to a temporary directory, which the returned
// function removes, and returns the loader's settings.
func driverConfig() (*packages.Config, func(), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp("", "generate")
	if err != nil {
		return nil, nil, fmt.Errorf("make a directory for the sources: %w", err)
	}
	cleanup := func() { _ = os.RemoveAll(dir) }
	sources := map[string][]byte{
		"meta.go": foreignSource(metaPackage, "", metav1.TypeMeta{}, metav1.ListMeta{}, metav1.ObjectMeta{}, metav1.Time{}, metav1.Duration{}),
		"core.go": foreignSource(corePackage, "// +structType=atomic\n", corev1.ObjectReference{}),
	}
	for _, name := range typeFiles() {
		sources[name], err = fs.ReadFile(v1alpha1.Source, name)
		if err != nil {
			cleanup()
			return nil, nil, fmt.Errorf("read embedded source %s: %w", name, err)
		}
	}
	for name, source := range sources {
		if err := os.WriteFile(filepath.Join(dir, name), source, 0o600); err != nil {
			cleanup()
			return nil, nil, fmt.Errorf("write source %s: %w", name, err)
		}
	}
	return &packages.Config{
		Dir: dir,
		Env: append(os.Environ(), "GOPACKAGESDRIVER="+self, driverVariable+"="+dir),
	}, cleanup, nil
}

func typeFiles() []string {
	entries, err := fs.ReadDir(v1alpha1.Source, ".")
	if err != nil {
		panic(err) // an embedded directory is always readable
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// foreignSource renders declarations of the given types from the types as they
// are linked in here, with the documentation that they carry for OpenAPI. Fields
// of types that JSON does not show as strings, booleans or integers are left out:
// the types which have such fields (ObjectMeta, Time, Duration) are known to
// controller-tools by name.
func foreignSource(path, marker string, values ...any) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "// Package v1 stands for %s.\npackage v1\n", path)
	for _, value := range values {
		t := reflect.TypeOf(value)
		docs := map[string]string{}
		if documented, ok := value.(interface{ SwaggerDoc() map[string]string }); ok {
			docs = documented.SwaggerDoc()
		}
		fmt.Fprintf(&b, "\n// %s\n%stype %s struct {\n", oneLine(docs[""]), marker, t.Name())
		for _, f := range reflect.VisibleFields(t) {
			kind, ok := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "bool", reflect.Int64: "int64"}[f.Type.Kind()]
			tag, hasTag := f.Tag.Lookup("json")
			if !ok || !hasTag || len(f.Index) > 1 {
				continue
			}
			name, _, _ := strings.Cut(tag, ",")
			fmt.Fprintf(&b, "\t// %s\n\t%s %s `json:%q`\n", oneLine(docs[name]), f.Name, kind, tag)
		}
		b.WriteString("}\n")
	}
	return []byte(b.String())
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
