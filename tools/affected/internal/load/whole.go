package load

import (
	"slices"
	"strings"

	"go.starlark.net/syntax"
)

// pure are functions of the language and of Bazel that change none of their arguments.
var pure = map[string]bool{
	"Label": true, "all": true, "any": true, "aspect": true, "bool": true, "configuration_field": true, "depset": true, "dict": true,
	"dir": true, "enumerate": true, "exec_group": true, "fail": true, "float": true, "getattr": true, "hasattr": true, "int": true, "len": true,
	"list": true, "macro": true, "materializer_rule": true, "max": true, "min": true, "module_extension": true, "print": true, "provider": true,
	"range": true, "repository_rule": true, "repr": true, "reversed": true, "rule": true, "select": true, "set": true, "sorted": true,
	"str": true, "struct": true, "subrule": true, "tag_class": true, "transition": true, "tuple": true, "type": true, "visibility": true, "zip": true,
}

// pureSpaces are what has nothing but such functions.
var pureSpaces = map[string]bool{
	"attr": true, "config": true, "config_common": true, "coverage_common": true, "json": true, "platform_common": true, "testing": true,
}

// pureOfSkylib are those of bazel_skylib, spaceOf is before the names that a file has for them.
var pureOfSkylib = map[string]bool{
	"collections": true, "dicts": true, "paths": true, "selects": true, "shell": true, "structs": true, "types": true, "versions": true,
}

const spaceOf = "space "

// pureMethods are those that change nothing, of whatever they are methods.
var pureMethods = map[string]bool{
	"capitalize": true, "count": true, "difference": true, "elems": true, "endswith": true, "find": true, "format": true, "get": true,
	"index": true, "intersection": true, "isalnum": true, "isalpha": true, "isdigit": true, "islower": true, "isspace": true, "istitle": true,
	"isupper": true, "issubset": true, "issuperset": true, "items": true, "join": true, "keys": true, "lower": true, "lstrip": true, "partition": true,
	"removeprefix": true, "removesuffix": true, "replace": true, "rfind": true, "rindex": true, "rpartition": true, "rsplit": true, "rstrip": true,
	"split": true, "splitlines": true, "startswith": true, "strip": true, "symmetric_difference": true, "title": true, "to_list": true,
	"union": true, "upper": true, "values": true,
}

// whole says that what one statement at the top of a file does may change what another
// one has made: it calls something that may append to a list, or changes a value in
// place. A function can do that to any variable, by any name, and the order counts. So
// in such a file each name depends on everything.
func whole(f *syntax.File) bool {
	own := map[string]bool{}
	for _, s := range f.Stmts {
		switch s := s.(type) {
		case *syntax.DefStmt:
			own[s.Name.Name] = true
		case *syntax.AssignStmt:
			for _, name := range bound(s.LHS) {
				own[name] = true
			}
		case *syntax.LoadStmt:
			for i, to := range s.To {
				if strings.HasPrefix(s.ModuleName(), "@bazel_skylib//lib:") && pureOfSkylib[s.From[i].Name] {
					own[spaceOf+to.Name] = true
					continue
				}
				own[to.Name] = true
			}
		}
	}
	for _, s := range f.Stmts {
		switch s := s.(type) {
		case *syntax.LoadStmt:
		case *syntax.DefStmt:
			if slices.ContainsFunc(s.Params, func(e syntax.Expr) bool { return changes(e, own) }) {
				return true
			}
		case *syntax.AssignStmt:
			if s.Op != syntax.EQ || inPlace(s.LHS) || changes(s.RHS, own) {
				return true
			}
		case *syntax.ExprStmt:
			if changes(s.X, own) {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// inPlace says that an assignment changes a value: d["x"] = y.
func inPlace(e syntax.Expr) bool {
	switch e := e.(type) {
	case *syntax.IndexExpr, *syntax.DotExpr:
		return true
	case *syntax.ParenExpr:
		return inPlace(e.X)
	case *syntax.TupleExpr:
		return slices.ContainsFunc(e.List, inPlace)
	case *syntax.ListExpr:
		return slices.ContainsFunc(e.List, inPlace)
	}
	return false
}

// changes says that to evaluate an expression may change a value. What a function does
// counts where it is called; a file's own name hides that of the language.
func changes(e syntax.Expr, own map[string]bool) bool {
	found := false
	syntax.Walk(e, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.LambdaExpr:
			return false
		case *syntax.CallExpr:
			switch fn := n.Fn.(type) {
			case *syntax.Ident:
				found = found || own[fn.Name] || !pure[fn.Name] || slices.ContainsFunc(n.Args, callsBack)
			case *syntax.DotExpr:
				space, ok := fn.X.(*syntax.Ident)
				found = found || !(ok && (pureSpaces[space.Name] && !own[space.Name] || own[spaceOf+space.Name]) || pureMethods[fn.Name.Name])
			default:
				found = true
			}
		}
		return !found
	})
	return found
}

// callsBack says that an argument is a function that is called at once: sorted(x, key = f).
func callsBack(arg syntax.Expr) bool {
	b, ok := arg.(*syntax.BinaryExpr)
	if !ok || b.Op != syntax.EQ {
		return false
	}
	id, ok := b.X.(*syntax.Ident)
	return ok && id.Name == "key"
}
