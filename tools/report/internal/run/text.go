package run

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// keepLimit is how much of a text is kept at all, in bytes.
const keepLimit = 256 << 10

// Text is a log or a part of one. What is shown of it depends on the room that a page has.
type Text struct {
	text string
	// Lines and Bytes are of the whole.
	Lines, Bytes int
	lost         int // bytes of the whole that were not kept
	// end says that the beginning matters less: what is left out is left out there.
	end bool
}

// newTail is the end of a text of size bytes. What it has is valid UTF-8 by then, which may
// take more bytes.
func newTail(text string, size int) Text {
	return Text{text: text, Bytes: max(size, len(text)), Lines: lines(text), lost: max(0, size-len(text)), end: true}
}

// NewText keeps both ends of a text that is too long.
func NewText(text string) Text {
	t := Text{text: text, Bytes: len(text), Lines: lines(text)}
	if len(text) > keepLimit {
		head, tail := ends(text, keepLimit)
		t.text = head + "\n" + tail
		t.lost = len(text) - len(head) - len(tail)
	}
	return t
}

func lines(text string) int {
	if text == "" {
		return 0
	}
	return strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1
}

// Empty reports whether there is nothing.
func (t Text) Empty() bool { return t.Bytes == 0 }

// Show returns at most limit bytes, and a count of what is left out between head and tail.
// Note is empty if nothing is, and tail is then.
func (t Text) Show(limit int) (head, note, tail string) {
	if len(t.text) <= limit && t.lost == 0 {
		return t.text, "", ""
	}
	limit = min(limit, len(t.text))
	if t.end {
		_, tail = ends(t.text, limit)
		if limit == len(t.text) {
			tail = t.text
		}
		return "", fmt.Sprintf("the first %d of %d bytes are left out here", t.Bytes-len(tail), t.Bytes), tail
	}
	head, tail = ends(t.text, limit)
	shown := len(head) + len(tail)
	return head, fmt.Sprintf("%d of %d bytes left out here, of %d lines in all", t.Bytes-shown, t.Bytes, t.Lines), tail
}

// ends returns the first and the last part of a text, limit bytes together, at the ends of
// lines where these are near, and of runes.
func ends(text string, limit int) (head, tail string) {
	h, t := limit/3, len(text)-(limit-limit/3)
	if n := strings.LastIndexByte(text[:h], '\n'); n > h-400 && n >= 0 {
		h = n + 1
	}
	if n := strings.IndexByte(text[t:], '\n'); n >= 0 && n < 400 {
		t += n + 1
	}
	for h > 0 && h < len(text) && !utf8.RuneStart(text[h]) {
		h--
	}
	for t < len(text) && !utf8.RuneStart(text[t]) {
		t++
	}
	return text[:h], text[t:]
}
