package load

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// The interpreter counts steps, and one step may make a text of a gigabyte. So what may
// grow by more than an element a step goes through here, and is refused before it is made:
// a file that can't be evaluated makes the answer wider, a machine without memory makes
// none.

// maxMade bounds, in bytes, what the evaluation of one file may make in all by operators
// and functions whose result is larger than a step accounts for.
const maxMade = 64 << 20

// maxVisited bounds how many values are looked at in one value, in which others may be many
// times over.
const maxVisited = 1 << 20

// largestNumber bounds, in bytes, what is multiplied: it takes time beyond proportion.
const largestNumber = 8 << 10

// element is what an element of a list takes, in bytes.
const element = 16

// charge counts bytes that are about to be made.
func (l *Loader) charge(what string, bytes int) error {
	if bytes < 0 || bytes > maxMade-l.made {
		return fmt.Errorf("%s makes more than the %d MB that the evaluation of a file may", what, maxMade>>20)
	}
	l.made += bytes
	return nil
}

// product is a*b, or more than is allowed.
func product(a, b int) int {
	if a > 0 && b > maxMade/a {
		return maxMade + 1
	}
	return a * b
}

// wide is what a value takes by itself, without what is in its elements.
func wide(v starlark.Value) int {
	switch v := v.(type) {
	case starlark.String:
		return len(v)
	case starlark.Bytes:
		return len(v)
	case starlark.Int:
		return v.BigInt().BitLen()/8 + 1
	case *unknown:
		return len(v.text)
	case starlark.Sequence:
		return product(v.Len(), element)
	}
	return element
}

// deep is the size of a value as text, at least, or more than is allowed.
func deep(v starlark.Value) int {
	size, visits := 0, 0
	var visit func(v starlark.Value)
	visit = func(v starlark.Value) {
		if visits++; visits > maxVisited || size > maxMade {
			size = maxMade + 1
			return
		}
		size += element
		switch v := v.(type) {
		case starlark.String:
			size += len(v)
		case *unknown:
			size += len(v.text)
		case *starlark.Dict:
			for _, kv := range v.Items() {
				visit(kv[0])
				visit(kv[1])
			}
		case *starlark.List, starlark.Tuple, *starlark.Set:
			for x := range starlark.Elements(v.(starlark.Iterable)) {
				visit(x)
				if size > maxMade {
					return
				}
			}
		case starlark.Sequence:
			size += product(v.Len(), element)
		}
	}
	visit(v)
	return size
}

// grown are the operators whose result may be larger than their operands, and the function
// that is called in their place.
var grown = map[syntax.Token]string{
	syntax.STAR: "affected:*", syntax.PLUS: "affected:+", syntax.PERCENT: "affected:%", syntax.PIPE: "affected:|", syntax.LTLT: "affected:<<",
}

// grownAssigned are these operators in an assignment.
var grownAssigned = map[syntax.Token]syntax.Token{
	syntax.PLUS_EQ: syntax.PLUS, syntax.STAR_EQ: syntax.STAR, syntax.PERCENT_EQ: syntax.PERCENT, syntax.PIPE_EQ: syntax.PIPE, syntax.LTLT_EQ: syntax.LTLT,
}

const inPlaceName = "affected:in place "

// operate is x op y.
func (l *Loader) operate(op syntax.Token) builtin {
	return func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		return l.binary(op, args[0], args[1])
	}
}

func (l *Loader) binary(op syntax.Token, x, y starlark.Value) (starlark.Value, error) {
	size := wide(x) + wide(y)
	switch op {
	case syntax.STAR:
		for _, pair := range [2][2]starlark.Value{{x, y}, {y, x}} {
			if n, ok := pair[1].(starlark.Int); ok {
				if _, number := pair[0].(starlark.Int); number {
					if size > largestNumber {
						return nil, fmt.Errorf("a number of more than %d bytes is not evaluated", largestNumber)
					}
					break
				}
				times, err := starlark.AsInt32(n)
				if err != nil {
					times = maxMade + 1
					if n.Sign() < 0 {
						times = 0
					}
				}
				size = product(wide(pair[0]), max(times, 0))
			}
		}
	case syntax.PERCENT:
		if format, ok := x.(starlark.String); ok {
			size = len(format) + product(strings.Count(string(format), "%"), deep(y))
		}
	}
	if err := l.charge(op.String(), size); err != nil {
		return nil, err
	}
	return starlark.Binary(op, x, y)
}

// inPlace is `x op= y` for a variable: of a list and of a dictionary the value is the same.
func (l *Loader) inPlace(op syntax.Token) builtin {
	return func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		x, y := args[0], args[1]
		method := ""
		switch x.(type) {
		case *starlark.List:
			if _, ok := y.(starlark.Iterable); ok && op == syntax.PLUS {
				method = "extend"
			}
		case *starlark.Dict:
			if _, ok := y.(*starlark.Dict); ok && op == syntax.PIPE {
				method = "update"
			}
		}
		if method == "" {
			return l.binary(op, x, y)
		}
		if err := l.charge(op.String()+"=", wide(y)); err != nil {
			return nil, err
		}
		f, err := x.(starlark.HasAttrs).Attr(method)
		if err != nil {
			return nil, err
		}
		_, err = starlark.Call(thread, f, starlark.Tuple{y}, nil)
		return x, err
	}
}

// addend is what is added to something that is no variable: x[y] += z. What is multiplied
// there is refused, since how large it is can't be seen.
func (l *Loader) addend(op syntax.Token) builtin {
	return func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		if n, ok := args[0].(starlark.Int); ok && op == syntax.STAR && n.BigInt().BitLen() > 1 || op == syntax.PERCENT || op == syntax.LTLT {
			return nil, fmt.Errorf("%s= of what is no variable is not evaluated", op)
		}
		return args[0], l.charge(op.String()+"=", wide(args[0]))
	}
}

// room checks a call of a function of the language, or of a method, before it is called.
func (l *Loader) room(name string, self starlark.Value, args starlark.Tuple, kwargs []starlark.Tuple) error {
	size := 0
	for _, kv := range kwargs {
		args = append(args[:len(args):len(args)], kv[1])
	}
	switch name {
	case "str", "repr", "print", "fail", "encode", "encode_indent", "format":
		for _, a := range args {
			size += deep(a)
			if size > maxMade {
				break
			}
		}
		if text, ok := self.(starlark.String); ok {
			size = len(text) + product(strings.Count(string(text), "{")+1, size)
		}
	case "join":
		if len(args) == 1 {
			if it, ok := args[0].(starlark.Sequence); ok {
				size = product(wide(self), it.Len())
				for x := range starlark.Elements(it) {
					if size += wide(x); size > maxMade {
						break
					}
				}
			}
		}
	case "replace":
		if len(args) >= 2 {
			text, _ := starlark.AsString(self)
			old, _ := starlark.AsString(args[0])
			size = len(text) + product(strings.Count(text, old), wide(args[1]))
		}
	default:
		size = 0
		if self != nil {
			size = wide(self)
		}
		for _, a := range args {
			size = min(size+wide(a), maxMade+1)
		}
	}
	return l.charge(name, size)
}

// making are functions of the language that make, or look at, as much as they are given.
var making = []string{"all", "any", "dict", "enumerate", "list", "reversed", "set", "str", "tuple", "zip"}

// bounded is such a function.
func (l *Loader) bounded(name string) builtin {
	original := starlark.Universe[name]
	return func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		if err := l.room(name, nil, args, kwargs); err != nil {
			return nil, err
		}
		return starlark.Call(thread, original, args, kwargs)
	}
}

// bounds are the names of the functions above.
func (l *Loader) bounds(names starlark.StringDict) {
	for op, name := range grown {
		names[name] = fn(name, l.operate(op))
		names[inPlaceName+name] = fn(name, l.inPlace(op))
		names[inPlaceName+"of what is no variable "+name] = fn(name, l.addend(op))
	}
	for _, name := range making {
		names[name] = fn(name, l.bounded(name))
	}
}

// rewriteAssigned has an assignment with an operator go through the functions above.
func rewriteAssigned(s *syntax.AssignStmt) {
	op, ok := grownAssigned[s.Op]
	if !ok {
		return
	}
	pos, _ := s.RHS.Span()
	lhs := s.LHS
	for {
		p, ok := lhs.(*syntax.ParenExpr)
		if !ok {
			break
		}
		lhs = p.X
	}
	if id, ok := lhs.(*syntax.Ident); ok {
		s.Op = syntax.EQ
		s.RHS = invoke(inPlaceName+grown[op], pos, &syntax.Ident{NamePos: id.NamePos, Name: id.Name}, s.RHS)
		return
	}
	s.RHS = invoke(inPlaceName+"of what is no variable "+grown[op], pos, s.RHS)
}

// Multiplies says that a file multiplies anything by more than a few: where nothing bounds
// what that makes, it is not evaluated.
func Multiplies(f *syntax.File) bool {
	found := false
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.BinaryExpr:
			if n.Op == syntax.STAR {
				small := func(e syntax.Expr) bool {
					l, ok := e.(*syntax.Literal)
					i, isInt := int64(0), false
					if ok {
						i, isInt = l.Value.(int64)
					}
					return isInt && i <= 1000
				}
				found = found || !small(n.X) && !small(n.Y)
			}
		case *syntax.AssignStmt:
			found = found || n.Op == syntax.STAR_EQ
		}
		return true
	})
	return found
}
