package graph

import (
	"cmp"
	"context"
	"path"
	"regexp"
	"slices"
	"strings"
)

// status connects the workspace status with the program that prints it, and with the
// files that the program names.
func (b *builder) status() {
	n := b.graph.Nodes[Status]
	program := b.side.statusProgram()
	stable, plain := b.side.StableStatus(b.ctx)
	var names []string
	for _, f := range b.side.statusFiles(b.ctx) {
		if plain && f == program {
			continue // Its stable values stand for it.
		}
		names = append(names, f)
		n.Edges = append(n.Edges, Edge{To: b.file("file "+f, f), Why: "printed by"})
	}
	if plain {
		n.File = program
	}
	if plain || len(names) > 0 {
		n.Digest = digest(append([]string{stable}, names...)...) // Also of what is no more there.
	}
}

// statusCommand is the command that prints the workspace status; empty if there is none.
func (s *Side) statusCommand() string {
	command := ""
	for _, o := range s.RC {
		if o.Name == "workspace_status_command" {
			command = o.Value
		}
	}
	return strings.ReplaceAll(command, "%workspace%/", "")
}

// statusProgram is the path of the program that prints the workspace status, "." if there
// is none. Of a command with arguments it is no path that exists.
func (s *Side) statusProgram() string {
	return path.Clean(s.statusCommand())
}

// statusFiles are the files of the workspace that the status command names, and those
// that they name.
func (s *Side) statusFiles(ctx context.Context) []string {
	var roots []string
	for _, f := range s.named(s.statusCommand(), ".", true) {
		roots = append(roots, f...)
	}
	return s.mentioned(ctx, roots, true)
}

// Unforeseen is a command or a variable that the status command asks for a stable value,
// of which is not known that its answer is the same for each commit and each tree; empty
// if there is none. What it reads in files that it names is not meant.
func (s *Side) Unforeseen(ctx context.Context) string {
	command := s.statusCommand()
	if command == "" {
		return ""
	}
	found := ""
	run := map[string]bool{}
	var queue []string
	texts := []string{command}
	scan := func(text, dir string) {
		assigned := map[string]bool{}
		for _, m := range assignment.FindAllStringSubmatch(text, -1) {
			assigned[m[1]+m[2]] = true
		}
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			if !assigned[m[1]] && !slices.Contains(constantVariables, m[1]) {
				found = cmp.Or(found, "$"+m[1])
			}
		}
		for line := range strings.Lines(text) {
			for _, word := range commands(line) {
				files := s.named(word, dir, true)
				if slices.Contains(interpreters, path.Base(word)) {
					files = s.named(line, dir, true)
				}
				for _, f := range slices.Concat(files...) {
					if !run[f] {
						run[f] = true
						queue = append(queue, f)
					}
				}
				if len(files) == 0 && !slices.Contains(constantCommands, path.Base(word)) && !assigned[word] {
					found = cmp.Or(found, word)
				}
			}
		}
	}
	scan(command, ".")
	program := s.statusProgram()
	_, plain := s.StableStatus(ctx)
	for i := 0; i < len(queue) && i < 200; i++ {
		content, err := s.Workspace.Snapshot.Read(ctx, queue[i])
		first, _, _ := strings.Cut(string(content), "\n")
		if err != nil || len(content) > 1<<20 || strings.ContainsRune(string(content), 0) || strings.HasPrefix(first, "#!") && !anyShell.MatchString(first) {
			found = cmp.Or(found, queue[i])
			continue
		}
		var lines []string
		for line := range strings.Lines(string(content)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !(plain && queue[i] == program && volatile(line)) {
				lines = append(lines, line)
			}
		}
		scan(strings.Join(lines, "\n"), path.Dir(queue[i]))
	}
	if !slices.Contains(printsNoKey, found) {
		return found
	}
	// Where no key of a stable value is written, all are volatile.
	for _, f := range s.statusFiles(ctx) {
		if content, err := s.Workspace.Snapshot.Read(ctx, f); err == nil {
			texts = append(texts, string(content))
		}
	}
	for _, text := range texts {
		if strings.Contains(text, "STABLE") || slices.ContainsFunc(stableByName, func(key string) bool { return strings.Contains(text, key) }) {
			return found
		}
	}
	return ""
}

var (
	// constantCommands depend on the machine, the user and the time, or on files that they
	// name, but not on what is committed.
	constantCommands = []string{
		"echo", "printf", "cat", "whoami", "hostname", "uname", "id", "date", "true", "false", ":", "exit", "set", "export", "readonly", "local", "read",
		"test", "[", "[[", "head", "tail", "tr", "cut", "grep", "sed", "wc", "basename", "dirname", "pwd", "sleep",
	}
	// constantVariables do so too.
	constantVariables = []string{"USER", "LOGNAME", "HOME", "HOSTNAME", "PWD", "SHELL", "PATH", "BASH_SOURCE"}
	interpreters      = []string{"sh", "bash", "dash", "exec", "env", ".", "source"}
	// printsNoKey print values only, no keys.
	printsNoKey = []string{"git", "hg", "svn", "jj"}
	anyShell    = regexp.MustCompile(`^#!.*\b(?:ba|da|k|z)?sh\b`)
	variable    = regexp.MustCompile(`\$\{?[#!]?([A-Za-z_][A-Za-z0-9_]*)`)
	// assignment gives a name a value, or is a function of that name.
	assignment = regexp.MustCompile(`\b(?:read |for )?([A-Za-z_][A-Za-z0-9_]*)(?:\+?=| in | *\(\))|\bread(?: -\w+)* ([A-Za-z_]\w*)`)
	keywords   = []string{"if", "then", "else", "elif", "fi", "while", "until", "do", "done", "!", "{", "}", "esac", "time"}
	setsFirst  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\+?=`)
)

// commands are the words of a line of a shell's script that may be commands. Quotes mean
// nothing to it: what looks like a command in a text counts as one.
func commands(line string) []string {
	var found []string
	var open []bool // of $(, whether a command comes after it
	next, glued := true, false
	word := ""
	end := func() {
		w := strings.Trim(word, `"'`)
		word = ""
		switch {
		case w == "" || glued:
		case !next:
		case w == "for" || w == "case" || w == "select" || w == "function" || strings.HasPrefix(w, "<") || strings.HasPrefix(w, ">"):
			next = false
		case slices.Contains(keywords, w) || setsFirst.MatchString(w):
		default:
			found, next = append(found, w), false
		}
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			end()
			glued = false
		case c == '$' && strings.HasPrefix(line[i:], "$("):
			end()
			open = append(open, next)
			next, glued = true, false
			i++
		case c == ')' && len(open) > 0:
			end()
			next, glued = open[len(open)-1], true // What comes after it is of the same word.
			open = open[:len(open)-1]
		case strings.IndexByte(";&|()\x60", c) >= 0:
			end()
			next, glued = true, false
		default:
			word += string(c)
		}
	}
	end()
	return found
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
