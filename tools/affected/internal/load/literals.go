package load

import (
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
