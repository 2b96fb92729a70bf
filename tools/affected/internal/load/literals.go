package load

import (
	"strings"

	"go.starlark.net/syntax"
)

// Literals are the texts in a file, and the files that it loads, as they are written. Name is
// for errors.
func Literals(name string, content []byte) (texts, loads []string, err error) {
	parsed, err := options.Parse(name, content, 0)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range parsed.Stmts {
		if l, ok := s.(*syntax.LoadStmt); ok {
			loads = append(loads, l.ModuleName())
			continue
		}
		if documentation(s) {
			continue
		}
		syntax.Walk(s, func(n syntax.Node) bool {
			if l, ok := n.(*syntax.Literal); ok && l.Token == syntax.STRING {
				if text, ok := l.Value.(string); ok {
					texts = append(texts, text)
				}
			}
			return true
		})
	}
	return texts, loads, nil
}

// Taken are the texts of a BUILD file by which it can take files, if each text stands there as
// it is used: it loads nothing, and puts nothing together.
func Taken(name string, content []byte) (texts []string, ok bool) {
	parsed, err := options.Parse(name, content, 0)
	if err != nil {
		return nil, false
	}
	ok = true
	for _, s := range parsed.Stmts {
		if _, call := s.(*syntax.ExprStmt); !call {
			return nil, false
		}
		syntax.Walk(s, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.Literal:
				if text, is := n.Value.(string); is {
					texts = append(texts, text)
				}
			case *syntax.BinaryExpr:
				ok = ok && n.Op == syntax.EQ // An argument's name, and its value.
			case *syntax.CallExpr, *syntax.ExprStmt, *syntax.Ident, *syntax.ListExpr, *syntax.ParenExpr, *syntax.TupleExpr, *syntax.DictExpr, *syntax.DictEntry, nil:
			default:
				ok = false
			}
			return true
		})
	}
	return texts, ok
}

// Takes says that a text may take a file of the package: it is its name, as a label too, or
// that of a folder above it, or a pattern for one of these.
func Takes(text, file string) bool {
	parts := strings.Split(file, "/")
	for _, t := range []string{text, text[strings.LastIndexByte(text, ':')+1:]} {
		pattern := strings.Split(strings.Trim(t, "/"), "/")
		for i := range parts {
			if t == "." || match(pattern, parts[:i+1]) {
				return true
			}
		}
	}
	return false
}
