package export

import (
	"fmt"
	"io"
	"strings"

	"stormgate.internal/tools/report/internal/run"
)

// How much a summary lists.
const (
	markdownGroups = 30
	markdownSpecs  = 10
)

// Markdown writes a summary for people, such as CI shows one.
func Markdown(w io.Writer, r *run.Run) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## Test run: %s\n\n%s\n\n", mark(r.Verdict.Words()), mark(r.Headline))
	c := r.Counts
	fmt.Fprintf(&b, "| shards | ran | cached | failed | specs | passed | failed | skipped | time |\n|---|---|---|---|---|---|---|---|---|\n| %d | %d | %d | %d | %d | %d | %d | %d | %.1f s |\n",
		c.Shards, c.Ran, c.Cached, c.FailedShards, c.Specs, c.Passed, c.Failed, c.Skipped, r.Seconds)
	if r.Rerun != "" {
		fmt.Fprintf(&b, "\nRun again what failed:\n\n%s\n", fence(r.Rerun))
	}
	for i, g := range r.Groups {
		if i == markdownGroups {
			fmt.Fprintf(&b, "\nand %d more kinds of failure\n", len(r.Groups)-i)
			break
		}
		fmt.Fprintf(&b, "\n### %s: %s\n\n", mark(g.Verdict.Words()), mark(cut(g.Message, 200)))
		for j, f := range g.Failures {
			if j == markdownSpecs {
				fmt.Fprintf(&b, "- and %d more\n", len(g.Failures)-j)
				break
			}
			fmt.Fprintf(&b, "- %s: %s, %s\n", mark(f.Shard.Name()), mark(cut(f.Case.Name, 300)), mark(f.Place))
		}
		first := g.Failures[0]
		fmt.Fprintf(&b, "\n%s\n%s\n", fence(cut(first.Message, 2000)), fence(first.Rerun))
	}
	for _, f := range r.Builds {
		fmt.Fprintf(&b, "\n### build: %s of %s\n\n%s\n", mark(f.Mnemonic), mark(f.Label), fence(cut(f.First, 1000)))
	}
	if len(r.NotRun) > 0 {
		fmt.Fprintf(&b, "\n%d tests did not run:\n\n", len(r.NotRun))
		for i, n := range r.NotRun {
			if i == markdownSpecs {
				fmt.Fprintf(&b, "- and %d more\n", len(r.NotRun)-i)
				break
			}
			fmt.Fprintf(&b, "- %s: %s\n", mark(n.Label), mark(cut(n.Reason, 200)))
		}
	}
	if len(r.Problems) > 0 {
		fmt.Fprintf(&b, "\n%d things could not be read; the page names them.\n", len(r.Problems))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + fmt.Sprintf("... (%d more bytes)", len(text)-limit)
}

// mark makes text a piece of one line without Markdown or HTML in it.
func mark(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "<", "&lt;", ">", "&gt;", "&", "&amp;", "|", "\\|", "#", "\\#", "@", "&#64;").Replace(text)
}

// fence puts text between fences that it has nowhere itself.
func fence(text string) string {
	marks := "```"
	for strings.Contains(text, marks) {
		marks += "`"
	}
	return marks + "\n" + text + "\n" + marks
}
