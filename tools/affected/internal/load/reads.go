package load

import (
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

// Anything is among names that code reads if it may read any.
const Anything = "*"

var (
	header = regexp.MustCompile(`^def \w+ \( [^{]*\{`)
	// handed is the context or all attributes of a rule, given to other code.
	handed     = regexp.MustCompile(`\b\w*(?:ctx|context)\w* (?:[^.=]|$)|\. rule (?:[^.]|$)`)
	handedAttr = regexp.MustCompile(`(\w+ call\( )?(?:\w+ \. )+attr (?:[^.]|$)`)
	field      = regexp.MustCompile(`\. (\w+)`)
	asked      = regexp.MustCompile(`\b(?:getattr|hasattr) call\( `)
	// askedFor is what getattr asks for by a variable: each element of a list.
	askedFor   = regexp.MustCompile(`^(?:\w+ \. )*\w+ , (\w+) ,`)
	listed     = regexp.MustCompile(`\bdir call\(`)
	askedBy    = regexp.MustCompile(`^(?:\w+ \. )*\w+ , string literal:"`)
	inList     = `\bfor NAME in [\[(] (?:string literal:"[^"]*" , )*[\])]`
	quotedText = regexp.MustCompile(`string literal:"([^"]*)"`)
)

// reads are the names of attributes that what was walked may read of a target, which are
// known to be read neither by Bazel nor by code that names others.
func (w *walked) reads() []string {
	names := map[string]bool{}
	for _, texts := range w.files {
		for _, t := range texts {
			body := header.ReplaceAllString(t, "")
			if len(w.repos) > 0 && (handed.MatchString(body) || handedAttr.MatchString(body)) || listed.MatchString(body) {
				names[Anything] = true // Other repositories' code isn't seen.
			}
			for _, m := range handedAttr.FindAllStringSubmatch(body, -1) {
				if m[1] != "getattr call( " && m[1] != "hasattr call( " {
					names[Anything] = true
				}
			}
			for _, m := range field.FindAllStringSubmatch(body, -1) {
				names[m[1]] = true
				if m[1] == "disabled_features" {
					names["features"] = true
				}
			}
			for _, at := range asked.FindAllStringIndex(body, -1) {
				rest := body[at[1]:]
				if askedBy.MatchString(rest) {
					continue
				}
				m := askedFor.FindStringSubmatch(rest)
				if m == nil || !regexp.MustCompile(strings.ReplaceAll(inList, "NAME", regexp.QuoteMeta(m[1]))).MatchString(body) || len(assigned(body, m[1])) > 0 {
					names[Anything] = true
				}
			}
			if asked.MatchString(body) {
				for _, m := range quotedText.FindAllStringSubmatch(body, -1) {
					names[m[1]] = true
				}
			}
		}
	}
	return sortedKeys(names)
}

// Reads says that names have one.
func Reads(names []string, name string) bool {
	return slices.Contains(names, name) || slices.Contains(names, Anything)
}

// quiet notes an attribute that enters no action unless code asks for it.
func (p *loading) quiet(t *Target, name string, v starlark.Value) {
	if name != "name" {
		t.Quiet = append(t.Quiet, Part{name, digest(p.loader.text(v))})
	}
}

// queries is an expression of a genquery, or an option, by which it prints what
// attributes say.
var queries = regexp.MustCompile(`\b(?:attr|visible|tests|labels|buildfiles|loadfiles)\b|output`)

// printsFiles is such an expression that prints files of which packages are made.
var printsFiles = regexp.MustCompile(`\b(?:buildfiles|loadfiles)\b`)

// wellKnown are repositories whose rules and macros do with the attributes of all rules
// what Bazel's own do. Those of others may do anything.
var wellKnown = map[string]bool{
	"rules_go": true, "io_bazel_rules_go": true, "gazelle": true, "bazel_gazelle": true, "rules_cc": true, "rules_java": true, "rules_python": true,
	"rules_shell": true, "rules_proto": true, "protobuf": true, "com_google_protobuf": true, "bazel_skylib": true, "bazel_tools": true, "platforms": true,
}

// foreign says that a target is what code makes that is not seen, and not known.
func (t *Target) foreign() bool {
	repo, _, _ := strings.Cut(strings.TrimLeft(t.Symbol, "@"), "//")
	return t.Symbol != "" && !wellKnown[repo]
}

// inherited adds what the package says of all its targets.
func (p *loading) inherited(t *Target) {
	for _, q := range p.quiets {
		if !slices.ContainsFunc(t.Quiet, func(own Part) bool { return own.File == q.File }) {
			t.Quiet = append(t.Quiet, q)
		}
	}
}
