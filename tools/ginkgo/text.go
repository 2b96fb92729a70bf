package ginkgo

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

var terminalSequence = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]")

// printable makes text fit for XML 1.0 and for a terminal: escape sequences are
// dropped, what is not UTF-8 or not a character of XML becomes U+FFFD.
func printable(text string) string {
	text = terminalSequence.ReplaceAllString(text, "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r',
			r >= 0x20 && r <= 0xD7FF,
			r >= 0xE000 && r <= 0xFFFD,
			r >= 0x10000 && r <= 0x10FFFF:
			return r
		}
		return utf8.RuneError
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// shorten cuts the middle out of text that is longer than limit bytes, at rune
// boundaries. In its place stands how many bytes are left out.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	head, tail := limit/2, len(text)-limit/2
	for head > 0 && !utf8.RuneStart(text[head]) {
		head--
	}
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	return fmt.Sprintf("%s\n... %d bytes left out ...\n%s", text[:head], tail-head, text[tail:])
}

// firstLines returns at most n lines of text that are not blank, none longer
// than width runes.
func firstLines(text string, n, width int) []string {
	var lines []string
	for line := range strings.Lines(printable(text)) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			continue
		}
		if len(lines) == n {
			lines[n-1] += " ..."
			break
		}
		if utf8.RuneCountInString(line) > width {
			line = string([]rune(line)[:width]) + "..."
		}
		lines = append(lines, line)
	}
	return lines
}

// sourcePath drops what differs between machines: the path of the sandbox.
func sourcePath(file string) string {
	for _, root := range []string{"/execroot/_main/", ".runfiles/_main/"} {
		if _, inside, found := strings.Cut(file, root); found {
			return inside
		}
	}
	return file
}
