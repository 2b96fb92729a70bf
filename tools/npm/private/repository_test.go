// Package npm tests the rule of npm.package as Bazel calls it.
package npm

import (
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// machine is what the rule meets.
type machine struct {
	environ map[string]string
	// npm is what `npm config get registry` prints; nil: there is no npm.
	npm *string
	// broken: downloads fail.
	broken bool

	urls      []string
	integrity string
}

// fetch calls the rule for a package.
func (m *machine) fetch(t *testing.T, name string) error {
	t.Helper()
	builtin := func(call func(args starlark.Tuple, named map[string]starlark.Value) starlark.Value) *starlark.Builtin {
		return starlark.NewBuiltin("fake", func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			named := map[string]starlark.Value{}
			for _, pair := range kwargs {
				named[string(pair[0].(starlark.String))] = pair[1]
			}
			return call(args, named), nil
		})
	}
	object := func(fields starlark.StringDict) *starlarkstruct.Struct {
		return starlarkstruct.FromStringDict(starlarkstruct.Default, fields)
	}
	none := builtin(func(starlark.Tuple, map[string]starlark.Value) starlark.Value { return starlark.None })
	thread := &starlark.Thread{}
	globals, err := starlark.ExecFileOptions(&syntax.FileOptions{}, thread, "repository.bzl", nil, starlark.StringDict{
		"repository_rule": none, "attr": object(starlark.StringDict{"string": none}),
	})
	if err != nil {
		t.Fatal(err)
	}
	environ := starlark.NewDict(len(m.environ))
	for key, value := range m.environ {
		if err := environ.SetKey(starlark.String(key), starlark.String(value)); err != nil {
			t.Fatal(err)
		}
	}
	ctx := object(starlark.StringDict{
		"name": starlark.String("stormgate~~npm~" + strings.Trim(name, "@")),
		"os":   object(starlark.StringDict{"environ": environ}),
		"attr": object(starlark.StringDict{
			"package": starlark.String(name), "version": starlark.String("1.2.3"), "integrity": starlark.String("sha512-x"),
		}),
		"which": builtin(func(starlark.Tuple, map[string]starlark.Value) starlark.Value {
			if m.npm == nil {
				return starlark.None
			}
			return starlark.String("/bin/npm")
		}),
		"execute": builtin(func(starlark.Tuple, map[string]starlark.Value) starlark.Value {
			return object(starlark.StringDict{"return_code": starlark.MakeInt(0), "stdout": starlark.String(*m.npm), "stderr": starlark.String("")})
		}),
		"download": builtin(func(args starlark.Tuple, named map[string]starlark.Value) starlark.Value {
			urls := args[0].(*starlark.List)
			for i := range urls.Len() {
				m.urls = append(m.urls, string(urls.Index(i).(starlark.String)))
			}
			m.integrity = string(named["integrity"].(starlark.String))
			return object(starlark.StringDict{"success": starlark.Bool(!m.broken)})
		}),
		"extract": none, "delete": none, "file": none,
	})
	_, err = starlark.Call(thread, globals["_npm_package_repository_impl"], starlark.Tuple{ctx}, nil)
	return err
}

// Promise: a package comes from the registry that this machine's npm has, or that the
// variable names, and always with its checksum.
func TestRegistry(t *testing.T) {
	configured := "https://npm.invalid/all/\n"
	for want, m := range map[string]*machine{
		"https://npm.invalid/all/axe/-/axe-1.2.3.tgz":    {npm: &configured},
		"https://variable.invalid/axe/-/axe-1.2.3.tgz":   {npm: &configured, environ: map[string]string{"npm_config_registry": "https://variable.invalid"}},
		"https://upper.invalid/axe/-/axe-1.2.3.tgz":      {environ: map[string]string{"NPM_CONFIG_REGISTRY": "https://upper.invalid/"}},
		"https://npm.invalid/all/@x/axe/-/axe-1.2.3.tgz": {npm: &configured},
	} {
		name := "axe"
		if strings.Contains(want, "@x") {
			name = "@x/axe"
		}
		if err := m.fetch(t, name); err != nil || len(m.urls) != 1 || m.urls[0] != want || m.integrity != "sha512-x" {
			t.Errorf("%v: from %q with %q, want %s", err, m.urls, m.integrity, want)
		}
	}
}

// Promise: where it can't be fetched, that is said with the way out.
func TestRefuses(t *testing.T) {
	nonsense, configured := "undefined\n", "https://npm.invalid/"
	for want, m := range map[string]*machine{
		"nothing says where that is. Install npm": {},
		"`npm config get registry` ended with 0":  {npm: &nonsense},
		"could not be fetched":                    {npm: &configured, broken: true},
	} {
		err := m.fetch(t, "axe")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "npm_config_registry") || !strings.Contains(err.Error(), "'axe'") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
