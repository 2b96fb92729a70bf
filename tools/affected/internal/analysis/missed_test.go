package analysis

import (
	"maps"
	"strings"
	"testing"
)

// onWorkspace is a small workspace with further files.
func onWorkspace(extra map[string]string) map[string]string {
	files := map[string]string{"MODULE.bazel": "module(name = \"small\", version = \"1\")\n", ".bazelrc": "", "t.sh": "#!/bin/sh\n"}
	maps.Copy(files, extra)
	return files
}

// try says which tests an edit affects.
func try(t *testing.T, name string, base map[string]string, want string, edits ...edit) {
	t.Helper()
	t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
		head := maps.Clone(base)
		both(edits...)(head)
		answer := compare(t, base, head, Options{})
		var labels []string
		for _, test := range answer.Tests {
			labels = append(labels, test.Label)
		}
		if got := strings.Join(labels, " "); got != want {
			t.Errorf("affects %q, want %q", got, want)
			for _, test := range answer.Tests {
				t.Log(test.Reason)
			}
			for _, w := range answer.Widened {
				t.Log("widened:", w)
			}
		}
	})
}

// echoes is a rule that depends on FLAGS, echoed a target of it and a test.
const (
	echoes = `
Info = provider()
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run_shell(outputs = [out], inputs = ctx.files.deps, command = "echo %s > %s" % (FLAGS, out.path))
    return [DefaultInfo(files = depset([out]))]
r = rule(implementation = _impl, attrs = {"deps": attr.label_list(allow_files = True)})
`
	echoed = "load(\":d.bzl\", \"r\")\nr(name = \"r\", deps = [])\nsh_test(name = \"x_test\", srcs = [\"t.sh\"], data = [\":r\"])\n"
)

// TestEffects: what the top of a .bzl file does to its values counts, however it does it.
func TestEffects(t *testing.T) {
	const append2 = "FLAGS = []\nFLAGS.append(\"a\")\nFLAGS.append(\"b\")\n"
	const a, x = "FLAGS.append(\"a\")\n", "//:x_test"
	files := func(code string) map[string]string {
		return onWorkspace(map[string]string{"BUILD": echoed, "d.bzl": code + echoes})
	}
	registered := files("FLAGS = []\ndef reg(x):\n    FLAGS.append(x)\nreg(\"a\")\nreg(\"b\")\n")
	try(t, "registered by a function", registered, x, sub("d.bzl", `reg("b")`, `reg("c")`))
	try(t, "order of effects", files(append2), x, sub("d.bzl", a+"FLAGS.append(\"b\")\n", "FLAGS.append(\"b\")\n"+a))
	try(t, "an effect twice", files(append2), x, sub("d.bzl", a, a+a))
	try(t, "an effect by another name", files(append2), x, sub("d.bzl", a, "M = FLAGS\nM.append(\"z\")\n"+a))
	try(t, "an effect by another name in place", files("FLAGS = [1]\nM = FLAGS\n"), x, sub("d.bzl", "M = FLAGS\n", "M = FLAGS\nM += [2]\n"))
	try(t, "an effect in a comprehension", files("FLAGS = []\nM = FLAGS\n"), x, sub("d.bzl", "M = FLAGS\n", "M = [FLAGS.append(i) for i in [1]]\n"))
	loaded := files("load(\":a.bzl\", \"reg\")\nFLAGS = []\n_X = reg(FLAGS)\n")
	loaded["a.bzl"] = "def reg(l):\n    l.append(1)\n    return 1\n"
	try(t, "an effect of an assignment", loaded, x, sub("a.bzl", "l.append(1)", "l.append(2)"))
	try(t, "a comment beside effects", files(append2), "", sub("d.bzl", a, "# More.\n"+a))
	try(t, "another name without effects", files("FLAGS = [\"a\"]\nOTHER = struct(x = 1)\n"), "", sub("d.bzl", "x = 1", "x = 2"))
}

// TestConstantsSwap: which of two constants of one name a function means counts, not only
// that both are there.
func TestConstantsSwap(t *testing.T) {
	const x = "//:x_test"
	transitions := onWorkspace(map[string]string{"BUILD": echoed,
		"a.bzl": "V = \"1\"\ndef impl(ctx):\n    o = ctx.actions.declare_file(\"o\")\n    ctx.actions.run_shell(outputs = [o], command = V)\n    return [DefaultInfo(files = depset([o]))]\n",
		"b.bzl": "V = \"2\"\ndef tr(settings, attr):\n    return {\"//command_line_option:cpu\": V}\n",
		"d.bzl": "load(\":a.bzl\", \"impl\")\nload(\":b.bzl\", \"tr\")\nr = rule(implementation = impl, attrs = {\"deps\": attr.label_list()}, cfg = transition(implementation = tr, inputs = [], outputs = [\"//command_line_option:cpu\"]))\n"})
	try(t, "constants of two roots swap files", transitions, x, sub("a.bzl", `"1"`, `"2"`), sub("b.bzl", `"2"`, `"1"`))
	called := onWorkspace(map[string]string{"BUILD": echoed,
		"a.bzl": "V = \"1\"\ndef one():\n    return V + \"x\"\n", "b.bzl": "V = \"2\"\ndef two():\n    return \"y\" + V\n",
		"d.bzl": "load(\":a.bzl\", \"one\")\nload(\":b.bzl\", \"two\")\ndef _f():\n    return [one(), two()]\nFLAGS = _f\n" + echoes})
	try(t, "constants of two functions swap files", called, x, sub("a.bzl", `"1"`, `"2"`), sub("b.bzl", `"2"`, `"1"`))
	parts := onWorkspace(map[string]string{"BUILD": echoed,
		"a.bzl": "V = \"1\"\ndef one(ctx):\n    return V + \"x\"\n", "b.bzl": "V = \"2\"\ndef two(ctx):\n    return \"y\" + V\n",
		"d.bzl": "load(\":a.bzl\", \"one\")\nload(\":b.bzl\", \"two\")\nFS = [one, two]\ndef _f(g, h):\n    return lambda x: g(x) + h(x)\nFLAGS = [_f(one, two)]\n" + echoes})
	try(t, "constants of captured functions swap files", parts, x, sub("a.bzl", `"1"`, `"2"`), sub("b.bzl", `"2"`, `"1"`))
}
