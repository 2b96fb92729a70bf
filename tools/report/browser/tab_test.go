package browser

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"stormgate.internal/tools/runfiles"
)

// patience bounds a test. A tab needs seconds, unless the machine has much else to do.
const patience = 3 * time.Minute

// view is how a person looks at a page.
type view struct {
	width  int64
	scheme string // "light" or "dark"
	// still: no script runs.
	still bool
}

const viewHeight = 900

// desk is the view of tests in which it plays no part.
var desk = view{width: 1280, scheme: "light"}

func (v view) String() string { return fmt.Sprintf("%d px %s", v.width, v.scheme) }

// tab is a page that is looked at.
type tab struct {
	t     *testing.T
	ctx   context.Context
	url   string
	still bool

	mu sync.Mutex
	// requests are all URLs but the page's own.
	requests []string
	// complaints are errors and warnings of the console: exceptions, breaches of the content
	// policy, what could not be loaded.
	complaints []string
}

// open opens a file. Anchor is what stands after # in its address.
func open(t *testing.T, file string, v view, anchor ...string) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(chromium)
	t.Cleanup(closeTab)
	tb := &tab{t: t, url: "file://" + filepath.ToSlash(file), still: v.still}
	// A deadline is one of the tab only after that has been made.
	tb.check(chromedp.Do(ctx))
	ctx, cancel := context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	tb.ctx = ctx
	tb.check(chromedp.Listen(ctx, tb.note))
	call(tb, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}},
	})
	call(tb, network.Enable, network.EnableParams{})
	call(tb, log.Enable, cdp.Empty{})
	if v.still {
		call(tb, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	}
	address := tb.url
	for _, a := range anchor {
		address += "#" + a
	}
	tb.check(chromedp.Do(ctx, chromedp.EmulateViewport(v.width, viewHeight), chromedp.Navigate(address)))
	return tb
}

// call sends a command of the protocol to the tab.
func call[P, R any](tb *tab, command cdp.Command[P, R], params P) R {
	tb.t.Helper()
	result, err := chromedp.Call(tb.ctx, command, params)
	if err != nil {
		tb.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

func (tb *tab) check(err error) {
	tb.t.Helper()
	if err != nil {
		tb.t.Fatal(err)
	}
}

// note takes an event of the tab.
func (tb *tab) note(event any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if address, _, _ := strings.Cut(e.Request.URL, "#"); address != tb.url {
			tb.requests = append(tb.requests, address)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			tb.complaints = append(tb.complaints, e.Entry.Text)
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		tb.complaints = append(tb.complaints, text)
	}
}

// heard are requests and complaints so far.
func (tb *tab) heard() (requests, complaints []string) {
	// What was under way is there when this has been answered.
	if tb.still {
		evaluate[bool](tb, "true") // no timer runs
	} else {
		evaluate[bool](tb, "new Promise(done => setTimeout(() => done(true), 50))")
	}
	tb.mu.Lock()
	defer tb.mu.Unlock()
	return tb.requests, tb.complaints
}

// quiet fails the test if the page asked for anything, or anything went wrong in it.
func (tb *tab) quiet() {
	tb.t.Helper()
	requests, complaints := tb.heard()
	if len(requests) > 0 {
		tb.t.Errorf("the page asks for %q", requests)
	}
	if len(complaints) > 0 {
		tb.t.Errorf("the console has %q", complaints)
	}
}

// evaluate returns the value of an expression; that of a promise is waited for.
func evaluate[T any](tb *tab, expression string) T {
	tb.t.Helper()
	value, err := chromedp.Run(tb.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise, chromedp.EvalAsValue))
	if err != nil {
		tb.t.Fatalf("%v: %.200s", err, expression)
	}
	return value
}

// until waits until an expression is true.
func (tb *tab) until(expression string) {
	tb.t.Helper()
	if !evaluate[bool](tb, `new Promise(done => {
		const end = Date.now() + 30000;
		const look = () => (`+expression+`) ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 20);
		look();
	})`) {
		tb.t.Fatalf("it does not come to be: %s", expression)
	}
}

// expect fails the test unless an expression is true.
func (tb *tab) expect(expression, want string) {
	tb.t.Helper()
	if !evaluate[bool](tb, "!!("+expression+")") {
		tb.t.Errorf("want %s: %s is false; the focus is on %s", want, expression, tb.focus())
	}
}

// press presses keys. As of a keyboard, the letter is part of the press, so that a page that
// takes the press has the letter too; chromedp's own KeyEvent sends the two apart.
func (tb *tab) press(keys string) {
	tb.t.Helper()
	for _, key := range keys {
		events := kb.Encode(key)
		text := ""
		for _, e := range events {
			if e.Type == input.DispatchKeyEventTypeChar {
				text = e.Text
			}
		}
		for _, e := range events {
			switch e.Type {
			case input.DispatchKeyEventTypeChar:
				continue
			case input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeRawKeyDown:
				e.Type, e.Text, e.UnmodifiedText = input.DispatchKeyEventTypeKeyDown, text, text
			}
			call(tb, input.DispatchKeyEvent, *e)
		}
	}
}

// focus describes what has the focus.
func (tb *tab) focus() string {
	tb.t.Helper()
	return evaluate[string](tb, `(() => { const e = document.activeElement; return e.tagName + (e.id ? "#" + e.id : "") + " " + (e.getAttribute("aria-label") || e.textContent.slice(0, 60)); })()`)
}

// photograph leaves a picture of what is seen for a person, among the test's outputs.
func (tb *tab) photograph(name string) {
	tb.t.Helper()
	dir := os.Getenv("TEST_UNDECLARED_OUTPUTS_DIR")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
	tb.check(err)
	tb.check(os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
}

//go:embed structure.js
var structureScript string

// structure is what structure.js finds.
type structure struct {
	// Problems are what is cut off, covers something else, or can't be reached.
	Problems   []string  `json:"problems"`
	Background []float64 `json:"background"` // red, green and blue, 0 to 255
	Sections   []string  `json:"sections"`   // their titles, from above
	Texts      int       `json:"texts"`      // that are seen
	Spans      int       `json:"spans"`      // of the time axis
	// FirstFailure is where the first failure begins, in pixels from above; -1 for none.
	FirstFailure float64 `json:"firstFailure"`
}

func (tb *tab) structure() structure {
	tb.t.Helper()
	return evaluate[structure](tb, structureScript)
}

// unfold opens all that is folded.
func (tb *tab) unfold() {
	tb.t.Helper()
	evaluate[bool](tb, `document.querySelectorAll("details").forEach((d) => { d.open = true; }), document.getElementById("unfold").click(), true`)
}

// finding is one of axe's.
type finding struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

func (f finding) serious() bool { return f.Impact == "serious" || f.Impact == "critical" }

func (f finding) String() string {
	text := fmt.Sprintf("%s: %s (%s, %d times)", f.Impact, f.Help, f.ID, len(f.Nodes))
	for i, n := range f.Nodes {
		if i == 3 {
			break
		}
		text += fmt.Sprintf("\n  %.200s\n  %s", n.HTML, n.Summary)
	}
	return text
}

// axe runs the checks of accessibility.
func (tb *tab) axe() []finding {
	tb.t.Helper()
	name, err := runfiles.NamedBy(axeVariable)
	tb.check(err)
	source, err := os.ReadFile(name)
	tb.check(err)
	evaluate[bool](tb, string(source)+"\n;true")
	return evaluate[[]finding](tb, `axe.run(document, {resultTypes: ["violations"]}).then((result) => {
		if (!result.passes.length) throw new Error("axe checked nothing");
		return result.violations.map((v) => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map((n) => ({html: n.html, failureSummary: n.failureSummary}))}));
	})`)
}
