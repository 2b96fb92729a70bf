package load

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Bazel refuses a whole package for what is wrong with one target, or with its syntax. Only
// what is wrong for certain counts.

// refuseSyntax notes what a BUILD file may not have.
func (p *loading) refuseSyntax(f *syntax.File) {
	for _, s := range f.Stmts {
		switch s.(type) {
		case *syntax.DefStmt:
			p.refuse("a BUILD file with a function")
		case *syntax.IfStmt:
			p.refuse("a BUILD file with a condition")
		case *syntax.ForStmt, *syntax.WhileStmt:
			p.refuse("a BUILD file with a loop")
		}
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.LambdaExpr:
			p.refuse("a BUILD file with a function")
		case *syntax.CallExpr:
			for _, a := range n.Args {
				if u, ok := a.(*syntax.UnaryExpr); ok && (u.Op == syntax.STAR || u.Op == syntax.STARSTAR) {
					p.refuse("a BUILD file with arguments that a list or a dictionary has")
				}
			}
		}
		return true
	})
}

// builtinName is the name of what Bazel gives to .bzl files, beside what is evaluated here.
// Some of it isn't in each version.
var builtinName = regexp.MustCompile(`^(?:_builtins|\w*Info|\w*Provider|\w*_common|\w*_common_do_not_use|\w*_transition|\w*_aspect|\w*_internal|apple\w*|cc\w*|java\w*|py\w*|proto\w*|objc\w*|android\w*|swift\w*|config|configuration_field|native|materializer_rule|repository_rule|module_extension|tag_class|exports?|existing_rules?|rule|aspect|macro|provider|attr|struct|depset|select|Label|json|proto|set|subrule|exec_group|exec_transition|analysis_test_transition|testing|visibility|workspace|environment_group|licenses|package\w*|glob|coverage\w*|platform\w*|toolchain\w*|debug\w*|bazel\w*|internal\w*)$`)

// noName is an error for a name that Bazel doesn't know, in any part of a file.
func noName(file Label, name string) string { return fmt.Sprintf("%s: %s is not defined", file, name) }

// indentedByTabs says so of a file, which Bazel refuses.
func indentedByTabs(f *syntax.File, content []byte) bool {
	if !bytes.Contains(content, []byte("\t")) {
		return false
	}
	lines := bytes.Split(content, []byte("\n"))
	found := false
	syntax.Walk(f, func(n syntax.Node) bool {
		s, ok := n.(syntax.Stmt)
		if !ok {
			return true
		}
		if start, _ := s.Span(); start.Line > 0 && int(start.Line) <= len(lines) {
			line := lines[start.Line-1]
			indentation := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
			found = found || bytes.Contains(indentation, []byte("\t"))
		}
		return true
	})
	return found
}

// invalidSyntax says what a .bzl file may not have at its top.
func invalidSyntax(file Label, f *syntax.File) []string {
	var refused []string
	bound := map[string]bool{}
	bind := func(name string) {
		if bound[name] {
			refused = append(refused, fmt.Sprintf("%s binds %s twice", file, name))
		}
		bound[name] = true
	}
	var target func(e syntax.Expr)
	target = func(e syntax.Expr) {
		switch e := e.(type) {
		case *syntax.Ident:
			bind(e.Name)
		case *syntax.ParenExpr:
			target(e.X)
		case *syntax.TupleExpr:
			for _, x := range e.List {
				target(x)
			}
		case *syntax.ListExpr:
			for _, x := range e.List {
				target(x)
			}
		}
	}
	begun := false
	for _, s := range f.Stmts {
		if _, load := s.(*syntax.LoadStmt); load && begun {
			refused = append(refused, file.String()+" loads after other statements")
		} else if !load && !documentation(s) {
			begun = true
		}
		switch s := s.(type) {
		case *syntax.DefStmt:
			bind(s.Name.Name)
		case *syntax.AssignStmt:
			if s.Op == syntax.EQ {
				target(s.LHS)
			}
		case *syntax.LoadStmt:
			for _, name := range s.To {
				bind(name.Name)
			}
		case *syntax.IfStmt:
			refused = append(refused, file.String()+" has a condition at its top")
		case *syntax.ForStmt, *syntax.WhileStmt:
			refused = append(refused, file.String()+" has a loop at its top")
		}
	}
	return refused
}

// ofEveryRule are attributes that each rule has, ofEveryTest those that each test has.
var (
	ofEveryRule = words("name visibility testonly deprecation tags features licenses distribs compatible_with restricted_to applicable_licenses package_metadata target_compatible_with exec_compatible_with exec_group_compatible_with exec_properties toolchains generator_name generator_function generator_location expect_failure transitive_configs aspect_hints output_licenses")
	ofEveryTest = words("args env env_inherit size timeout flaky shard_count local")
	// ofRule are those of rules of Bazel that are known here, mandatory those that must be given.
	ofRule = map[string]map[string]bool{
		"alias": words("actual"), "filegroup": words("srcs data path output_group"), "test_suite": words("tests"),
		"genrule":    words("srcs outs cmd cmd_bash cmd_bat cmd_ps tools exec_tools executable local message output_to_bindir stamp heuristic_label_expansion"),
		"sh_library": words("srcs deps data"), "sh_binary": words("srcs deps data args env use_bash_launcher"), "sh_test": words("srcs deps data use_bash_launcher"),
	}
	mandatory = map[string][]string{"alias": {"actual"}, "genrule": {"outs"}, "sh_test": {"srcs"}, "sh_binary": {"srcs"}}
	sizes     = map[string]map[string]bool{"size": words("small medium large enormous"), "timeout": words("short moderate long eternal")}
	// kindOf are the types of the attributes of these rules and tests.
	kindOf = map[string]string{
		"srcs": "label_list", "deps": "label_list", "data": "label_list", "tools": "label_list", "exec_tools": "label_list", "tests": "label_list",
		"target_compatible_with": "label_list", "exec_compatible_with": "label_list", "toolchains": "label_list", "actual": "label",
		"args": "string_list", "tags": "string_list", "features": "string_list", "env_inherit": "string_list", "outs": "output_list",
		"env": "string_dict", "exec_properties": "string_dict", "cmd": "string", "size": "string", "timeout": "string", "message": "string",
	}
	// fixed attributes can't be chosen by a select.
	fixed = words("name visibility tags testonly deprecation size timeout flaky local licenses distribs compatible_with restricted_to exec_compatible_with")
	// ofAttributes are arguments of attr's functions, ofRules those of rule().
	ofAttributes = words("default doc mandatory values allow_empty allow_files allow_single_file allow_rules executable cfg providers aspects flags configurable skip_validations for_dependency_resolution materializer single_file non_empty allow_output_label")
	ofRules      = words("implementation test attrs outputs executable output_to_genfiles fragments host_fragments _skylark_testable skylark_testable toolchains incompatible_use_toolchain_transition doc provides dependency_resolution_rule exec_compatible_with analysis_test build_setting cfg exec_groups initializer parent extendable subrules name")
	// listed attributes hold lists in every rule of Bazel.
	listedOfBazel = words("srcs deps data tools tests outs hdrs tags features target_compatible_with visibility")
)

func words(text string) map[string]bool {
	all := map[string]bool{}
	for _, w := range strings.Fields(text) {
		all[w] = true
	}
	return all
}

// knownOfBazel are the names of Bazel's own rules.
var knownOfBazel = regexp.MustCompile(`^(?:(?:cc|java|py|sh|android|objc|apple|proto|aar|xcode|available|fdo|propeller|memprof|ios|config|constraint|toolchain|platform|label|environment|j2objc|xctoolrunner|starlark|test|extra|action|bind|genrule|genquery|filegroup|alias|licenses)(?:_\w+)?|propeller\w*|\w*_proto_library)$`)

// OfBazel says that a rule of Bazel may have a name.
func OfBazel(kind string) bool { return knownOfBazel.MatchString(kind) }

// refuseNative notes what is wrong with a call of a rule of Bazel.
func (p *loading) refuseNative(kind string, kwargs []starlark.Tuple) {
	if !knownOfBazel.MatchString(kind) {
		p.refuse("no rule is called %s", kind)
	}
	p.refuseName(kind, kwargs)
	given := map[string]bool{}
	own, known := ofRule[kind]
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		if kv[1] == starlark.None {
			continue
		}
		given[name] = true
		if _, chosen := kv[1].(*selection); chosen && (fixed[name] || kind == "test_suite" && name == "tests" || kind == "genrule" && name == "outs") {
			p.refuse("%s of %s is chosen by a select", name, p.name(kwargs))
		}
		if known && !own[name] && !ofEveryRule[name] && !(strings.HasSuffix(kind, "_test") && ofEveryTest[name]) {
			p.refuse("%s has no attribute %s", kind, name)
		}
		if known && kindOf[name] != "" && mismatch(kindOf[name], kv[1]) {
			p.refuse("%s of %s is no %s", name, p.name(kwargs), kindOf[name])
		}
		if text, ok := kv[1].(starlark.String); ok && marked(string(text)) == nil {
			if listedOfBazel[name] {
				p.refuse("%s of %s is a text, no list", name, p.name(kwargs))
			}
			if allowed, ok := sizes[name]; ok && strings.HasSuffix(kind, "_test") && !allowed[string(text)] {
				p.refuse("%s of %s is %q", name, p.name(kwargs), string(text))
			}
		}
	}
	for _, name := range mandatory[kind] {
		if !given[name] {
			p.refuse("%s of %s is missing", name, p.name(kwargs))
		}
	}
}

// invalidName is a name that no target may have.
var invalidName = regexp.MustCompile(`^$|^/|/$|//|[:\\]|(?:^|/)\.{1,2}(?:/|$)`)

// refuseName notes a name that is missing or that none may have.
func (p *loading) refuseName(kind string, kwargs []starlark.Tuple) {
	for _, kv := range kwargs {
		if kv[0] != starlark.String("name") {
			continue
		}
		if hasUnknown(kv[1]) {
			return
		}
		if text, ok := kv[1].(starlark.String); ok {
			if invalidName.MatchString(string(text)) && text != "." {
				p.refuse("%s has the name %q", kind, string(text))
			}
		} else if _, ok := kv[1].(labelValue); !ok {
			p.refuse("the name of %s is no text", kind)
		}
		return
	}
	p.refuse("%s without a name", kind)
}

// refuseRule notes what is wrong with a call of a rule of the workspace.
func (p *loading) refuseRule(c *class, kwargs []starlark.Tuple) {
	p.refuseName(c.name, kwargs)
	if c.unsure {
		return
	}
	given := map[string]bool{}
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		if kv[1] == starlark.None {
			continue
		}
		given[name] = true
		a, ok := c.attributes[name]
		_, chosen := kv[1].(*selection)
		switch {
		case chosen && (fixed[name] && !ok || ok && strings.HasPrefix(a.kind, "output")):
			p.refuse("%s of %s is chosen by a select", name, p.name(kwargs))
		case !ok && c.initializer == nil && !ofEveryRule[name] && !ofEveryTest[name] && name != "stamp" && name != "data":
			p.refuse("%s has no attribute %s", c.name, name)
		case ok && mismatch(a.kind, kv[1]):
			p.refuse("%s of %s is no %s", name, p.name(kwargs), a.kind)
		case ok && a.excludes(kv[1]):
			p.refuse("%s of %s is a value that it does not take", name, p.name(kwargs))
		}
	}
	for _, name := range sortedKeys(c.attributes) {
		if c.attributes[name].mandatory && !given[name] {
			p.refuse("%s of %s is missing", name, p.name(kwargs))
		}
	}
}

// mismatch says that an attribute of a kind can't have a value, by their types, those of its
// elements, and what a label may be.
func mismatch(kind string, v starlark.Value) bool {
	if hasUnknown(v) {
		return false
	}
	if s, ok := v.(*selection); ok {
		return slices.ContainsFunc(s.items, func(item starlark.Value) bool {
			b, ok := item.(*branches)
			return !ok && mismatch(kind, item) || ok && slices.ContainsFunc(b.Items(), func(kv starlark.Tuple) bool {
				condition, text := kv[0].(starlark.String)
				return text && noLabel(string(condition)) || kv[1] != starlark.None && mismatch(kind, kv[1])
			})
		})
	}
	text, isText := v.(starlark.String)
	_, isList := v.(*starlark.List)
	dict, isDict := v.(*starlark.Dict)
	_, isInt := v.(starlark.Int)
	_, isBool := v.(starlark.Bool)
	_, isLabel := v.(labelValue)
	_, isTuple := v.(starlark.Tuple)
	element, many := strings.CutSuffix(kind, "_list")
	switch {
	case kind == "string":
		return isList || isDict || isInt || isBool || isLabel || v == starlark.None
	case kind == "int":
		return isList || isDict || isText || isLabel || v == starlark.None
	case kind == "bool":
		return isList || isDict || isText || isLabel || v == starlark.None
	case kind == "label":
		return isList || isDict || isInt || isBool || v == starlark.None || isText && noLabel(string(text))
	case kind == "output":
		return isList || isDict || isInt || isBool || v == starlark.None
	case many:
		if isList || isTuple {
			for x := range starlark.Elements(v.(starlark.Iterable)) {
				if mismatch(element, x) {
					return true
				}
			}
			return false
		}
		return isText || isInt || isBool || isDict || isLabel
	case strings.HasSuffix(kind, "_dict"):
		if !isDict {
			return isText || isInt || isBool || isList || isTuple || isLabel
		}
		keys, values := dictKinds(kind)
		return slices.ContainsFunc(dict.Items(), func(kv starlark.Tuple) bool {
			return keys != "" && mismatch(keys, kv[0]) || values != "" && mismatch(values, kv[1])
		})
	}
	return false
}

// dictKinds are the kinds of the keys and values of an attribute that is a dictionary.
func dictKinds(kind string) (keys, values string) {
	switch kind {
	case "string_dict":
		return "string", "string"
	case "string_list_dict":
		return "string", "string_list"
	case "label_keyed_string_dict":
		return "label", "string"
	case "string_keyed_label_dict":
		return "string", "label"
	}
	return "", ""
}

// onlyDots is a part of a package's name that none may have.
var onlyDots = regexp.MustCompile(`(?:^|/)\.+(?:/|$)`)

// noLabel says that a text can't be a label.
func noLabel(text string) bool {
	rest := text
	if strings.HasPrefix(rest, "@") {
		repo, after, ok := strings.Cut(strings.TrimLeft(rest, "@"), "//")
		if !ok {
			return strings.ContainsAny(repo, "/:")
		}
		rest = "//" + after
	}
	after, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return text != "." && invalidName.MatchString(strings.TrimPrefix(text, ":"))
	}
	pkg, name, named := strings.Cut(after, ":")
	return strings.HasPrefix(pkg, "/") || strings.HasSuffix(pkg, "/") || strings.Contains(pkg, "//") || onlyDots.MatchString(pkg) ||
		named && name != "." && invalidName.MatchString(name)
}

// excludes says that an attribute takes some texts only, of which this is none.
func (a *attribute) excludes(v starlark.Value) bool {
	text, ok := v.(starlark.String)
	if !ok || marked(string(text)) != nil {
		return false
	}
	return slices.ContainsFunc(a.limits, func(limit string) bool {
		values, ok := strings.CutPrefix(limit, "values=")
		return ok && strings.HasPrefix(values, "[") && !strings.Contains(values, strconv.Quote(string(text)))
	})
}

// refuseOutputs notes files that two targets make, or that are named as another target is.
func (p *loading) refuseOutputs() {
	targets, makers := map[string]int{}, map[string]int{}
	for i := range p.out.Targets {
		t := &p.out.Targets[i]
		if t.Symbol == "" && t.Name != "" {
			targets[t.Name] = i
		}
	}
	for i := range p.out.Targets {
		t := &p.out.Targets[i]
		if t.Symbol != "" {
			continue
		}
		for _, a := range t.Attributes {
			for _, o := range a.Outputs {
				if other, ok := makers[o]; ok && other != i {
					p.refuse("%s is made by %s and by %s", o, p.out.Targets[other].Name, t.Name)
				}
				makers[o] = i
				if other, ok := targets[o]; ok && other != i {
					p.refuse("%s, which %s makes, is a target", o, t.Name)
				}
			}
		}
	}
}
