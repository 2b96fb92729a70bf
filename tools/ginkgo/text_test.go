package ginkgo

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain é 漢 🙂":               "plain é 漢 🙂",
		"a\tb\r\nc":                 "a\tb\r\nc",
		"\x1b[31mred\x1b[0m\x1b[2K": "red",
		"nul \x00, bell \x07":       "nul \uFFFD, bell \uFFFD",
		"cut \xe6\xbc":              "cut \uFFFD",
		"\uFFFE\uFFFF":              "\uFFFD\uFFFD",
		"\xed\xa0\x80":              "\uFFFD", // a surrogate
		"\x1b no sequence":          "\uFFFD no sequence",
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
}

// Whatever a spec prints, test.xml is read back as the same text: a single byte
// that XML forbids would make Bazel drop the whole file.
func FuzzTextSurvivesXML(f *testing.F) {
	for _, seed := range []string{"", "a]]>b", "<&>\"'", "\x00\x1b[1m\xff", "\u0085\u2028\uFFFF", "\r\n\r", strings.Repeat("é", 300)} {
		f.Add(seed, 64)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(limit&0xfff, 1)
		clean := printable(text)
		if !utf8.ValidString(clean) || printable(clean) != clean {
			t.Fatalf("printable(%q) = %q is not clean", text, clean)
		}
		if short := shorten(clean, limit); !utf8.ValidString(short) || (len(clean) <= limit && short != clean) || len(short) > limit+60 {
			t.Fatalf("shorten(%q, %d) = %q", clean, limit, short)
		}
		content, err := render(text, text, time.Now(), time.Second, []xmlProperty{{Name: "p", Value: printable(text)}}, []testCase{
			{Name: text, Output: text, Verdict: failed, Kind: "failed", Message: text, Details: text},
			{Name: text, Verdict: skipped, Message: text},
		})
		if err != nil {
			t.Fatal(err)
		}
		var back xmlSuites
		decoder := xml.NewDecoder(bytes.NewReader(content))
		if err := decoder.Decode(&back); err != nil {
			t.Fatalf("%v\n%s", err, content)
		}
		c := back.Suites[0].Cases[0]
		if len(text) <= outputLimit && (c.Failure.Text != clean || c.Name != clean || (text != "" && c.Output.Text != clean)) {
			t.Fatalf("%q became %+v", text, c)
		}
	})
}

func TestFirstLines(t *testing.T) {
	got := firstLines("one\n\n  two is rather long\nthree\nfour\n", 3, 10)
	want := []string{"one", "  two is r...", "three ..."}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("firstLines = %q, want %q", got, want)
	}
}

func TestShellQuote(t *testing.T) {
	if got, want := shellQuote(`^it's "so" $HOME$`), `'^it'\''s "so" $HOME$'`; got != want {
		t.Errorf("shellQuote = %s, want %s", got, want)
	}
}

func TestClassName(t *testing.T) {
	for label, want := range map[string]string{
		"":                     "suite",
		"//e2e:storm_test":     "e2e.storm_test",
		"@@other//a/b:c_test":  "other.a.b.c_test",
		"//:top_test":          "top_test",
		"@stormgate//e2e:test": "stormgate.e2e.test",
	} {
		if got := (protocol{target: label}).className("suite"); got != want {
			t.Errorf("class name of %q: %q, want %q", label, got, want)
		}
	}
}
