package browser

import (
	"slices"
	"strings"
	"testing"
)

var views = []view{
	{width: 400, scheme: "light"}, {width: 400, scheme: "dark"},
	{width: 1280, scheme: "light"}, {width: 1280, scheme: "dark"},
	{width: 2000, scheme: "light"}, {width: 2000, scheme: "dark"},
}

// Promise: whatever is on it, at each width and in each scheme, folded and unfolded, the
// whole page can be read: nothing is cut off, covers something else or leaves the window.
// It asks nothing of the network and breaks none of its own rules.
func TestLook(t *testing.T) {
	for name, content := range pages {
		file := draw(t, content(t), nil)
		for _, v := range views {
			t.Run(name+" "+v.String(), func(t *testing.T) {
				tb := open(t, file, v)
				look(tb, v, name)
				tb.photograph(name + "-" + v.String())
				tb.unfold()
				look(tb, v, name)
				tb.quiet()
			})
		}
	}
}

func look(tb *tab, v view, name string) {
	tb.t.Helper()
	s := tb.structure()
	for _, problem := range s.Problems {
		tb.t.Error(problem)
	}
	want := []string{"Failures", "Time", "Shards, and why each ran", "Specs and other test cases", "Balance", "The cluster under it", "History", "Not read, not shown, not said"}
	if name != "nothing" {
		want = slices.Insert(want, 6, "Attempts side by side")
	}
	if !slices.Equal(s.Sections, want) {
		tb.t.Errorf("parts are %q, want %q", s.Sections, want)
	}
	light := (0.2126*s.Background[0] + 0.7152*s.Background[1] + 0.0722*s.Background[2]) / 255
	if v.scheme == "light" && light < 0.8 || v.scheme == "dark" && light > 0.2 {
		tb.t.Errorf("the ground has a lightness of %.2f", light)
	}
	if name == "nothing" {
		return
	}
	if s.Texts < 200 || s.Spans < 10 {
		tb.t.Errorf("%d texts and %d spans are seen", s.Texts, s.Spans)
	}
	// What failed is what a person looks for. A narrow window has little but the head first.
	if limit := map[bool]float64{true: viewHeight, false: 2 * viewHeight}[v.width > 700]; s.FirstFailure < 0 || s.FirstFailure > limit {
		tb.t.Errorf("the first failure begins at %.0f px", s.FirstFailure)
	}
}

// Promise: the runs of a history stand in one row as far as there is room for them, however
// long a spec's name is.
func TestStrips(t *testing.T) {
	content := long(t)
	file := draw(t, content, nil)
	for _, width := range []int64{400, 1280, 2000} {
		v := view{width: width, scheme: "light"}
		t.Run(v.String(), func(t *testing.T) {
			tb := open(t, file, v)
			tb.expect(`(() => { const all = [...document.querySelectorAll(".strip")];
				return all.length > 3 && all.every((s) => s.children.length >= 30 && s.getBoundingClientRect().height < 20); })()`, "strips of one row")
			tb.expect(`new Set([...document.querySelectorAll(".strip i.p")].slice(0, 20).map((i) => Math.round(i.getBoundingClientRect().width))).size === 1`, "runs of one width")
		})
	}
}

// Promise: axe finds nothing serious, folded and unfolded.
func TestAccessibility(t *testing.T) {
	for _, name := range []string{"history", "nothing"} {
		file := draw(t, pages[name](t), nil)
		for _, v := range []view{{width: 400, scheme: "light"}, {width: 1280, scheme: "light"}, {width: 1280, scheme: "dark"}} {
			t.Run(name+" "+v.String(), func(t *testing.T) {
				tb := open(t, file, v)
				for _, how := range []string{"folded", "unfolded"} {
					for _, f := range tb.axe() {
						if f.serious() {
							t.Errorf("%s: %v", how, f)
						} else {
							t.Logf("%s: %v", how, f)
						}
					}
					tb.unfold()
				}
			})
		}
	}
}

// Promise: these tests see what they are there to see. Each is shown a page with that fault.
func TestFaultsAreSeen(t *testing.T) {
	content := failures(t)
	inBody := func(html string) func(string) string {
		return func(page string) string { return strings.Replace(page, "<main>", "<main>"+html, 1) }
	}
	seen := func(t *testing.T, all []string, part string) {
		t.Helper()
		if !slices.ContainsFunc(all, func(text string) bool { return strings.Contains(text, part) }) {
			t.Errorf("nothing says %q: %q", part, all)
		}
	}
	t.Run("too wide", func(t *testing.T) {
		tb := open(t, draw(t, content, inBody(`<p style="width:3000px">wide</p>`)), desk)
		seen(t, tb.structure().Problems, "the page is")
	})
	t.Run("covered", func(t *testing.T) {
		tb := open(t, draw(t, content, inBody(`<div style="position:relative"><p>below</p><p style="position:absolute;top:0;margin:0">above</p></div>`)), desk)
		seen(t, tb.structure().Problems, "stand over each other")
	})
	t.Run("cut off", func(t *testing.T) {
		tb := open(t, draw(t, content, inBody(`<p style="overflow:hidden;width:3rem;white-space:nowrap">longer than its box</p>`)), desk)
		seen(t, tb.structure().Problems, "is cut off")
	})
	t.Run("policy", func(t *testing.T) {
		tb := open(t, draw(t, content, inBody(`<img alt="" src="http://127.0.0.1:9/x.png">`)), desk)
		_, complaints := tb.heard()
		seen(t, complaints, "Content Security Policy")
	})
	t.Run("request", func(t *testing.T) {
		tb := open(t, draw(t, content, func(page string) string {
			return strings.Replace(inBody(`<img alt="" src="http://127.0.0.1:9/x.png">`)(page), "Content-Security-Policy", "x-none", 1)
		}), desk)
		requests, _ := tb.heard()
		seen(t, requests, "http://127.0.0.1:9/x.png")
	})
	t.Run("exception", func(t *testing.T) {
		tb := open(t, draw(t, content, inBody(`<script>throw new Error("planted")</script>`)), desk)
		_, complaints := tb.heard()
		seen(t, complaints, "planted")
	})
	t.Run("accessibility", func(t *testing.T) {
		tb := open(t, draw(t, content, inBody(`<input><p style="color:#ccc;background:#fff">pale</p>`)), desk)
		var serious []string
		for _, f := range tb.axe() {
			if f.serious() {
				serious = append(serious, f.ID)
			}
		}
		seen(t, serious, "label")
		seen(t, serious, "color-contrast")
	})
}

// Promise: without JavaScript all but the time axis is there, and that is said.
func TestWithoutScript(t *testing.T) {
	tb := open(t, draw(t, failures(t), nil), view{width: 1280, scheme: "light", still: true})
	tb.expect(`document.querySelector("noscript").getBoundingClientRect().height > 0`, "a word about the time axis")
	tb.expect(`document.querySelectorAll(".axis .span").length === 0 && document.getElementById("axis-tools").hidden`, "no axis and no tools of one")
	tb.expect(`document.querySelectorAll("#shards tbody tr").length > 5 && document.querySelector("details.failure").open`, "shards and failures")
	tb.quiet()
}
