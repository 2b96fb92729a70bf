package run

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Suffix says which shard, run and attempt it is, where there are several.
func (s *Shard) Suffix() string {
	var parts []string
	if s.Of > 1 {
		parts = append(parts, fmt.Sprintf("shard %d of %d", s.Shard, s.Of))
	}
	if s.Run > 1 {
		parts = append(parts, fmt.Sprintf("run %d", s.Run))
	}
	if s.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", s.Attempt))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// rerun writes the commands that run again what failed.
func (l *loader) rerun() {
	program := cmp.Or(l.Program, l.prefix, "bazel")
	verb := "test"
	if l.run.Command == "coverage" {
		verb = "coverage"
	}
	options := rerunOptions(l.run.Options)
	var targets []string
	for _, s := range l.run.Shards {
		if s.Final && s.Verdict.Bad() {
			targets = append(targets, s.Target)
			s.Rerun = cmp.Or(s.Rerun, strings.Join(slices.Concat([]string{program, verb, shellWord(s.Target)}, options), " "))
		}
	}
	for _, b := range l.run.Builds {
		if b.Label != "" {
			targets = append(targets, b.Label)
		}
	}
	for _, f := range l.run.Failures {
		f.Rerun = f.Shard.Rerun
		if f.Case.Spec {
			f.Rerun = strings.Join(slices.Concat([]string{program, verb, shellWord(f.Shard.Target),
				"--test_filter=" + shellQuote("^"+expressionFor(f.Case.Name)+"$")}, sharding(f.Shard), options), " ")
		}
	}
	slices.Sort(targets)
	targets = slices.Compact(targets)
	for i, t := range targets {
		targets[i] = shellWord(t)
	}
	if len(targets) > 0 {
		l.run.Rerun = strings.Join(slices.Concat([]string{program, verb}, targets, options), " ")
	}
}

// sharding is off for one spec, since every shard but its own would have nothing to do.
func sharding(s *Shard) []string {
	if s.Of < 2 {
		return nil
	}
	return []string{"--test_sharding_strategy=disabled"}
}

// rerunOptions are the options of the command line that change what a test does. Those that
// choose what is tested, or where Bazel writes, are left out.
func rerunOptions(options []string) []string {
	var kept []string
	for _, o := range options {
		for _, prefix := range []string{
			"--config=", "--test_arg=", "--test_env=", "--strategy", "--spawn_strategy=", "--compilation_mode=", "--define=", "--copt=",
			"--@", "--//", "--features=", "--platforms=", "--remote_executor=", "--test_timeout=", "--run_under=",
		} {
			if strings.HasPrefix(o, prefix) && o != "--config=report" {
				kept = append(kept, shellWord(o))
				break
			}
		}
	}
	return kept
}

// expressionFor matches this text, and is one line that can be printed.
func expressionFor(text string) string {
	var expression strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			expression.WriteString(regexp.QuoteMeta(string(r)))
		} else {
			fmt.Fprintf(&expression, `\x{%x}`, r)
		}
	}
	return expression.String()
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./^-]+$`)

// shellWord quotes a word if a shell would read more into it.
func shellWord(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return shellQuote(text)
}

func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
