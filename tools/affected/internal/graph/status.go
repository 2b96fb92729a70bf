package graph

import (
	"context"
	"path"
	"regexp"
	"slices"
	"strings"
)

// status connects the workspace status with the program that prints it, and with the
// files that the program names.
func (b *builder) status() {
	program := b.side.statusProgram()
	n := b.graph.Nodes[Status]
	stable, plain := b.side.StableStatus(b.ctx)
	if plain {
		n.File, n.Digest = program, digest(stable)
	}
	for _, f := range b.side.Mentioned(b.ctx, program) {
		if !plain || f != program {
			n.Edges = append(n.Edges, Edge{To: b.file("file "+f, f), Why: "printed by"})
		}
	}
}

// statusProgram is the path of the program that prints the workspace status, "." if there
// is none.
func (s *Side) statusProgram() string {
	command := ""
	for _, o := range s.RC {
		if o.Name == "workspace_status_command" {
			command = o.Value
		}
	}
	return path.Clean(strings.TrimPrefix(command, "%workspace%/"))
}

// StableStatus is what decides on the stable values that the program prints: its lines
// without comments and without those that print a volatile value, which enters no key.
// It fails for a program that isn't a list of plain lines.
func (s *Side) StableStatus(ctx context.Context) (string, bool) {
	program := s.statusProgram()
	content, err := s.Workspace.Snapshot.Read(ctx, program)
	if err != nil {
		return "", false
	}
	text := string(content)
	first, _, _ := strings.Cut(text, "\n")
	if !slices.Contains(shells, first) {
		return "", false
	}
	stable := []string{first, string(s.Workspace.Snapshot.Mode(program))}
	if ownName.MatchString(text) {
		stable = append(stable, program)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case !plainLine(line):
			return "", false
		case !volatile(line):
			stable = append(stable, line)
		}
	}
	return strings.Join(stable, "\n"), true
}

var (
	shells = []string{"#!/bin/sh", "#!/bin/bash", "#!/usr/bin/env bash", "#!/usr/bin/env sh"}
	// ownName is by what a script may depend on where it is, or on its own text.
	ownName = regexp.MustCompile(`\$\{?0|BASH_SOURCE|LINENO|\bpwd\b|PWD`)
	// structure begins what goes on in other lines.
	structure = regexp.MustCompile(`<<|[{}]|(?:\\|&&|\|)$|\$[?_]|^(?:if|then|else|elif|fi|for|while|until|do|done|case|esac|select|function|exec|trap|source|eval|alias|enable|unset)\b|^\. |\(\)`)
	// printed is a line that prints one value: echo KEY VALUE, with the value in quotes or
	// not. What a substitution runs in it must leave nothing behind.
	printed = regexp.MustCompile(`^echo (?:"([A-Z][A-Z0-9_]*) ((?:[^"$\x60\\]|\$\((?:date|hostname|whoami|git (?:rev-parse|rev-list|describe|log|status|branch|symbolic-ref))(?: [^()"$\x60<>|&;]*)?\))*)"|([A-Z][A-Z0-9_]*) [A-Za-z0-9_. :/+-]*)$`)
)

// plainLine says that what a line means is not decided by other lines' structure: it
// begins and ends no block, here-document or quotation.
func plainLine(line string) bool {
	return !structure.MatchString(line) && strings.Count(line, `"`)%2 == 0 && strings.Count(line, "'")%2 == 0 && strings.Count(line, "`")%2 == 0 && strings.Count(line, "(") == strings.Count(line, ")")
}

// volatile says that a line prints a value whose key Bazel takes for a volatile one, and
// does nothing else.
func volatile(line string) bool {
	m := printed.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	key := m[1] + m[3]
	return !strings.HasPrefix(key, "STABLE_") && !slices.Contains(stableByName, key)
}

// stableByName are keys that Bazel itself has among the stable ones.
var stableByName = []string{"BUILD_EMBED_LABEL", "BUILD_HOST", "BUILD_USER"}
