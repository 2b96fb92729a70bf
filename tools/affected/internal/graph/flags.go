package graph

import (
	"slices"
	"strings"

	"stormgate.internal/tools/affected/internal/bazelrc"
	"stormgate.internal/tools/affected/internal/load"
)

// settingDefault is the attribute of a build setting that has its default.
const settingDefault = "build_setting_default"

// narrowDefaults leaves of a flag's default only which of the values it is that config_settings
// ask for, if on both sides they alone have to do with the flag: whatever else it is, none
// of them is met.
func narrowDefaults(base, head *builder) {
	var was, is map[string][]user
	for _, name := range sorted(head.side.targets) {
		t, old := head.side.targets[name], base.side.targets[name]
		if old == nil || !t.Single || !old.Single || given(t) == given(old) {
			continue
		}
		if was == nil {
			was, is = base.users(), head.users()
		}
		askedOld, ok := base.askedFor(name, was)
		asked, ok2 := head.askedFor(name, is)
		if ok && ok2 {
			base.narrow(name, askedOld)
			head.narrow(name, asked)
		}
	}
}

// given is the digest of a flag's default.
func given(t *load.Target) string {
	for _, a := range t.Attributes {
		if a.Name == settingDefault {
			return a.Digest
		}
	}
	return ""
}

// askedFor are the values of a flag for which config_settings ask. It fails if anything else
// may know the flag's value, or set it.
func (b *builder) askedFor(flag string, users map[string][]user) ([]string, bool) {
	c := b.side.classes[b.side.targets[flag].Class]
	if c == nil || load.Reads(c.Reads, "build_setting_value") || load.Reads(c.Reads, settingDefault) || load.Reads(b.asked, settingDefault) || b.isSet(flag) ||
		slices.ContainsFunc(c.Refs, func(r load.Ref) bool { return strings.HasPrefix(r.Label, "@") && !strings.Contains(r.Label, "//") }) {
		return nil, false
	}
	var asked []string
	for _, u := range slices.Concat(users[flag], users[shapeOf+flag]) {
		t := b.side.targets[Whole(u.name)]
		if b.graph.Nodes[u.name].Kind != "target" || t == nil || t.Kind != "config_setting" || t.Class != "" || t.Symbol != "" || u.edge.Why != "flag_values" {
			return nil, false
		}
		i := slices.IndexFunc(t.Values, func(p load.Part) bool { return p.File == flag })
		if i < 0 {
			return nil, false
		}
		asked = append(asked, t.Values[i].Digest)
	}
	return asked, true
}

// isSet says that options or platforms may set a flag, or that a query may print it.
func (b *builder) isSet(flag string) bool {
	for _, o := range b.side.RC {
		if o.Name == "platform_mappings" {
			return true
		}
		if !bazelrc.IsSetting(o.Name) {
			continue
		}
		label, err := load.ParseMapped(o.Name, b.side.Workspace.Repos[""].Mapping)
		if err != nil || slices.Contains(b.side.Settings(label.String()), flag) {
			return true
		}
	}
	if _, ok := b.side.Workspace.Snapshot.Lookup("platform_mappings"); ok {
		return true
	}
	for _, t := range b.side.targets {
		if t.Asks {
			return true // It may print the default.
		}
		if t.Kind == "platform" && slices.ContainsFunc(t.Attributes, func(a load.Attribute) bool { return a.Name == "flags" }) {
			return true
		}
	}
	return false
}

// narrow does so for a flag.
func (b *builder) narrow(flag string, asked []string) {
	counts := "none that is asked for"
	if value := given(b.side.targets[flag]); slices.Contains(asked, value) {
		counts = value
	}
	for _, name := range []string{flag, shapeOf + flag} { // They have the same parts.
		n := b.graph.Nodes[name]
		if n == nil {
			continue
		}
		n.Parts[settingDefault] = counts
		var parts []string
		for _, k := range sorted(n.Parts) {
			parts = append(parts, k, n.Parts[k])
		}
		n.Digest = digest(parts...)
	}
}
