package ruledoc

import (
	"fmt"
	"slices"
	"strings"
)

// Markdown returns the reference of modules, in their order. Update is the command
// that writes it.
func Markdown(update string, modules []*Module) string {
	var w strings.Builder
	fmt.Fprintf(&w, "# Rule reference\n\nGenerated from the docstrings by `%s`: edit those, not this file.\n", update)
	for _, m := range modules {
		fmt.Fprintf(&w, "\n## `%s`\n", m.File)
		paragraph(&w, m.Doc)
		for _, r := range m.Rules {
			section(&w, r.Name, "rule", r.Doc)
			table(&w, "Attribute", attributeRows(ownAttributes(r)))
		}
		for _, f := range m.Functions {
			section(&w, f.Name, kind(f), f.Doc)
			table(&w, "Argument", parameterRows(f.Parameters))
			if f.Returns != nil {
				paragraph(&w, "Returns "+f.Returns.Doc)
			}
		}
		for _, e := range m.Extensions {
			section(&w, e.Name, "module extension", e.Doc)
			for _, t := range e.Tags {
				section(&w, e.Name+"."+t.Name, "tag", t.Doc)
				table(&w, "Attribute", attributeRows(t.Attributes))
			}
		}
		for _, p := range m.Providers {
			section(&w, p.Name, "provider", p.Doc)
			var rows [][]string
			for _, f := range p.Fields {
				rows = append(rows, []string{code(f.Name), f.Doc})
			}
			writeTable(&w, []string{"Field", "What it is"}, rows)
		}
	}
	return w.String()
}

// kind reports whether a function makes targets: those take a name.
func kind(f *Function) string {
	for _, p := range f.Parameters {
		if p.Name == "name" {
			return "macro"
		}
	}
	return "function"
}

func section(w *strings.Builder, name, kind, doc string) {
	fmt.Fprintf(w, "\n### %s\n", name)
	paragraph(w, strings.ToUpper(kind[:1])+kind[1:]+". "+doc)
}

// paragraph writes a docstring. Its line breaks are those of the source.
func paragraph(w *strings.Builder, doc string) {
	if doc = strings.TrimSpace(doc); doc != "" {
		fmt.Fprintf(w, "\n%s\n", doc)
	}
}

func attributeRows(attributes []*Attribute) [][]string {
	var rows [][]string
	for _, a := range attributes {
		rows = append(rows, []string{code(a.Name), value(a.Mandatory, a.Default), a.Doc})
	}
	return rows
}

func parameterRows(parameters []*Parameter) [][]string {
	var rows [][]string
	for _, p := range parameters {
		rows = append(rows, []string{code(stars(p) + p.Name), value(p.Mandatory, p.Default), p.Doc})
	}
	return rows
}

// stars returns what stands before a parameter that takes what the others leave.
// Bazel 7 states no roles; there, it is a parameter that is neither required nor has
// a default, and *args, which a macro has no use for, can't be distinguished from **kwargs.
func stars(p *Parameter) string {
	switch {
	case p.Role == roleVarargs:
		return "*"
	case p.Role == roleKwargs, p.Role == 0 && !p.Mandatory && p.Default == "":
		return "**"
	}
	return ""
}

// ownAttributes returns a rule's attributes without the name, which Bazel adds.
func ownAttributes(r *Rule) []*Attribute {
	return slices.DeleteFunc(slices.Clone(r.Attributes), func(a *Attribute) bool { return a.Name == "name" })
}

func value(mandatory bool, inStarlark string) string {
	switch {
	case mandatory:
		return "required"
	case inStarlark == "":
		return ""
	}
	return code(inStarlark)
}

func code(text string) string { return "`" + text + "`" }

func table(w *strings.Builder, first string, rows [][]string) {
	writeTable(w, []string{first, "Default", "What it is"}, rows)
}

func writeTable(w *strings.Builder, header []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat("---|", len(header)))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = oneLine(cell)
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

// oneLine fits a docstring in a table's cell, which holds neither lines nor bars.
func oneLine(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

// Missing names everything public that has no docstring, as "//a:b.bzl: rule x,
// attribute y".
func Missing(modules []*Module) []string {
	var missing []string
	for _, m := range modules {
		need := func(doc, format string, names ...any) {
			if strings.TrimSpace(doc) == "" {
				missing = append(missing, m.File+": "+fmt.Sprintf(format, names...))
			}
		}
		need(m.Doc, "the file")
		for _, r := range m.Rules {
			need(r.Doc, "rule %s", r.Name)
			needAttributes(need, "rule "+r.Name, ownAttributes(r))
		}
		for _, f := range m.Functions {
			need(f.Doc, "%s %s", kind(f), f.Name)
			for _, p := range f.Parameters {
				need(p.Doc, "%s %s, argument %s", kind(f), f.Name, p.Name)
			}
		}
		for _, e := range m.Extensions {
			need(e.Doc, "module extension %s", e.Name)
			for _, t := range e.Tags {
				need(t.Doc, "tag %s.%s", e.Name, t.Name)
				needAttributes(need, "tag "+e.Name+"."+t.Name, t.Attributes)
			}
		}
		for _, p := range m.Providers {
			need(p.Doc, "provider %s", p.Name)
			for _, f := range p.Fields {
				need(f.Doc, "provider %s, field %s", p.Name, f.Name)
			}
		}
	}
	return missing
}

func needAttributes(need func(doc, format string, names ...any), of string, attributes []*Attribute) {
	for _, a := range attributes {
		need(a.Doc, "%s, attribute %s", of, a.Name)
	}
}
