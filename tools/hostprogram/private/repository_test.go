// Package hostprogram tests the rule of host_program.capture as Bazel calls it.
package hostprogram

import (
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// builtin is a function of Bazel's that answers with what it is given here.
func builtin(answer func(args starlark.Tuple) starlark.Value) *starlark.Builtin {
	return starlark.NewBuiltin("fake", func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		return answer(args), nil
	})
}

func object(fields starlark.StringDict) *starlarkstruct.Struct {
	return starlarkstruct.FromStringDict(starlarkstruct.Default, fields)
}

// refusal is what the rule says on a machine whose PATH has no program, with Bazel in the
// root folder given.
func refusal(t *testing.T, root string) string {
	t.Helper()
	none := builtin(func(starlark.Tuple) starlark.Value { return starlark.None })
	thread := &starlark.Thread{}
	globals, err := starlark.ExecFileOptions(&syntax.FileOptions{}, thread, "repository.bzl", nil, starlark.StringDict{
		"repository_rule": none,
		"attr":            object(starlark.StringDict{"string": none, "string_list": none}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := object(starlark.StringDict{
		"name": starlark.String("stormgate~~host_program~redis"),
		"attr": object(starlark.StringDict{
			"urls": starlark.NewList(nil), "program": starlark.String("redis-server"), "install": starlark.String("apt-get install redis-server"),
		}),
		"which": none,
		"getenv": builtin(func(args starlark.Tuple) starlark.Value {
			if args[0] == starlark.String("STORMGATE_OFFLINE_ROOT") && root != "" {
				return starlark.String(root)
			}
			return starlark.None
		}),
	})
	_, err = starlark.Call(thread, globals["_host_program_repository_impl"], starlark.Tuple{ctx}, nil)
	if err == nil {
		t.Fatal("it went well")
	}
	return err.Error()
}

// Promise: a program that is missing is looked for where the error says, and the way out works there.
func TestMissingProgram(t *testing.T) {
	for root, test := range map[string]struct{ want, not []string }{
		"":        {[]string{"'redis'", "no redis-server on this machine's PATH", "Install it: apt-get install redis-server", "sha256"}, []string{"root folder"}},
		"/root-1": {[]string{"'redis'", "no redis-server in the root folder", "/root-1", "offline_packages in tools/offline/setup.sh", "sha256"}, []string{"this machine's PATH"}},
	} {
		message := refusal(t, root)
		for _, want := range test.want {
			if !strings.Contains(message, want) {
				t.Errorf("it says %q without %q", message, want)
			}
		}
		for _, not := range test.not {
			if strings.Contains(message, not) {
				t.Errorf("it says %q with %q", message, not)
			}
		}
	}
}
