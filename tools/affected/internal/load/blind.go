package load

import (
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

// A rule that only writes text, such as a list of the names of its dependencies, makes
// the same of them whatever their files contain: in Bazel's analysis no content is known.

var (
	actionsUse = regexp.MustCompile(`\. actions\b`)
	harmlessly = regexp.MustCompile(`\. actions \. (?:declare_file|write) call\(`)
	infoUse    = regexp.MustCompile(`\b(?:DefaultInfo|OutputGroupInfo|RunEnvironmentInfo)\b`)
	ownOutputs = regexp.MustCompile(`\bDefaultInfo call\( (?:(?:files = depset call\( \[ \w+ , \] , \)|executable = \w+) , )+\)`)
	outputName = regexp.MustCompile(`(?:\[ (\w+) , \]|executable = (\w+) ,)`)
	// byName is how code gets at a method without writing it.
	byName = regexp.MustCompile(`\b(?:dir|struct|OutputGroupInfo|RunEnvironmentInfo|outputs|runfiles|super)\b|"actions"`)
	// dynamic is a getattr of something other than a rule's attributes.
	dynamic = regexp.MustCompile(`\bgetattr call\( (?:[^c]|c[^t]|ct[^x]|ctx [^.]|ctx \. [^r]|ctx \. rule [^.]|ctx \. rule \. [^a])`)
)

// validates is what code has that makes validation actions: a name in OutputGroupInfo,
// which may be computed.
var validates = regexp.MustCompile(`_validation\b|\bOutputGroupInfo (?:;|.*\bunary \*\*)|output_group`)

// blind says so of a rule. Its outputs must be its own: declared in the implementation and
// written by it. What it returns in other providers reaches no test that has it as data.
func (l *Loader) blind(c *class, w *walked) bool {
	if c.what != "rule" || c.unsure || c.initializer != nil || !plainValues(c.extra) || len(c.toolchains) > 0 || len(w.repos) > 0 {
		return false
	}
	for _, a := range c.attributes {
		if strings.HasPrefix(a.kind, "output") || len(a.parts) > 0 {
			return false
		}
		for _, aspect := range a.aspects {
			aw := l.walk()
			aw.value(aspect.implementation)
			if len(aw.repos) > 0 || !plainValues(aspect.extra) || len(aspect.toolchains) > 0 || aspect.unsure {
				return false
			}
			for _, texts := range aw.files {
				if slices.ContainsFunc(texts, func(t string) bool {
					return actionsUse.MatchString(t) || byName.MatchString(t) || dynamic.MatchString(t)
				}) {
					return false
				}
			}
		}
	}
	for _, texts := range w.files {
		for _, t := range texts {
			if byName.MatchString(t) || dynamic.MatchString(t) || len(actionsUse.FindAllString(t, -1)) != len(harmlessly.FindAllString(t, -1)) {
				return false
			}
			infos := ownOutputs.FindAllString(t, -1)
			if len(infoUse.FindAllString(t, -1)) != len(infos) {
				return false
			}
			for _, info := range infos {
				for _, m := range outputName.FindAllStringSubmatch(info, -1) {
					name := m[1] + m[2]
					if !strings.Contains(t, " "+name+" = ctx . actions . declare_file call(") || len(assigned(t, name)) != 1 || boundElsewhere(t, name) {
						return false
					}
				}
			}
		}
	}
	return true
}

// plainValues says that values are switches and names: no code, and no transition.
func plainValues(values []starlark.Value) bool {
	for _, v := range values {
		switch v := v.(type) {
		case starlark.Bool, starlark.String, starlark.NoneType:
		case *starlark.List:
			if !plainValues(slices.Collect(starlark.Elements(v))) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func assigned(text, name string) []string {
	return regexp.MustCompile(`\b`+name+` \+?= `).FindAllString(text, -1)
}

// boundElsewhere says that a loop, a comprehension, a parameter, of a lambda too, or an
// assignment to several names binds a name.
func boundElsewhere(text, name string) bool {
	return regexp.MustCompile(`\bfor (?:[(\[] |[)\]] , |\w+ , )*` + name + `\b` +
		`|\bdef \w+ \( (?:[^)]* )?` + name + ` [,=]` +
		`|\blambda\( [^{;]*\b` + name + `\b` +
		`|(?:^|[;{]) [(\[] [^;{}=]*\b` + name + `\b[^;{}=]*[)\]] = `).MatchString(text)
}
