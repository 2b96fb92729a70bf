package browser

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Promise: / goes to the search, which leaves the rows that have all words, and says how
// many; Escape leaves it, and Clear shows all again.
func TestSearch(t *testing.T) {
	tb := open(t, draw(t, withHistory(t), nil), desk)
	tb.press("/")
	tb.expect(`document.activeElement.id === "f-text" && document.activeElement.value === ""`, "the focus in the empty search")
	// The keys of the page are letters here.
	tb.press("Storm np+- ")
	tb.expect(`document.activeElement.value === "Storm np+- "`, "letters in the search")
	tb.until(`document.querySelectorAll("[data-filter]:not(.hidden)").length === 0`)
	tb.press(strings.Repeat(kb.Backspace, 6) + " PANICS")
	// Rows are filtered a moment after each key.
	tb.until(`/^[1-9][0-9]* of [0-9]+ rows$/.test(document.getElementById("f-count").textContent) &&
		[...document.querySelectorAll("[data-filter]:not(.hidden)")].every((e) => /storm/i.test(e.textContent) && /panics/i.test(e.textContent))`)
	tb.expect(`[...document.querySelectorAll("[data-filter].hidden")].every((e) => !(/storm/i.test(e.textContent) && /panics/i.test(e.textContent)) && e.getBoundingClientRect().height === 0)`, "others out of sight")
	tb.press(kb.Escape)
	tb.expect(`document.activeElement === document.body`, "the focus outside of the search")
	tb.check(chromedp.Do(tb.ctx, chromedp.Click(chromedp.CSS(".filter button[type=reset]"))))
	tb.until(`document.querySelectorAll("[data-filter].hidden").length === 0 && document.getElementById("f-count").textContent === ""`)
	tb.quiet()
}

// Promise: each choice of verdict, target and environment shows its own rows, and never none.
func TestFilters(t *testing.T) {
	tb := open(t, draw(t, withHistory(t), nil), desk)
	for field, attribute := range map[string]string{"f-verdict": "verdict", "f-target": "target", "f-env": "env"} {
		wrong := evaluate[[]string](tb, `(async () => {
			const wrong = [];
			const field = document.getElementById("`+field+`");
			for (const option of field.options) {
				if (!option.value) continue;
				field.value = option.value;
				field.dispatchEvent(new Event("input", {bubbles: true}));
				await new Promise((done) => setTimeout(done, 150));
				const left = [...document.querySelectorAll("[data-filter]:not(.hidden)")];
				if (!left.length) wrong.push(option.value + " shows nothing");
				const others = left.filter((e) => e.dataset["`+attribute+`"] && e.dataset["`+attribute+`"] !== option.value);
				if (others.length) wrong.push(option.value + " shows " + others[0].textContent.slice(0, 80));
			}
			field.value = "";
			field.dispatchEvent(new Event("input", {bubbles: true}));
			await new Promise((done) => setTimeout(done, 150));
			return wrong;
		})()`)
		for _, w := range wrong {
			t.Errorf("%s: %s", field, w)
		}
	}
	tb.quiet()
}

// Promise: n and p go through the failures, round the end, unfold each and show where it
// begins, below what stays at the window's top.
func TestFailuresByKey(t *testing.T) {
	file := draw(t, failures(t), nil)
	for _, width := range []int64{400, 800, 1280, 2000} {
		v := view{width: width, scheme: "light"}
		t.Run(v.String(), func(t *testing.T) {
			tb := open(t, file, v)
			at := func(i string) {
				t.Helper()
				tb.expect(`(() => { const all = [...document.querySelectorAll("details.failure")]; const f = all.at(`+i+`);
					return all.length > 5 && f.open && document.activeElement === f.querySelector("summary"); })()`, "failure "+i)
				tb.expect(`(() => { const nav = document.querySelector("nav"); const r = document.activeElement.getBoundingClientRect();
					const free = getComputedStyle(nav).position === "sticky" ? nav.getBoundingClientRect().bottom : 0;
					return r.top >= free - 1 && r.bottom <= innerHeight; })()`, "failure "+i+" in sight")
			}
			tb.press("p")
			at("-1")
			tb.press("n")
			at("0")
			tb.press("nn")
			at("2")
			tb.press("p")
			at("1")
			tb.press("pp")
			at("-1")
			tb.quiet()
		})
	}
}

// Promise: arrows, Home and End walk the time axis, which one press of Tab enters; each
// span is described; + and - zoom, and keep the place.
func TestAxisByKey(t *testing.T) {
	tb := open(t, draw(t, failures(t), nil), desk)
	const focused = `document.activeElement`
	one := func() {
		t.Helper()
		tb.expect(`document.querySelectorAll('.axis .span[tabindex="0"]').length === 1 && `+focused+`.matches(".axis .span[tabindex='0']")`, "one span that Tab leads to, with the focus")
		tb.expect(`document.getElementById("axis-said").textContent === `+focused+`.getAttribute("aria-label")`, "the span's description below the axis")
	}
	evaluate[bool](tb, `document.getElementById("save-trace").focus(), true`)
	// The axis scrolls only when zoomed: browsers let Tab stop at what scrolls.
	tb.press(kb.Tab)
	one()
	// A lane with several spans.
	evaluate[bool](tb, `[...document.querySelectorAll("ol.track")].find((l) => l.querySelectorAll(".span").length > 2).querySelector(".span").focus(), true`)
	tb.press(kb.Home)
	one()
	first := tb.focus()
	tb.press(kb.ArrowRight)
	one()
	second := tb.focus()
	if first == second {
		t.Errorf("the right arrow stays at %s", first)
	}
	tb.press(kb.ArrowLeft)
	if now := tb.focus(); now != first {
		t.Errorf("back is at %s, not %s", now, first)
	}
	tb.press(kb.End)
	tb.expect(focused+`.span && ![...`+focused+`.closest("ol").querySelectorAll(".span")].some((b) => b.span.start > `+focused+`.span.start)`, "the last span of its lane")
	tb.press(kb.End + kb.ArrowRight)
	one()
	tb.press(kb.Home)
	lane := `[...document.querySelectorAll("ol.track")].indexOf(` + focused + `.closest("ol"))`
	was := evaluate[int](tb, lane)
	tb.press(kb.ArrowDown)
	one()
	if now := evaluate[int](tb, lane); now != was+1 {
		t.Errorf("from lane %d the down arrow leads to %d", was, now)
	}
	tb.press(kb.ArrowUp)
	if now := evaluate[int](tb, lane); now != was {
		t.Errorf("the up arrow leads to lane %d, not %d", now, was)
	}

	width := `document.querySelector(".axis .rows").getBoundingClientRect().width`
	narrow, here := evaluate[float64](tb, width), tb.focus()
	tb.press("++")
	if wide := evaluate[float64](tb, width); wide < 3.9*narrow || wide > 4.1*narrow {
		t.Errorf("two presses of + make %.0f px of %.0f", wide, narrow)
	}
	tb.expect(`document.documentElement.scrollWidth <= document.documentElement.clientWidth`, "the axis alone to scroll")
	one()
	if now := tb.focus(); now != here {
		t.Errorf("+ leads from %s to %s", here, now)
	}
	tb.press("---")
	if now := evaluate[float64](tb, width); now != narrow {
		t.Errorf("- leaves %.0f px, not %.0f", now, narrow)
	}
	// To what it belongs.
	tb.press(kb.Enter)
	tb.expect(`location.hash.length > 1 && document.getElementById(location.hash.slice(1)).getBoundingClientRect().height > 0`, "the shard or failure of the span")
	tb.quiet()
}

// Promise: the first press of Tab offers a way past the head, which can then be seen.
func TestSkipLink(t *testing.T) {
	tb := open(t, draw(t, failures(t), nil), desk)
	tb.press(kb.Tab)
	tb.expect(`document.activeElement.matches(".skip") && document.activeElement.getBoundingClientRect().left >= 0`, "the link to the failures")
	tb.press(kb.Enter)
	tb.until(`location.hash === "#failures" && Math.abs(document.getElementById("failures").getBoundingClientRect().top) < innerHeight / 2`)
}

// Promise: a link to a failure, as a person sends it to another, unfolds it.
func TestLinkToFailure(t *testing.T) {
	content := failures(t)
	last := content.Run.Failures[len(content.Run.Failures)-1].ID
	tb := open(t, draw(t, content, nil), desk, last)
	tb.expect(`document.getElementById("`+last+`").open`, "the failure unfolded")
	tb.until(`(() => { const r = document.getElementById("` + last + `").getBoundingClientRect(); return r.top >= 0 && r.top < innerHeight; })()`)
}

// Promise: a command is copied by a button that says so.
func TestCopy(t *testing.T) {
	tb := open(t, draw(t, failures(t), nil), desk)
	tb.check(chromedp.Do(tb.ctx, chromedp.Click(chromedp.CSS(`[data-copy="rerun-all"]`))))
	tb.until(`document.querySelector('[data-copy="rerun-all"]').textContent === "Copied"`)
	tb.press("/")
	// What was copied can be pasted.
	call(tb, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Commands: []string{"paste"}})
	tb.expect(`document.getElementById("f-text").value === document.getElementById("rerun-all").textContent.replace(/\n/g, "")`, "the command in the clipboard")
}

// Promise: the time axis is saved as a trace, without the network.
func TestSaveTrace(t *testing.T) {
	dir := t.TempDir()
	tb := open(t, draw(t, failures(t), nil), desk)
	events := true
	_, err := chromedp.CallBrowser(tb.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir, EventsEnabled: &events,
	})
	tb.check(err)
	done := make(chan string, 10)
	tb.check(chromedp.ListenBrowser(tb.ctx, func(event any) {
		if e, ok := event.(*cdpbrowser.EventDownloadProgress); ok && e.State != cdpbrowser.DownloadProgressStateInProgress {
			done <- string(e.State)
		}
	}))
	tb.check(chromedp.Do(tb.ctx, chromedp.Click(chromedp.CSS("#save-trace"))))
	select {
	case state := <-done:
		if state != string(cdpbrowser.DownloadProgressStateCompleted) {
			t.Fatalf("the download is %s", state)
		}
	case <-tb.ctx.Done():
		t.Fatal("no download")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.trace.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	tb.check(err)
	var trace struct {
		TraceEvents []struct{ Ph string }
	}
	if err := json.Unmarshal(content, &trace); err != nil {
		t.Fatal(err)
	}
	spans := 0
	for _, e := range trace.TraceEvents {
		if e.Ph == "X" || e.Ph == "i" {
			spans++
		}
	}
	tb.unfold()
	if want := tb.structure().Spans; spans != want || spans == 0 {
		t.Errorf("the trace has %d spans, the axis %d", spans, want)
	}
	tb.quiet()
}
