package load

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/syntax"
)

// options are wider than Bazel's for BUILD files: what Bazel refuses is not judged here.
var options = &syntax.FileOptions{Set: true, TopLevelControl: true, GlobalReassign: true}

func digest(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d:", len(t))
		h.Write([]byte(t))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// statement is a top-level statement of a .bzl file, for closures.
type statement struct {
	text       string   // syntax without positions, comments and documentation
	names      []string // what it uses, of any scope
	labels     []string // strings
	first, end int32    // lines
}

// outline is which statements bind or mention which names.
type outline struct {
	statements []statement
	binds      map[string][]int
	effects    map[string][]int     // expression statements that mention a name
	loads      map[string]loadedRef // local name to where it comes from
	// whole says that each name depends on all of the file, in its order: see whole.
	whole bool
}

type loadedRef struct{ module, name string }

func newOutline(f *syntax.File) *outline {
	o := &outline{binds: map[string][]int{}, effects: map[string][]int{}, loads: map[string]loadedRef{}}
	sorts, own := sortsAsUsual(f), ownNames(f)
	o.whole = whole(f)
	for _, s := range f.Stmts {
		if l, ok := s.(*syntax.LoadStmt); ok {
			for i := range l.From {
				o.loads[l.To[i].Name] = loadedRef{l.ModuleName(), l.From[i].Name}
			}
			continue
		}
		if documentation(s) {
			continue
		}
		p := printer{sorts: sorts, own: own}
		p.stmt(s)
		start, end := s.Span()
		n := len(o.statements)
		o.statements = append(o.statements, statement{text: p.b.String(), names: p.names, labels: p.strings, first: start.Line, end: end.Line})
		switch s := s.(type) {
		case *syntax.DefStmt:
			o.binds[s.Name.Name] = append(o.binds[s.Name.Name], n)
		case *syntax.AssignStmt:
			for _, name := range bound(s.LHS) {
				o.binds[name] = append(o.binds[name], n)
			}
		default:
			for _, name := range p.names {
				o.effects[name] = append(o.effects[name], n)
			}
		}
	}
	return o
}

func bound(e syntax.Expr) []string {
	switch e := e.(type) {
	case *syntax.Ident:
		return []string{e.Name}
	case *syntax.TupleExpr:
		return boundAll(e.List)
	case *syntax.ListExpr:
		return boundAll(e.List)
	case *syntax.ParenExpr:
		return bound(e.X)
	case *syntax.IndexExpr:
		return bound(e.X) // d["x"] = y changes d.
	case *syntax.DotExpr:
		return bound(e.X)
	}
	return nil
}

func boundAll(list []syntax.Expr) []string {
	var names []string
	for _, e := range list {
		names = append(names, bound(e)...)
	}
	return names
}

// at is the statement that a line is in.
func (o *outline) at(line int32) (int, bool) {
	for i, s := range o.statements {
		if s.first <= line && line <= s.end {
			return i, true
		}
	}
	return 0, false
}

// on are all statements of a line.
func (o *outline) on(line int32) []int {
	var all []int
	for i, s := range o.statements {
		if s.first <= line && line <= s.end {
			all = append(all, i)
		}
	}
	return all
}

// documentation is a statement that is a string.
func documentation(s syntax.Stmt) bool {
	e, ok := s.(*syntax.ExprStmt)
	if !ok {
		return false
	}
	l, ok := e.X.(*syntax.Literal)
	return ok && (l.Token == syntax.STRING || l.Token == syntax.BYTES)
}

// documented are the functions whose argument `doc` no action sees.
var documented = map[string]bool{
	"provider": true, "rule": true, "aspect": true, "repository_rule": true, "module_extension": true,
	"tag_class": true, "macro": true, "subrule": true, "transition": false,
}

// takesDoc says so of a function. A file's own names hide those of Bazel.
func takesDoc(fn syntax.Expr, own map[string]bool) bool {
	switch fn := fn.(type) {
	case *syntax.Ident:
		return documented[fn.Name] && !own[fn.Name]
	case *syntax.DotExpr:
		id, ok := fn.X.(*syntax.Ident)
		return ok && id.Name == "attr" && !own["attr"]
	}
	return false
}

// printer writes syntax without positions.
type printer struct {
	b       strings.Builder
	names   []string
	strings []string
	// sorts says that sorted is the language's own.
	sorts bool
	// own are the names that the file binds anywhere.
	own map[string]bool
}

// sortsAsUsual says that a file does nothing with the name sorted but call it.
func sortsAsUsual(f *syntax.File) bool {
	used, called := 0, 0
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Ident:
			if n.Name == "sorted" {
				used++
			}
		case *syntax.CallExpr:
			if id, ok := n.Fn.(*syntax.Ident); ok && id.Name == "sorted" {
				called++
			}
		case *syntax.LoadStmt:
			for _, to := range n.To {
				if to.Name == "sorted" {
					used++ // Not every version's walk visits it.
				}
			}
		}
		return true
	})
	return used == called
}

// ownNames are the names that a file binds, in whatever scope: of parameters and variables
// too.
func ownNames(f *syntax.File) map[string]bool {
	own := map[string]bool{}
	add := func(e syntax.Expr) {
		for _, name := range bound(e) {
			own[name] = true
		}
	}
	parameters := func(list []syntax.Expr) {
		for _, e := range list {
			switch e := e.(type) {
			case *syntax.BinaryExpr:
				add(e.X)
			case *syntax.UnaryExpr:
				add(e.X)
			default:
				add(e)
			}
		}
	}
	for _, s := range f.Stmts {
		if l, ok := s.(*syntax.LoadStmt); ok {
			for _, to := range l.To {
				own[to.Name] = true
			}
			continue // Not every version's walk visits it.
		}
		syntax.Walk(s, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.AssignStmt:
				add(n.LHS)
			case *syntax.DefStmt:
				own[n.Name.Name] = true
				parameters(n.Params)
			case *syntax.LambdaExpr:
				parameters(n.Params)
			case *syntax.ForStmt:
				add(n.Vars)
			case *syntax.ForClause:
				add(n.Vars)
			}
			return true
		})
	}
	return own
}

// elements are what sorted gets the elements of: of [x for x in E] those of E. The
// second result says that these are the keys of E, which is a dictionary or an error.
func elements(e syntax.Expr) (syntax.Expr, bool) {
	switch e := e.(type) {
	case *syntax.ParenExpr:
		return elements(e.X)
	case *syntax.Comprehension:
		if body, ok := e.Body.(*syntax.Ident); ok && !e.Curly && len(e.Clauses) == 1 {
			if c, ok := e.Clauses[0].(*syntax.ForClause); ok {
				if v, ok := c.Vars.(*syntax.Ident); ok && v.Name == body.Name {
					return elements(c.X)
				}
			}
		}
	case *syntax.CallExpr:
		if fn, ok := e.Fn.(*syntax.DotExpr); ok && fn.Name.Name == "keys" && len(e.Args) == 0 {
			return fn.X, true
		}
	}
	return e, false
}

// Words before what is sorted. For a dictionary they mean the same, which only a rule's
// attributes can say: see sameSpelling.
const elementsOf, keysOf = "elements of", "keys of"

// sameSpelling makes one of the two for attributes that are dictionaries.
func sameSpelling(text string, attributes map[string]*attribute) string {
	for name, a := range attributes {
		if strings.HasSuffix(a.kind, "_dict") {
			text = strings.ReplaceAll(text, keysOf+" ctx . attr . "+name+" )", elementsOf+" ctx . attr . "+name+" )")
		}
	}
	return text
}

// concatenation is `"a%sb" % X` as `"a" + X + "b"`, for an X that is a text in every rule.
func concatenation(e *syntax.BinaryExpr) (syntax.Expr, bool) {
	format, ok := e.X.(*syntax.Literal)
	if !ok || e.Op != syntax.PERCENT || format.Token != syntax.STRING {
		return nil, false
	}
	x := e.Y
	if p, ok := x.(*syntax.ParenExpr); ok {
		x = p.X
	}
	field, ok := x.(*syntax.DotExpr)
	if !ok || field.Name.Name != "name" && field.Name.Name != "package" {
		return nil, false
	}
	label, ok := field.X.(*syntax.DotExpr)
	if !ok || label.Name.Name != "label" {
		return nil, false
	}
	if ctx, ok := label.X.(*syntax.Ident); !ok || ctx.Name != "ctx" {
		return nil, false
	}
	text, _ := format.Value.(string)
	before, after, ok := strings.Cut(text, "%s")
	if !ok || strings.Contains(before+after, "%") {
		return nil, false
	}
	literal := func(s string) syntax.Expr { return &syntax.Literal{Token: syntax.STRING, Value: s} }
	if before != "" {
		x = &syntax.BinaryExpr{X: literal(before), Op: syntax.PLUS, Y: x}
	}
	if after != "" {
		x = &syntax.BinaryExpr{X: x, Op: syntax.PLUS, Y: literal(after)}
	}
	return x, true
}

func (p *printer) w(parts ...string) {
	for _, s := range parts {
		p.b.WriteString(s)
		p.b.WriteByte(' ')
	}
}

func (p *printer) body(list []syntax.Stmt) {
	p.w("{")
	for _, s := range list {
		if !documentation(s) {
			p.stmt(s)
		}
	}
	p.w("}")
}

func (p *printer) stmt(s syntax.Stmt) {
	switch s := s.(type) {
	case *syntax.AssignStmt:
		p.expr(s.LHS)
		p.w(s.Op.String())
		p.expr(s.RHS)
	case *syntax.BranchStmt:
		p.w(s.Token.String())
	case *syntax.DefStmt:
		p.w("def", s.Name.Name, "(")
		p.params(s.Params)
		p.w(")")
		p.body(s.Body)
	case *syntax.ExprStmt:
		p.expr(s.X)
	case *syntax.ForStmt:
		p.w("for")
		p.expr(s.Vars)
		p.w("in")
		p.expr(s.X)
		p.body(s.Body)
	case *syntax.WhileStmt:
		p.w("while")
		p.expr(s.Cond)
		p.body(s.Body)
	case *syntax.IfStmt:
		p.w("if")
		p.expr(s.Cond)
		p.body(s.True)
		p.w("else")
		p.body(s.False)
	case *syntax.LoadStmt:
		p.w("load", s.ModuleName())
		for i := range s.From {
			p.w(s.From[i].Name, s.To[i].Name)
		}
	case *syntax.ReturnStmt:
		p.w("return")
		p.expr(s.Result)
	}
	p.w(";")
}

// defaultNames are the labels in the default of attr.label(...) and its like that are a name
// alone, with the colon that makes them labels anywhere.
func defaultNames(fn *syntax.DotExpr, args []syntax.Expr) []string {
	if space, ok := fn.X.(*syntax.Ident); !ok || space.Name != "attr" {
		return nil
	}
	var names []string
	for _, a := range args {
		b, ok := a.(*syntax.BinaryExpr)
		if !ok || b.Op != syntax.EQ {
			continue
		}
		if id, ok := b.X.(*syntax.Ident); !ok || id.Name != "default" {
			continue
		}
		syntax.Walk(b.Y, func(n syntax.Node) bool {
			if l, ok := n.(*syntax.Literal); ok && l.Token == syntax.STRING {
				if text, _ := l.Value.(string); text != "" && !strings.ContainsAny(text, ":/@") {
					names = append(names, ":"+text)
				}
			}
			return true
		})
	}
	return names
}

// params are parameters: a keyword's name is no use of a name.
func (p *printer) params(list []syntax.Expr) {
	for _, e := range list {
		if b, ok := e.(*syntax.BinaryExpr); ok && b.Op == syntax.EQ {
			if id, ok := b.X.(*syntax.Ident); ok {
				p.w(id.Name, "=")
				p.expr(b.Y)
				p.w(",")
				continue
			}
		}
		p.expr(e)
		p.w(",")
	}
}

func (p *printer) list(open string, list []syntax.Expr, end string) {
	p.w(open)
	for _, e := range list {
		p.expr(e)
		p.w(",")
	}
	p.w(end)
}

func (p *printer) expr(e syntax.Expr) {
	switch e := e.(type) {
	case nil:
		p.w("()")
	case *syntax.Ident:
		p.w(e.Name)
		p.names = append(p.names, e.Name)
	case *syntax.Literal:
		if s, ok := e.Value.(string); ok {
			p.strings = append(p.strings, s)
		}
		p.w(fmt.Sprintf("%s:%#v", e.Token, e.Value))
	case *syntax.ParenExpr:
		p.expr(e.X)
	case *syntax.CallExpr:
		p.expr(e.Fn)
		args := e.Args
		if fn, ok := e.Fn.(*syntax.Ident); ok && fn.Name == "Label" && len(args) == 1 {
			// A name alone is a label here.
			if l, ok := args[0].(*syntax.Literal); ok && l.Token == syntax.STRING {
				if text, _ := l.Value.(string); text != "" && !strings.ContainsAny(text, ":/@") {
					p.strings = append(p.strings, ":"+text)
				}
			}
		}
		if fn, ok := e.Fn.(*syntax.DotExpr); ok && strings.HasPrefix(fn.Name.Name, "label") {
			p.strings = append(p.strings, defaultNames(fn, args)...)
		}
		if fn, ok := e.Fn.(*syntax.Ident); ok && fn.Name == "sorted" && p.sorts && len(args) == 1 {
			if x, keys := elements(args[0]); keys {
				p.w("call(", keysOf)
				p.expr(x)
			} else {
				p.w("call(", elementsOf)
				p.expr(x)
			}
			p.w(")")
			break
		}
		if takesDoc(e.Fn, p.own) {
			args = slices.DeleteFunc(slices.Clone(args), func(a syntax.Expr) bool {
				b, ok := a.(*syntax.BinaryExpr)
				if !ok || b.Op != syntax.EQ {
					return false
				}
				id, ok := b.X.(*syntax.Ident)
				return ok && id.Name == "doc"
			})
		}
		p.w("call(")
		p.params(args)
		p.w(")")
	case *syntax.DotExpr:
		p.expr(e.X)
		p.w(".", e.Name.Name)
	case *syntax.Comprehension:
		if e.Curly {
			p.w("dict")
		}
		p.w("comp(")
		p.expr(e.Body)
		for _, c := range e.Clauses {
			switch c := c.(type) {
			case *syntax.ForClause:
				p.w("for")
				p.expr(c.Vars)
				p.w("in")
				p.expr(c.X)
			case *syntax.IfClause:
				p.w("if")
				p.expr(c.Cond)
			}
		}
		p.w(")")
	case *syntax.DictExpr:
		p.list("dict{", e.List, "}")
	case *syntax.DictEntry:
		p.expr(e.Key)
		p.w(":")
		p.expr(e.Value)
	case *syntax.LambdaExpr:
		p.w("lambda(")
		p.params(e.Params)
		p.w(")")
		p.expr(e.Body)
	case *syntax.ListExpr:
		p.list("[", e.List, "]")
	case *syntax.TupleExpr:
		p.list("(", e.List, ")")
	case *syntax.CondExpr:
		p.w("if(")
		p.expr(e.Cond)
		p.expr(e.True)
		p.w("else")
		p.expr(e.False)
		p.w(")")
	case *syntax.UnaryExpr:
		p.w("unary", e.Op.String())
		p.expr(e.X)
	case *syntax.BinaryExpr:
		if same, ok := concatenation(e); ok {
			p.expr(same)
			break
		}
		p.w("(")
		p.expr(e.X)
		p.w(e.Op.String())
		p.expr(e.Y)
		p.w(")")
	case *syntax.SliceExpr:
		p.expr(e.X)
		p.w("slice[")
		p.expr(e.Lo)
		p.expr(e.Hi)
		p.expr(e.Step)
		p.w("]")
	case *syntax.IndexExpr:
		p.expr(e.X)
		p.w("[")
		p.expr(e.Y)
		p.w("]")
	default:
		p.w(fmt.Sprintf("%T", e))
	}
}

// compared are the operators whose operands may be unknown, and the function that is
// called in their place: the interpreter lets values of different types be unequal
// without asking them.
var compared = map[syntax.Token]string{
	syntax.EQL: "affected:==", syntax.NEQ: "affected:!=", syntax.IN: "affected:in", syntax.NOT_IN: "affected:not in",
	syntax.LT: "affected:<", syntax.GT: "affected:>", syntax.LE: "affected:<=", syntax.GE: "affected:>=",
}

const (
	unpackName = "affected:unpack"
	rowsName   = "affected:rows"
	indexName  = "affected:index"
	attrName   = "affected:attr"
	condName   = "affected:if"
	orName     = "affected:or"
	andName    = "affected:and"
	notName    = "affected:not"
	keepName   = "affected:keep"
	testName   = "affected:test"
)

func invoke(function string, pos syntax.Position, args ...syntax.Expr) syntax.Expr {
	return &syntax.CallExpr{Fn: &syntax.Ident{NamePos: pos, Name: function}, Lparen: pos, Rparen: pos, Args: args}
}

// later is an expression that is evaluated only if it is asked for.
func later(pos syntax.Position, e syntax.Expr) syntax.Expr {
	return &syntax.LambdaExpr{Lambda: pos, Body: e}
}

// rewriteTarget rewrites what is assigned to, which stays assignable.
func rewriteTarget(e syntax.Expr) {
	switch e := e.(type) {
	case *syntax.IndexExpr:
		rewrite(&e.X)
		rewrite(&e.Y)
	case *syntax.DotExpr:
		rewrite(&e.X)
	case *syntax.ParenExpr:
		rewriteTarget(e.X)
	case *syntax.TupleExpr:
		for _, x := range e.List {
			rewriteTarget(x)
		}
	case *syntax.ListExpr:
		for _, x := range e.List {
			rewriteTarget(x)
		}
	}
}

// unpacked wraps what several variables are assigned from.
func unpacked(function string, vars syntax.Expr, slot *syntax.Expr) {
	if p, ok := vars.(*syntax.ParenExpr); ok {
		vars = p.X
	}
	n := 0
	switch v := vars.(type) {
	case *syntax.TupleExpr:
		n = len(v.List)
	case *syntax.ListExpr:
		n = len(v.List)
	}
	if n == 0 {
		return
	}
	pos, _ := (*slot).Span()
	*slot = invoke(function, pos, &syntax.Literal{Token: syntax.INT, TokenPos: pos, Raw: strconv.Itoa(n), Value: int64(n)}, *slot)
}

func rewriteStmts(list []syntax.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *syntax.AssignStmt:
			rewriteTarget(s.LHS)
			rewrite(&s.RHS)
			if s.Op == syntax.EQ {
				unpacked(unpackName, s.LHS, &s.RHS)
			} else {
				rewriteAssigned(s)
			}
		case *syntax.DefStmt:
			rewriteAll(s.Params)
			rewriteStmts(s.Body)
		case *syntax.ExprStmt:
			rewrite(&s.X)
		case *syntax.ForStmt:
			rewrite(&s.X)
			unpacked(rowsName, s.Vars, &s.X)
			rewriteStmts(s.Body)
		case *syntax.WhileStmt:
			rewrite(&s.Cond)
			rewriteStmts(s.Body)
		case *syntax.IfStmt:
			rewrite(&s.Cond)
			s.Cond = invoke(testName, s.If, s.Cond)
			rewriteStmts(s.True)
			rewriteStmts(s.False)
		case *syntax.ReturnStmt:
			rewrite(&s.Result)
		}
	}
}

func rewriteAll(list []syntax.Expr) {
	for i := range list {
		rewrite(&list[i])
	}
}

func rewrite(slot *syntax.Expr) {
	switch e := (*slot).(type) {
	case *syntax.ParenExpr:
		rewrite(&e.X)
	case *syntax.CallExpr:
		rewrite(&e.Fn)
		rewriteAll(e.Args)
	case *syntax.DotExpr:
		rewrite(&e.X)
		*slot = invoke(attrName, e.Dot, e.X, &syntax.Literal{Token: syntax.STRING, TokenPos: e.NamePos, Raw: strconv.Quote(e.Name.Name), Value: e.Name.Name})
	case *syntax.Comprehension:
		rewrite(&e.Body)
		for _, c := range e.Clauses {
			switch c := c.(type) {
			case *syntax.ForClause:
				rewrite(&c.X)
				unpacked(rowsName, c.Vars, &c.X)
			case *syntax.IfClause:
				rewrite(&c.Cond)
				pos, _ := c.Cond.Span()
				c.Cond = invoke(keepName, pos, c.Cond)
			}
		}
	case *syntax.DictExpr:
		rewriteAll(e.List)
	case *syntax.DictEntry:
		rewrite(&e.Key)
		rewrite(&e.Value)
	case *syntax.LambdaExpr:
		rewriteAll(e.Params)
		rewrite(&e.Body)
	case *syntax.ListExpr:
		rewriteAll(e.List)
	case *syntax.TupleExpr:
		rewriteAll(e.List)
	case *syntax.CondExpr:
		rewrite(&e.Cond)
		rewrite(&e.True)
		rewrite(&e.False)
		*slot = invoke(condName, e.If, e.Cond, later(e.If, e.True), later(e.If, e.False))
	case *syntax.UnaryExpr:
		rewrite(&e.X)
		if e.Op == syntax.NOT {
			*slot = invoke(notName, e.OpPos, e.X)
		}
	case *syntax.SliceExpr:
		rewrite(&e.X)
		rewrite(&e.Lo)
		rewrite(&e.Hi)
		rewrite(&e.Step)
	case *syntax.IndexExpr:
		rewrite(&e.X)
		rewrite(&e.Y)
		*slot = invoke(indexName, e.Lbrack, e.X, e.Y)
	case *syntax.BinaryExpr:
		rewrite(&e.X)
		rewrite(&e.Y)
		if name, ok := compared[e.Op]; ok {
			*slot = invoke(name, e.OpPos, e.X, e.Y)
		}
		if name, ok := grown[e.Op]; ok {
			*slot = invoke(name, e.OpPos, e.X, e.Y)
		}
		switch e.Op {
		case syntax.OR:
			*slot = invoke(orName, e.OpPos, e.X, later(e.OpPos, e.Y))
		case syntax.AND:
			*slot = invoke(andName, e.OpPos, e.X, later(e.OpPos, e.Y))
		}
	}
}
