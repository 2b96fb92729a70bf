package ruledoc

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// field appends a field of a message in protobuf's wire format: a string, a message
// made by join, or a number.
func field[T string | []byte | int](number protowire.Number, value T) []byte {
	switch value := any(value).(type) {
	case string:
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value)
	case []byte:
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
	case int:
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), uint64(value))
	}
	return nil
}

func join(fields ...[]byte) []byte { return slices.Concat(fields...) }

// extracted is a module as Bazel writes it, numbers from stardoc_output.proto, with
// fields that the reference does not show (rule's test, attribute's type).
var extracted = join(
	field(1, join(
		field(1, "cluster"), field(2, "A control plane.\n\nWith a node."), field(6, 1),
		field(3, join(field(1, "name"), field(2, "A unique name for this target."), field(3, 1), field(4, 1))),
		field(3, join(field(1, "slots"), field(2, "How many:\n1|64."), field(3, 2), field(6, "4"))),
		field(3, join(field(1, "binary"), field(3, 3), field(4, 1))),
	)),
	field(2, join(field(1, "ClusterInfo"), field(2, "A cluster."), field(3, join(field(1, "slots"), field(2, "int."))), field(3, field(1, "bare")))),
	field(3, join(
		field(1, "lease_env"), field(3, "Variables."), field(4, field(1, "dict of string.")),
		field(2, join(field(1, "environment"), field(2, "label."), field(4, 1), field(5, 1))),
	)),
	field(3, join(
		field(1, "e2e_test"), field(3, "A scenario."),
		field(2, join(field(1, "name"), field(2, "target name."), field(4, 1), field(5, 1))),
		field(2, join(field(1, "tags"), field(2, "tags."), field(3, "[]"), field(5, 1))),
		field(2, join(field(1, "kwargs"), field(2, "the rest."), field(5, 5))),
		field(2, join(field(1, "seven"), field(2, "the rest, of Bazel 7."))),
	)),
	field(5, "Rules."),
	field(6, "//tools/fixture:defs.bzl"),
	field(7, join(field(1, "host_program"), field(2, "Programs."), field(3, join(
		field(1, "capture"), field(2, "Captures."), field(3, join(field(1, "name"), field(2, "Name."), field(4, 1))), field(3, join(field(1, "urls"), field(6, "[]"))),
	)))),
)

const reference = `# Rule reference

Generated from the docstrings by ` + "`bazel run //docs:rules`" + `: edit those, not this file.

## ` + "`//tools/fixture:defs.bzl`" + `

Rules.

### cluster

Rule. A control plane.

With a node.

| Attribute | Default | What it is |
|---|---|---|
| ` + "`slots` | `4`" + ` | How many: 1\|64. |
| ` + "`binary`" + ` | required |  |

### lease_env

Function. Variables.

| Argument | Default | What it is |
|---|---|---|
| ` + "`environment`" + ` | required | label. |

Returns dict of string.

### e2e_test

Macro. A scenario.

| Argument | Default | What it is |
|---|---|---|
| ` + "`name`" + ` | required | target name. |
| ` + "`tags` | `[]`" + ` | tags. |
| ` + "`**kwargs`" + ` |  | the rest. |
| ` + "`**seven`" + ` |  | the rest, of Bazel 7. |

### host_program

Module extension. Programs.

### host_program.capture

Tag. Captures.

| Attribute | Default | What it is |
|---|---|---|
| ` + "`name`" + ` | required | Name. |
| ` + "`urls` | `[]`" + ` |  |

### ClusterInfo

Provider. A cluster.

| Field | What it is |
|---|---|
| ` + "`slots`" + ` | int. |
| ` + "`bare`" + ` |  |
`

func TestMarkdown(t *testing.T) {
	m, err := Parse(extracted)
	if err != nil {
		t.Fatal(err)
	}
	if got := Markdown("bazel run //docs:rules", []*Module{m}); got != reference {
		t.Errorf("got\n%s\nwant\n%s", got, reference)
	}
}

// Nothing public goes undocumented.
func TestMissing(t *testing.T) {
	m, err := Parse(extracted)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"//tools/fixture:defs.bzl: rule cluster, attribute binary",
		"//tools/fixture:defs.bzl: tag host_program.capture, attribute urls",
		"//tools/fixture:defs.bzl: provider ClusterInfo, field bare",
	}
	if got := Missing([]*Module{m}); !slices.Equal(got, want) {
		t.Errorf("missing %q, want %q", got, want)
	}
	bare := &Module{
		File:       "//a:b.bzl",
		Rules:      []*Rule{{Name: "r"}},
		Functions:  []*Function{{Name: "f"}, {Name: "m", Parameters: []*Parameter{{Name: "name"}}}},
		Extensions: []*Extension{{Name: "e", Tags: []*Tag{{Name: "t"}}}},
		Providers:  []*Provider{{Name: "P"}},
	}
	want = []string{"the file", "rule r", "function f", "macro m", "macro m, argument name", "module extension e", "tag e.t", "provider P"}
	for i := range want {
		want[i] = "//a:b.bzl: " + want[i]
	}
	if got := Missing([]*Module{bare}); !slices.Equal(got, want) {
		t.Errorf("missing %q, want %q", got, want)
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct {
		data []byte
		want string
	}{
		{nil, "it names no file"},
		{field(5, "Rules."), "it names no file"},
		{extracted[:len(extracted)-1], "parse module info"},
		{field(6, "\xff"), "UTF-8"},
	} {
		if _, err := Parse(test.data); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.data, err, test.want)
		}
	}
}
